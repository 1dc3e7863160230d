//! Which names of a listing count.
//!
//! 1. A name that a trusted key signed for this place counts: anyone who lists can see what is stored there.
//! 2. A name without a signature is from before names were signed, or anybody could have made it. Where the
//!    instance has no signed name, it counts as it always did. Where it has, an unsigned name counts only if
//!    it must be older: the store received it before the first object with a signed name, or its place is
//!    before the first place that has one (a copy of a repository may have lost the times). It never counts
//!    where a signed name has the same bytes.
//! 3. Everything else is foreign: another name, signature, place or kind of file. It is reported and
//!    otherwise ignored.
//!
//! With an identity more is known: the content is signed, too ([`super::WalReader`]). Writers compare what
//! they store only with signed names.
//!
//! Only names that matter are checked: of a file the longest first, and names within its range only as far as
//! that is cheap. So a year of WAL in small pieces costs one check per segment.

use std::cmp::Reverse;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::task::JoinSet;

use super::{Foreign, Listed, WalList, WalObject};
use crate::archive::wal_name::NameTrust;
use crate::clock::Timestamp;
use crate::error::{Error, Kind, Result};

/// Names of one listing that are checked although other objects have their bytes, so that foreign ones are
/// reported: 1 s.
pub(super) const SPARE_CHECKS: u64 = 20_000;
/// Objects that one thread checks at once; a file is split only if it has as many as the second.
const BATCH: usize = 500;
const BATCH_MAX: usize = 5_000;
/// The number of such threads, while the listing continues.
const AT_ONCE: usize = 4;

/// The objects of a listing that are being checked.
pub(super) struct Judging {
    trust: Arc<NameTrust>,
    spare: Arc<AtomicU64>,
    batch: Vec<WalObject>,
    threads: JoinSet<(Vec<WalObject>, Vec<WalObject>)>,
    signed: Vec<WalObject>,
    refused: Vec<WalObject>,
}

impl Judging {
    pub(super) fn new(trust: &NameTrust, spare_checks: u64) -> Judging {
        Judging {
            trust: Arc::new(trust.clone()),
            spare: Arc::new(AtomicU64::new(spare_checks)),
            batch: Vec::new(),
            threads: JoinSet::new(),
            signed: Vec::new(),
            refused: Vec::new(),
        }
    }

    /// Adds an object that has a signature; those of one file one after the other, where possible.
    pub(super) async fn add(&mut self, object: WalObject) -> Result<()> {
        let another = self.batch.last().is_some_and(|last| last.name.file != object.name.file);
        if self.batch.len() >= BATCH_MAX || (self.batch.len() >= BATCH && another) {
            self.begin();
            while self.threads.len() > AT_ONCE {
                self.settle_one().await?;
            }
        }
        self.batch.push(object);
        Ok(())
    }

    fn begin(&mut self) {
        let (batch, trust, spare) = (std::mem::take(&mut self.batch), self.trust.clone(), self.spare.clone());
        self.threads.spawn_blocking(move || judge(batch, &trust, &spare));
    }

    async fn settle_one(&mut self) -> Result<()> {
        let Some(done) = self.threads.join_next().await else { return Ok(()) };
        let (signed, refused) = done
            .map_err(|e| Error::new(Kind::Internal, "a thread that checks names was stopped").because(e))?;
        self.signed.extend(signed);
        self.refused.extend(refused);
        Ok(())
    }

    /// The objects whose signature is valid, and those that were refused since the last call.
    pub(super) async fn finish(mut self) -> Result<(Vec<WalObject>, Vec<WalObject>)> {
        self.begin();
        while !self.threads.is_empty() {
            self.settle_one().await?;
        }
        Ok((self.signed, self.refused))
    }

    /// What was refused so far.
    pub(super) fn take_refused(&mut self) -> Vec<WalObject> {
        std::mem::take(&mut self.refused)
    }
}

/// Those that are signed, and those that are not. Objects that do not matter and were not checked are in
/// neither.
fn judge(
    mut batch: Vec<WalObject>,
    trust: &NameTrust,
    spare: &AtomicU64,
) -> (Vec<WalObject>, Vec<WalObject>) {
    // Of equals the oldest first: imitations by others came later.
    batch.sort_by_key(|WalObject { name, stored_at, .. }| {
        (name.file, Reverse(name.end - name.begin), name.begin, *stored_at)
    });
    let (mut signed, mut refused): (Vec<WalObject>, Vec<WalObject>) = (Vec::new(), Vec::new());
    for object in batch {
        let of_file = || signed.iter().rev().take_while(|known| known.name.file == object.name.file);
        let decides = !of_file().any(|known| object.name.lies_within(&known.name))
            || of_file().any(|known| object.name.contradicts(&known.name));
        let left = |left: u64| left.checked_sub(1);
        if !decides && spare.fetch_update(Ordering::Relaxed, Ordering::Relaxed, left).is_err() {
            continue;
        }
        match trust.is_signed(&object.name) {
            true => signed.push(object),
            false => refused.push(object),
        }
    }
    (signed, refused)
}

/// Where signed names begin, in time and in the WAL.
struct Boundary {
    stored_at: Timestamp,
    place: Option<WalPlace>,
}

/// A segment's place, whatever its timeline, and a byte in it.
type WalPlace = ((u32, u32), u32);

fn place(object: &WalObject) -> Option<WalPlace> {
    object.name.file.segment().map(|segment| (segment.place(), object.name.begin))
}

impl Boundary {
    /// `None` where nothing is signed.
    fn of(signed: &[WalObject]) -> Option<Boundary> {
        let stored_at = signed.iter().map(|object| object.stored_at).min()?;
        Some(Boundary { stored_at, place: signed.iter().filter_map(place).min() })
    }

    fn is_after(&self, object: &WalObject) -> bool {
        let placed_before = self.place.zip(place(object)).is_some_and(|(first, own)| own < first);
        object.stored_at < self.stored_at || placed_before
    }
}

/// Why a name without a signature does not count.
const UNSIGNED: &str = "its name is not signed, although Lifeboat already signed names when it was stored";

/// What counts of everything in the listing of an instance.
pub(super) fn count(listed: Listed, key: impl Fn(&WalObject) -> String) -> WalList {
    let Listed { mut signed, unsigned, lineages, mut foreign } = listed;
    signed.sort_by_key(|object| object.name);
    let boundary = Boundary::of(&signed);
    let mut older = Vec::new();
    for object in unsigned {
        let from = signed.partition_point(|known| known.name.file < object.name.file);
        let same_file = signed[from..].iter().take_while(|known| known.name.file == object.name.file);
        let is_held = same_file.into_iter().any(|known| object.name.lies_within(&known.name));
        match boundary.as_ref().is_none_or(|boundary| boundary.is_after(&object)) {
            true if is_held => {}
            true => older.push(object),
            false => foreign.add(key(&object), UNSIGNED),
        }
    }
    let mut objects = signed;
    objects.extend(older);
    objects.sort_by_key(|object| object.name);
    WalList { objects, lineages, foreign }
}

impl Foreign {
    /// What is not signed by a trusted key, or not for this place.
    pub(super) const REFUSED: &'static str = "no key of signing.trusted_keys signed this name for this place";

    /// Why objects with names like ours do not count; all others do not even have such names.
    pub const CLAIMS: [&'static str; 2] = [Foreign::REFUSED, UNSIGNED];
}
