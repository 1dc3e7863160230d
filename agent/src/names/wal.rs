//! PostgreSQL's names for WAL: timelines, segments, and the other files of `pg_wal` that are archived.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::{Lsn, truncated};
use crate::error::{Error, Kind, Result};

/// A timeline; 0 means none. People see a plain number, as in PostgreSQL's own messages and settings; names
/// of files and objects, and JSON, have 8 upper-case hex digits ([`TimelineId::in_names`]).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TimelineId(pub u32);

impl TryFrom<String> for TimelineId {
    type Error = Error;
    fn try_from(text: String) -> Result<TimelineId> {
        text.parse()
    }
}

impl From<TimelineId> for String {
    fn from(timeline: TimelineId) -> String {
        timeline.in_names()
    }
}

impl fmt::Display for TimelineId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl TimelineId {
    /// As in names of files.
    pub fn in_names(self) -> String {
        format!("{:08X}", self.0)
    }

    /// As a person writes it: 8 hex digits as in names of files, or a plain number.
    ///
    /// # Errors
    /// `Usage`, with both forms.
    pub fn typed(text: &str) -> Result<TimelineId> {
        let plain = (1..=7).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
        let number = if plain { text.parse().ok() } else { hex8(&text.to_ascii_uppercase()) };
        number.filter(|id| *id > 0).map(TimelineId).ok_or_else(|| {
            let text = truncated(text);
            Error::new(Kind::Usage, format!("{text:?} is not a timeline such as 1 or 00000001"))
        })
    }
}

impl FromStr for TimelineId {
    type Err = Error;
    fn from_str(text: &str) -> Result<TimelineId> {
        hex8(text).filter(|id| *id > 0).map(TimelineId).ok_or_else(|| {
            Error::new(Kind::Usage, format!("{:?} is not a timeline such as 00000001", truncated(text)))
        })
    }
}

/// A cluster's `wal_segment_size`: a power of two from 1 MiB to 1 GiB.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "u64", into = "u64")]
pub struct SegmentBytes(u64);

impl SegmentBytes {
    /// The default of `initdb`.
    pub const USUAL: SegmentBytes = SegmentBytes(16 << 20);

    /// The size in bytes.
    pub fn get(self) -> u64 {
        self.0
    }

    fn per_log(self) -> u64 {
        (1 << 32) / self.0
    }
}

impl Default for SegmentBytes {
    fn default() -> SegmentBytes {
        SegmentBytes::USUAL
    }
}

impl TryFrom<u64> for SegmentBytes {
    type Error = Error;
    fn try_from(bytes: u64) -> Result<SegmentBytes> {
        if bytes.is_power_of_two() && (1 << 20..=1 << 30).contains(&bytes) {
            return Ok(SegmentBytes(bytes));
        }
        Err(Error::new(
            Kind::Integrity,
            format!("{bytes} is not a WAL segment size (a power of two from 1 MiB to 1 GiB)"),
        ))
    }
}

impl From<SegmentBytes> for u64 {
    fn from(bytes: SegmentBytes) -> u64 {
        bytes.0
    }
}

/// A WAL segment, `000000010000000200000003`: timeline, and two halves of its number. Sorts by
/// timeline, then by position.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SegmentName {
    /// The timeline of the file; its first pages may still be of an older one.
    pub timeline: TimelineId,
    log: u32,
    part: u32,
}

impl SegmentName {
    /// The segment of this timeline that contains the byte at `lsn`.
    pub fn holding(timeline: TimelineId, lsn: Lsn, size: SegmentBytes) -> SegmentName {
        let number = lsn.0 / size.0;
        SegmentName {
            timeline,
            log: (number / size.per_log()) as u32,
            part: (number % size.per_log()) as u32,
        }
    }

    /// Its place among the segments of all timelines, whatever the segment size.
    pub fn place(self) -> (u32, u32) {
        (self.log, self.part)
    }

    /// Its first byte; `None` where no cluster with this segment size has a segment of this name.
    pub fn begin(self, size: SegmentBytes) -> Option<Lsn> {
        let part = u64::from(self.part);
        (part < size.per_log()).then(|| Lsn((u64::from(self.log) << 32) + part * size.0))
    }

    /// The next one on the same timeline; `None` as for [`SegmentName::begin`], and after the last number.
    pub fn next(self, size: SegmentBytes) -> Option<SegmentName> {
        let end = self.begin(size)?.0.checked_add(size.0)?;
        Some(SegmentName::holding(self.timeline, Lsn(end), size))
    }
}

impl fmt::Display for SegmentName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08X}{:08X}{:08X}", self.timeline.0, self.log, self.part)
    }
}

impl FromStr for SegmentName {
    type Err = Error;
    fn from_str(text: &str) -> Result<SegmentName> {
        parse_segment(text).ok_or_else(|| {
            Error::new(
                Kind::Usage,
                format!("{:?} is not a WAL segment such as 000000010000000200000003", truncated(text)),
            )
        })
    }
}

/// A file of `pg_wal` that PostgreSQL passes to archive_command (manual, 26.3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum WalFile {
    /// A segment.
    Segment(SegmentName),
    /// `<segment>.partial`: the last, unfinished segment of a timeline that a promotion ended.
    Partial(SegmentName),
    /// `<segment>.<offset>.backup`: describes a base backup that began there; for people.
    Backup(SegmentName, u32),
    /// `<timeline>.history`: where the timeline and its ancestors began.
    History(TimelineId),
}

impl WalFile {
    /// The timeline in its name.
    pub fn timeline(self) -> TimelineId {
        match self {
            WalFile::Segment(name) | WalFile::Partial(name) | WalFile::Backup(name, _) => name.timeline,
            WalFile::History(timeline) => timeline,
        }
    }

    /// The segment that it is or belongs to; `None` for a history.
    pub fn segment(self) -> Option<SegmentName> {
        match self {
            WalFile::Segment(name) | WalFile::Partial(name) | WalFile::Backup(name, _) => Some(name),
            WalFile::History(_) => None,
        }
    }
}

impl fmt::Display for WalFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            WalFile::Segment(name) => name.fmt(f),
            WalFile::Partial(name) => write!(f, "{name}.partial"),
            WalFile::Backup(name, offset) => write!(f, "{name}.{offset:08X}.backup"),
            WalFile::History(timeline) => write!(f, "{}.history", timeline.in_names()),
        }
    }
}

impl FromStr for WalFile {
    type Err = Error;
    fn from_str(text: &str) -> Result<WalFile> {
        parse_file(text).ok_or_else(|| {
            Error::new(Kind::Usage, format!("{:?} is not a WAL file of PostgreSQL", truncated(text))).because(
                "a WAL file is called SEGMENT, SEGMENT.partial, SEGMENT.OFFSET.backup or TIMELINE.history",
            )
        })
    }
}

fn parse_file(text: &str) -> Option<WalFile> {
    match text.split_once('.') {
        None => parse_segment(text).map(WalFile::Segment),
        Some((timeline, "history")) => timeline.parse().ok().map(WalFile::History),
        Some((segment, "partial")) => parse_segment(segment).map(WalFile::Partial),
        Some((segment, rest)) => {
            Some(WalFile::Backup(parse_segment(segment)?, hex8(rest.strip_suffix(".backup")?)?))
        }
    }
}

fn parse_segment(text: &str) -> Option<SegmentName> {
    let part = |from: usize| hex8(text.get(from..from + 8)?);
    let name = SegmentName { timeline: TimelineId(part(0)?), log: part(8)?, part: part(16)? };
    (text.len() == 24 && name.timeline.0 > 0).then_some(name)
}

/// A replication slot: 1-63 of `a-z 0-9 _` (PostgreSQL manual, 27.2.6).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SlotName(String);

impl SlotName {
    /// The name as text; it needs no quoting.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for SlotName {
    fn default() -> SlotName {
        SlotName("lifeboat".to_owned())
    }
}

impl fmt::Display for SlotName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for SlotName {
    type Err = Error;
    fn from_str(text: &str) -> Result<SlotName> {
        let allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_';
        if (1..=63).contains(&text.len()) && text.bytes().all(allowed) {
            return Ok(SlotName(text.to_owned()));
        }
        Err(Error::new(
            Kind::Usage,
            format!("{:?} is not a valid name of a replication slot", truncated(text)),
        ))
    }
}

/// Exactly 8 upper-case hex digits.
fn hex8(text: &str) -> Option<u32> {
    let fine = text.len() == 8 && text.bytes().all(|b| b.is_ascii_digit() || (b'A'..=b'F').contains(&b));
    fine.then(|| u32::from_str_radix(text, 16).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_file_reads_back_as_it_is_written() {
        for name in [
            "00000001000000020000003A",
            "00000001000000020000003A.partial",
            "00000001000000020000003A.00000028.backup",
            "0000000B.history",
        ] {
            assert_eq!(name.parse::<WalFile>().unwrap().to_string(), name);
        }
        for bad in [
            "",
            "000000010000000200000003A",
            "00000001000000020000003a",
            "00000000000000020000003A",
            "00000001000000020000003A.part",
            "00000001000000020000003A.28.backup",
            "1.history",
            "00000001000000020000003A/../x",
            "é0000010000000200000003A",
        ] {
            assert!(bad.parse::<WalFile>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_timeline_is_typed_as_plans_print_it_or_as_files_are_called() {
        for (text, number) in [("1", 1), ("00000001", 1), ("10", 10), ("0000000A", 10), ("0000000a", 10)] {
            assert_eq!(TimelineId::typed(text).unwrap(), TimelineId(number), "{text}");
        }
        for bad in ["", "0", "00000000", "-1", "1.0", "A", "0000000G", "000000001"] {
            assert!(TimelineId::typed(bad).is_err(), "{bad:?}");
        }
        assert!("1".parse::<TimelineId>().is_err(), "no folder of a repository is called so");
        let ten = TimelineId(10);
        assert_eq!(
            (ten.to_string(), ten.in_names(), String::from(ten)),
            ("10".into(), "0000000A".into(), "0000000A".into())
        );
    }

    #[test]
    fn positions_and_names_fit_each_other_at_every_segment_size() {
        for shift in 20..=30 {
            let size = SegmentBytes::try_from(1 << shift).unwrap();
            for lsn in [0, 1, (1 << 32) - 1, 1 << 32, 0x2_A700_0028, u64::from(u32::MAX) << 32] {
                let name = SegmentName::holding(TimelineId(3), Lsn(lsn), size);
                let begin = name.begin(size).unwrap().0;
                assert!(begin <= lsn && lsn - begin < size.get(), "{lsn} in {name}");
                assert_eq!(name.to_string().parse::<SegmentName>().unwrap(), name);
                let next = name.next(size).unwrap();
                assert_eq!(next.begin(size).unwrap().0, begin + size.get());
                assert!(next > name);
            }
        }
        let odd: SegmentName = "000000010000000000000100".parse().unwrap();
        assert_eq!(odd.begin(SegmentBytes::USUAL), None);
        assert!(SegmentBytes::try_from(3 << 20).is_err());
        assert!(SegmentBytes::try_from(2 << 30).is_err());
    }
}
