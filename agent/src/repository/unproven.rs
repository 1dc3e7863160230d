//! Reads whole objects before it is known who wrote them: their total memory is limited, however many are
//! read at once.
//!
//! Whoever can write to the store can put large objects under our names. All objects in memory whose
//! signatures are not checked yet share [`BYTES_AT_ONCE`]: small ones are read at the same time; a large one
//! waits until the one before it was checked and dropped. A signature (16 KiB) is read first, and an object
//! of an untrusted signer is not read at all. Where a person turned the check off, the sum of unsigned
//! objects is limited.

use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use futures::TryStreamExt;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::archive::manifest;
use crate::clock::Timestamp;
use crate::error::{Error, Kind, Result};
use crate::store::Store;

/// The most bytes that are read and not yet checked: one object of the largest valid size.
pub const BYTES_AT_ONCE: u64 = manifest::BYTES_MAX;
/// Unsigned manifests that are accepted, in total: some twenty thousand of the usual size.
const UNSIGNED_BYTES_MAX: u64 = 128 << 20;
/// Bytes per permit.
const UNIT: u64 = 1 << 10;

/// The room for such objects; clones share it.
#[derive(Clone)]
pub(super) struct Unproven {
    room: Arc<Semaphore>,
    unsigned: Arc<AtomicU64>,
}

/// Such an object; its room is free again when it is dropped.
pub struct Held {
    bytes: Vec<u8>,
    /// When it was stored, by the store's clock.
    pub stored_at: Timestamp,
    _room: OwnedSemaphorePermit,
}

impl Deref for Held {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Unproven {
    pub(super) fn new() -> Unproven {
        let room = Semaphore::new((BYTES_AT_ONCE / UNIT) as usize);
        Unproven { room: Arc::new(room), unsigned: Arc::default() }
    }

    /// Reads a whole object of at most `bytes_max`, which must fit the room. Hold one at a time: a second one
    /// may wait for the first.
    ///
    /// # Errors
    /// `Integrity` where it is larger, before any of it is read; that of the store.
    pub(super) async fn get(&self, store: &Store, key: &str, bytes_max: u64) -> Result<Held> {
        let (info, mut pieces) = store.get_stream(key).await?;
        let size = info.bytes;
        if size > bytes_max.min(BYTES_AT_ONCE) {
            let url = store.url();
            let what = format!("{key} in {url} has {size} bytes; at most {bytes_max} are allowed");
            return Err(
                Error::new(Kind::Integrity, what).next("run lifeboat verify: it lists every damaged object")
            );
        }
        let units = u32::try_from(size.div_ceil(UNIT)).unwrap_or(u32::MAX);
        let room = self.room.clone().acquire_many_owned(units).await;
        let room =
            room.map_err(|e| Error::new(Kind::Internal, "the room for objects is closed").because(e))?;
        // Allocated as it arrives, not as the server announces.
        let mut bytes = Vec::new();
        while let Some(piece) = pieces.try_next().await? {
            bytes.extend_from_slice(&piece);
        }
        Ok(Held { bytes, stored_at: info.modified, _room: room })
    }

    /// Counts what is accepted without a signature.
    ///
    /// # Errors
    /// `Integrity` where the sum is too large.
    pub(super) fn take_unsigned(&self, what: &str, bytes: usize) -> Result<()> {
        let before = self.unsigned.fetch_add(bytes as u64, Ordering::Relaxed);
        if before + bytes as u64 <= UNSIGNED_BYTES_MAX {
            return Ok(());
        }
        self.unsigned.fetch_sub(bytes as u64, Ordering::Relaxed);
        let mib = UNSIGNED_BYTES_MAX >> 20;
        Err(Error::new(
            Kind::Integrity,
            format!("{what} is not signed, and {mib} MiB of unsigned objects were already read"),
        )
        .effect("no more of them are read: anybody could have made them")
        .next("name one snapshot if the command takes one, or run without --accept-unsigned: then there is no such limit"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn large_ones_wait_for_each_other_and_small_ones_do_not() {
        let store = Store::memory();
        let large = vec![b'x'; BYTES_AT_ONCE as usize];
        store.put_new("large", large).await.unwrap();
        store.put_new("small", vec![b'y'; 10]).await.unwrap();
        let unproven = Unproven::new();
        assert_eq!(unproven.get(&store, "small", 9).await.err().unwrap().kind(), Kind::Integrity);
        let first = unproven.get(&store, "large", u64::MAX).await.unwrap();
        assert_eq!(first.len() as u64, BYTES_AT_ONCE);
        let second = unproven.get(&store, "small", 100);
        let mut second = std::pin::pin!(second);
        let early = tokio::time::timeout(std::time::Duration::from_millis(50), &mut second).await;
        assert!(early.is_err(), "there is no room yet");
        drop(first);
        let small = second.await.unwrap();
        let beside = unproven.get(&store, "small", 100).await.unwrap();
        assert_eq!((&*small, &*beside), (&b"yyyyyyyyyy"[..], &b"yyyyyyyyyy"[..]));
        unproven.take_unsigned("one", 100 << 20).unwrap();
        assert!(unproven.take_unsigned("two", 100 << 20).is_err());
        unproven.take_unsigned("three", 28 << 20).unwrap();
    }
}
