//! Puts together a WAL file, as PostgreSQL wants it, from its objects.
//!
//! For PostgreSQL, "not there" means the end of the archive: it ends recovery, or promotes. So this is
//! reported only when the store said so, and never where later WAL is stored.
//!
//! The stored WAL ends with an incomplete segment. PostgreSQL refuses an archived file that is shorter than a
//! segment (`RestoreArchivedFile()`), so the file gets zeros after the last stored byte, where PostgreSQL
//! sees the end. Such a file looks larger than its WAL: when it is archived again, the WAL in it is stored as
//! a range ([`wal_extent`]). An object that is stored as a whole segment and is incomplete (older versions of
//! this program took such a file for a segment) counts as what it contains: other objects that go further are
//! used instead, where they agree with it as far as it goes.

use std::fs::File;
use std::io::{Read, Seek, Write};
use std::time::Duration;

use super::WalReader;
use super::claims::Claims;
use super::coverage::{assemble, segment_bytes};
use crate::archive::wal::WalName;
use crate::archive::wal_extent;
use crate::archive::wal_page::{HEADER_BYTES, SegmentHeader};
use crate::clock;
use crate::error::{Error, Kind, Result};
use crate::names::wal::{SegmentBytes, SegmentName, WalFile};

/// Several processes may store segments at once, so they can appear out of order: how often a missing one is
/// looked for again when a later one is stored, and with which pause.
const GAP_TRIES: u32 = 10;
const GAP_WAIT: Duration = Duration::from_millis(500);

/// How many objects of one file without a signed name are opened and found not to be ours before all others
/// of them count as foreign, too: whoever can write to the store can make any number.
const NOT_OURS_MAX: u32 = 100;

/// How much of a file was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    /// The whole file.
    Whole,
    /// The end of its timeline: so many bytes of WAL, and zeros after them.
    Tail(u64),
}

/// The result of putting a file together.
struct Written {
    bytes: u64,
    /// The size of segments; the usual one for other files.
    segment_bytes: SegmentBytes,
    /// For an incomplete segment: how many bytes of it are WAL.
    partial_bytes: Option<u64>,
}

impl Written {
    /// For a segment that is stored as a whole one and is incomplete: how many bytes of it are WAL.
    fn holds_less(&self) -> Option<u64> {
        self.partial_bytes.filter(|_| self.bytes == self.segment_bytes.get())
    }
}

impl WalReader {
    /// The objects of a file; empty where the store says that there is no such file, and no later one.
    /// `is_in_pg_wal` says that the server has this segment from its base backup: it needs no archive then.
    ///
    /// # Errors
    /// `Integrity` for a gap, and where objects contradict each other; `Signature` where no WAL at all
    /// counts; those of the store.
    pub async fn objects(&self, file: WalFile, is_in_pg_wal: impl Fn() -> bool) -> Result<Vec<WalName>> {
        let names = self.names(file).await?;
        match file {
            WalFile::Segment(segment) if names.is_empty() && !is_in_pg_wal() => {
                self.after_a_gap(segment).await
            }
            _ => Ok(names),
        }
    }

    /// The size of a segment whose objects seem complete, by their names; [`WalReader::write`] knows better.
    pub fn looks_whole(names: &[WalName]) -> Option<SegmentBytes> {
        let size = segment_bytes(names);
        assemble(names).last().is_some_and(|name| u64::from(name.end) == size.get()).then_some(size)
    }

    /// Writes a file from its objects, completely checked. A tail is filled up with zeros. `None` where none
    /// of them is ours and this is the end of the stored WAL: then the file does not exist.
    ///
    /// # Errors
    /// `Integrity` where a part is missing and later WAL is stored, or where it is damaged.
    pub async fn write(&self, file: WalFile, names: &[WalName], out: &mut File) -> Result<Option<Extent>> {
        let Some(written) = self.put_together(file, names, out).await? else {
            self.check_end(file).await?;
            return Ok(None);
        };
        let WalFile::Segment(segment) = file else { return Ok(Some(Extent::Whole)) };
        let Some(bytes) = written.partial_bytes else { return Ok(Some(Extent::Whole)) };
        let size = written.segment_bytes.get();
        let next = segment.next(written.segment_bytes).map(WalFile::Segment);
        if let Some(next) = next
            && self.is_stored(next).await?
        {
            let what =
                format!("{segment} is incomplete ({bytes} of {size} bytes) although later WAL is stored");
            return Err(Error::new(Kind::Integrity, what)
                .next("find the gaps with lifeboat wal status; restore to an earlier time, or from a base backup that was made after the gap"));
        }
        out.set_len(size).map_err(|e| Error::new(Kind::Io, format!("cannot write {segment}")).because(e))?;
        Ok(Some(Extent::Tail(bytes)))
    }

    /// A missing segment whose successor is stored: it may still arrive; otherwise it is a gap.
    async fn after_a_gap(&self, segment: SegmentName) -> Result<Vec<WalName>> {
        // Without a segment the size is not known: any size's successor counts.
        let sizes = (20..=30).filter_map(|shift| SegmentBytes::try_from(1 << shift).ok());
        let mut successors: Vec<SegmentName> = sizes.filter_map(|size| segment.next(size)).collect();
        successors.sort();
        successors.dedup();
        let mut later = None;
        for successor in successors {
            if self.is_stored(WalFile::Segment(successor)).await? {
                later = Some(successor);
            }
        }
        let Some(later) = later else { return Ok(Vec::new()) };
        for _ in 0..GAP_TRIES {
            let names = self.names(WalFile::Segment(segment)).await?;
            if !names.is_empty() {
                return Ok(names);
            }
            clock::sleep(GAP_WAIT).await;
        }
        Err(Error::new(Kind::Integrity, format!("{segment} is not stored although the later {later} is")).next(
            "find the gaps with lifeboat wal status; restore to an earlier time, or from a base backup that was made after the gap",
        ))
    }

    /// Writes a file from its objects, as far as they go; `None` where none of them is ours. A damaged object
    /// is skipped where others have the same bytes; one that is not ours is ignored. An object that is stored
    /// as a whole segment and is incomplete is skipped where others go further and agree with it.
    async fn put_together(
        &self,
        file: WalFile,
        names: &[WalName],
        out: &mut File,
    ) -> Result<Option<Written>> {
        let mut usable = names.to_vec();
        let reach = |usable: &[WalName]| assemble(usable).last().map_or(0, |name| name.end);
        let (mut all, mut not_ours) = (reach(&usable), 0);
        let mut passed: Vec<Claims> = Vec::new();
        loop {
            let Some(first) = usable.first() else { return Ok(None) };
            if all == 0 {
                if first.signature.is_none() && !self.counts(first).await? {
                    usable.remove(0);
                    continue;
                }
                let what =
                    format!("the beginning of {file} is not stored: only the bytes from {} are", first.begin);
                return Err(Error::new(Kind::Integrity, what)
                    .next("find the gaps with lifeboat wal status; restore to an earlier time"));
            }
            empty(out)?;
            let (name, error) = match self.try_write(file, &assemble(&usable), out).await {
                Ok(written) => {
                    let claims = Claims::among(&usable, written.segment_bytes, written.holds_less());
                    usable.retain(|name| !claims.names.contains(name));
                    if claims.names.is_empty() || u64::from(reach(&usable)) <= claims.upto {
                        self.check_agreement(&passed, names, out).await?;
                        return Ok(Some(written));
                    }
                    all = reach(&usable);
                    passed.push(claims);
                    continue;
                }
                Err(failed) => failed,
            };
            usable.retain(|usable| *usable != name);
            if self.is_foreign(&name, &error).await? {
                tracing::warn!("{name} is foreign and was ignored: {error:?}");
                not_ours += 1;
                if not_ours == NOT_OURS_MAX {
                    usable.retain(|name| name.signature.is_some());
                }
                all = reach(&usable);
                continue;
            }
            // removed since it was listed: that is damage, and not the end of the WAL
            let damage = matches!(error.kind(), Kind::Integrity | Kind::Signature | Kind::NotFound);
            if !damage || reach(&usable) < all {
                return Err(if error.kind() == Kind::NotFound {
                    error.with_kind(Kind::Integrity)
                } else {
                    error
                });
            }
            tracing::warn!("{name} is damaged; its bytes are read from other objects: {error:?}");
        }
    }

    async fn try_write(
        &self,
        file: WalFile,
        names: &[WalName],
        out: &mut File,
    ) -> Result<Written, (WalName, Error)> {
        let mut bytes = 0;
        let mut segment_bytes = SegmentBytes::USUAL;
        for name in names {
            let at = bytes;
            let step = async {
                let content = self.get(*name).await?;
                if at == 0
                    && let WalFile::Segment(segment) = file
                {
                    let header = SegmentHeader::parse(&content)?;
                    header.check_name(segment)?;
                    segment_bytes = header.segment_bytes;
                }
                let new = &content[(at - u64::from(name.begin)) as usize..];
                tokio::task::block_in_place(|| out.write_all(new))
                    .map_err(|e| Error::new(Kind::Io, format!("cannot write {file}")).because(e))?;
                bytes += new.len() as u64;
                Ok(())
            };
            step.await.map_err(|e| (*name, e))?;
        }
        let partial_bytes = match file {
            WalFile::Segment(_) if bytes < segment_bytes.get() => Some(bytes),
            WalFile::Segment(_) => tokio::task::block_in_place(|| wal_extent::partial_bytes(out))
                .map_err(|e| (names[0], e))?
                .map(u64::from),
            _ => None,
        };
        Ok(Written { bytes, segment_bytes, partial_bytes })
    }
}

/// Whether this is the segment of that name, according to its header.
pub fn is_segment(segment: SegmentName, mut file: impl Read) -> bool {
    let mut header = [0; HEADER_BYTES];
    let read = file.read_exact(&mut header);
    read.is_ok() && SegmentHeader::parse(&header).and_then(|header| header.check_name(segment)).is_ok()
}

fn empty(out: &mut File) -> Result<()> {
    out.set_len(0)
        .and_then(|()| out.rewind())
        .map_err(|e| Error::new(Kind::Io, "cannot empty a file that is being fetched").because(e))
}
