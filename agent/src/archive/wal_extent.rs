//! How far a segment's file contains WAL: the one place that decides whether it is complete.
//!
//! **The rule.** A file of `pg_wal` has the size of a segment from its first byte on, so its size says
//! nothing. It is *whole* only when its content says so: every page has the header of its place, every record
//! is complete with the right checksum, and the records continue to the last byte, or end with the record of
//! a switch (`XLOG_SWITCH`; what comes after that has no meaning). Every other file contains WAL up to the
//! end of its last complete record and is *partial*: a segment that is still being written (after its end
//! come zeros, or pages of the older segment whose file was reused, or the rest after a crash), one that `wal
//! fetch` filled up with zeros, the last one before a crash. A partial file is stored as a range of the
//! segment, never as all of it.
//!
//! A segment of a new timeline begins with pages of the older one: they have the same places, and count.
//!
//! The last record of a whole segment may continue in the next one ([`End::Crossing`]). Then the file alone
//! does not show whether that record was completely written when it was read: the server must say that it has
//! finished the segment, by the marker of its archiver or by having begun the next one. Without that, the
//! segment is whole up to that record.
//!
//! Records that end too early, with a wrong checksum or before pages that are right ([`End::Broken`]), are
//! the end of a segment that is being written, perhaps after a crash. In a segment that the server has
//! finished they are damage.

use std::io::{ErrorKind, Read, Seek, SeekFrom};

use super::wal_page::{HEADER_BYTES, SegmentHeader, is_known_magic};
use super::wal_records::{PAGE_BYTES, WalRecords};
use crate::error::{Error, Kind, Result};
use crate::names::Lsn;

/// How the WAL in a segment ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// With the segment, or with the record of a switch.
    Whole,
    /// With a record that continues in the next segment.
    Crossing,
    /// Nothing follows it: zeros, or pages of another place.
    Nothing,
    /// With a wrong record, or before pages that are right.
    Broken,
}

/// How far a segment's file contains WAL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extent {
    /// The byte in the file after the last complete record.
    pub upto: u32,
    /// What follows it.
    pub end: End,
}

/// Reads a segment's file from its first byte; about 10 ms of CPU.
///
/// # Errors
/// `Integrity` where it does not begin as a segment, or has pages of an unknown size; errors of reading.
pub fn extent(mut file: impl Read) -> Result<Extent> {
    let mut page = vec![0; PAGE_BYTES];
    if !read_page(&mut file, &mut page)? {
        return Err(Error::new(Kind::Integrity, "it is shorter than a page"));
    }
    let SegmentHeader { begin, segment_bytes, page_bytes, .. } = SegmentHeader::parse(&page[..HEADER_BYTES])?;
    if page_bytes as usize != PAGE_BYTES {
        let what = format!(
            "its WAL pages have {page_bytes} bytes; this version of Lifeboat reads only pages of {PAGE_BYTES} bytes"
        );
        return Err(Error::new(Kind::Integrity, what));
    }
    let mut records = WalRecords::new(Lsn(begin), segment_bytes);
    let mut end = None;
    for number in 0..segment_bytes.get() / PAGE_BYTES as u64 {
        if number > 0 && !read_page(&mut file, &mut page)? {
            end = end.or(Some(End::Nothing));
            break;
        }
        let is_own = place(&page) == Some(begin + number * PAGE_BYTES as u64);
        match end {
            None if !is_own && place(&page).is_none() => end = Some(End::Broken),
            None if !is_own => end = Some(End::Nothing),
            None if records.feed(&page, &mut |_| ()).is_err() => end = Some(End::Broken),
            None if records.is_switched() => end = Some(End::Whole),
            None if records.is_over() => end = Some(End::Nothing),
            Some(End::Nothing) if is_own => end = Some(End::Broken),
            Some(End::Whole | End::Broken) => break,
            _ => {}
        }
    }
    let at_end = || if records.is_within_record() { End::Crossing } else { End::Whole };
    Ok(Extent { upto: (records.end().0 - begin) as u32, end: end.unwrap_or_else(at_end) })
}

/// How many bytes of WAL are in a file that has the size of its segment; `None` where it is whole. For most
/// files the last page alone shows it: where it is right, the pages before it are not read.
///
/// # Errors
/// As [`extent`].
pub fn partial_bytes(mut file: impl Read + Seek) -> Result<Option<u32>> {
    let failed = |e| Error::carried(Kind::Io, "cannot read a WAL segment", e);
    let mut page = vec![0; PAGE_BYTES];
    file.rewind().map_err(failed)?;
    read_page(&mut file, &mut page)?;
    let last = SegmentHeader::parse(&page)?.begin
        + file.seek(SeekFrom::End(-(PAGE_BYTES as i64))).map_err(failed)?;
    read_page(&mut file, &mut page)?;
    if place(&page) == Some(last) {
        return Ok(None);
    }
    file.rewind().map_err(failed)?;
    let Extent { upto, end } = extent(file)?;
    Ok((!matches!(end, End::Whole | End::Crossing)).then_some(upto))
}

/// The place that a page claims; 0 for a page of zeros, `None` where it is not a page of WAL.
fn place(page: &[u8]) -> Option<u64> {
    let (magic, place) = (page.first_chunk::<2>()?, page.get(8..16)?.first_chunk::<8>()?);
    let (magic, place) = (u16::from_le_bytes(*magic), u64::from_le_bytes(*place));
    (is_known_magic(magic) || (magic == 0 && place == 0)).then_some(place)
}

/// Fills `page`; `false` at the end of the file.
fn read_page(file: &mut impl Read, page: &mut [u8]) -> Result<bool> {
    match file.read_exact(page) {
        Ok(()) => Ok(true),
        Err(e) if e.kind() == ErrorKind::UnexpectedEof => Ok(false),
        Err(e) => Err(Error::carried(Kind::Io, "cannot read a WAL segment", e)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::archive::wal_records::made::{SEGMENT, filler, switch, wal};

    fn segment_of(mut wal: Vec<u8>) -> Vec<u8> {
        wal.resize(SEGMENT as usize, 0);
        wal
    }

    fn of(file: &[u8]) -> (u32, End) {
        let found = extent(file).unwrap();
        (found.upto, found.end)
    }

    /// Records of 3,000 bytes from the first byte of the segment to beyond its last, and where each begins.
    fn full() -> (Vec<u8>, Vec<u32>) {
        let (all, begins) = wal(&vec![filler(3_000); 360]);
        assert!(all.len() > SEGMENT as usize);
        (all, begins.iter().map(|lsn| (lsn.0 - 3 * SEGMENT) as u32).collect())
    }

    #[test]
    fn whole_is_what_goes_on_to_the_end_or_ends_with_a_switch() {
        let (all, begins) = full();
        let last = begins.iter().filter(|at| **at < SEGMENT as u32).max().unwrap();
        assert_eq!(of(&all[..SEGMENT as usize]), (*last, End::Crossing));
        let (switched, _) = wal(&[filler(20_000), switch()]);
        assert_eq!(of(&segment_of(switched.clone())), (switched.len() as u32, End::Whole));
        // older content of the file may follow it
        let old = [switched.as_slice(), &all[switched.len()..SEGMENT as usize]].concat();
        assert_eq!(of(&old).1, End::Whole);
    }

    #[test]
    fn partial_is_what_ends_before_whatever_lies_there() {
        let (all, begins) = full();
        let cut = |at: usize| segment_of(all[..at].to_vec());
        let third = begins[3] as usize;
        assert_eq!(of(&cut(third)), (third as u32, End::Nothing), "between two records");
        assert_eq!(of(&cut(third - 1_000)).0, begins[2], "within a record");
        assert_eq!(of(&cut(16 * PAGE_BYTES)).1, End::Nothing, "where a page ends");
        // a reused file: pages of an older place after the end
        let mut old = all[..SEGMENT as usize].to_vec();
        for page in old.chunks_mut(PAGE_BYTES).skip(4) {
            page[8..16].copy_from_slice(&(1_000 * SEGMENT).to_le_bytes());
        }
        let found = of(&old);
        assert_eq!(found.1, End::Nothing);
        assert!(found.0 <= 4 * PAGE_BYTES as u32 && found.0 as usize > 4 * PAGE_BYTES - 3_100, "{found:?}");
        // pages that a crash left after the end
        let mut stale = all[..SEGMENT as usize].to_vec();
        stale[third..PAGE_BYTES * (third / PAGE_BYTES + 1)].fill(0);
        assert_eq!(of(&stale), (third as u32, End::Broken));
        let mut flipped = all[..SEGMENT as usize].to_vec();
        flipped[third + 100] ^= 1;
        assert_eq!(of(&flipped), (third as u32, End::Broken));
        let mut none = all[..SEGMENT as usize].to_vec();
        none[8 * PAGE_BYTES..].fill(7);
        assert_eq!(of(&none).1, End::Broken);
        for file in [&[0; SEGMENT as usize][..], &all[..100]] {
            assert_eq!(extent(file).unwrap_err().kind(), Kind::Integrity);
        }
    }

    #[test]
    fn of_what_began_in_the_segment_before_each_page_counts() {
        let (all, _) = wal(&[filler(3 * SEGMENT as usize)]);
        let second = &all[SEGMENT as usize..2 * SEGMENT as usize];
        assert_eq!(of(second), (SEGMENT as u32, End::Crossing));
        let cut = segment_of(second[..5 * PAGE_BYTES].to_vec());
        assert_eq!(of(&cut), (5 * PAGE_BYTES as u32, End::Nothing));
    }
}
