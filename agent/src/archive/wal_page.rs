//! The header of a WAL segment's first page: which cluster it belongs to, and which segment it is (PostgreSQL
//! `xlog_internal.h`, `XLogLongPageHeaderData`).

use crate::error::{Error, Kind, Result};
use crate::names::wal::{SegmentBytes, SegmentName, TimelineId};

/// How many bytes of a segment [`SegmentHeader::parse`] needs.
pub const HEADER_BYTES: usize = 40;
/// `xlp_info`: the header is the long one, as on the first page of every segment.
pub(super) const LONG_HEADER: u16 = 0x0002;
/// `xlp_magic` of each major version.
const MAGICS: [(u16, u32); 6] =
    [(0xD106, 13), (0xD10D, 14), (0xD110, 15), (0xD113, 16), (0xD116, 17), (0xD118, 18)];

/// Whether this `xlp_magic` belongs to a known version.
pub(super) fn is_known_magic(magic: u16) -> bool {
    MAGICS.iter().any(|(known, _)| *known == magic)
}

/// What a segment says about itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SegmentHeader {
    /// Major version of the server that wrote it.
    pub major: u32,
    /// The timeline of its first record: that of its name, or an ancestor's.
    pub timeline: TimelineId,
    /// Position of its first byte.
    pub begin: u64,
    /// The cluster's identity.
    pub system_identifier: u64,
    /// The cluster's segment size.
    pub segment_bytes: SegmentBytes,
    /// The size of its WAL pages.
    pub page_bytes: u32,
}

impl SegmentHeader {
    /// Reads the header at the beginning of `segment`, as servers on little-endian machines
    /// write it.
    ///
    /// # Errors
    /// `Integrity` where it is not a header, or of an unknown version.
    pub fn parse(segment: &[u8]) -> Result<SegmentHeader> {
        let bad = |what: String| Error::new(Kind::Integrity, what);
        let Some(header) = segment.first_chunk::<HEADER_BYTES>() else {
            return Err(bad(format!("{} bytes are too few for a WAL segment", segment.len())));
        };
        let u16_at = |at: usize| u16::from_le_bytes([header[at], header[at + 1]]);
        let u32_at = |at: usize| u32::from(u16_at(at)) | u32::from(u16_at(at + 2)) << 16;
        let u64_at = |at: usize| u64::from(u32_at(at)) | u64::from(u32_at(at + 4)) << 32;
        let magic = u16_at(0);
        let Some((_, major)) = MAGICS.iter().find(|(known, _)| *known == magic) else {
            return Err(bad(format!("page magic {magic:04X} is not one of PostgreSQL 13 to 18")));
        };
        if u16_at(2) & LONG_HEADER == 0 {
            return Err(bad("its first page has no long header".to_owned()));
        }
        Ok(SegmentHeader {
            major: *major,
            timeline: TimelineId(u32_at(4)),
            begin: u64_at(8),
            system_identifier: u64_at(24),
            segment_bytes: SegmentBytes::try_from(u64::from(u32_at(32)))?,
            page_bytes: u32_at(36),
        })
    }

    /// Checks that this is the header of the segment of this name.
    ///
    /// # Errors
    /// `Integrity` saying what differs: a file under a wrong name would be replayed as another.
    pub fn check_name(&self, name: SegmentName) -> Result<()> {
        let begin = name.begin(self.segment_bytes).map(|lsn| lsn.0);
        let what = if begin != Some(self.begin) {
            let size = self.segment_bytes.get();
            format!(
                "the header of {name} says that it begins at {:X} and that segments have {size} bytes",
                self.begin
            )
        } else if self.timeline > name.timeline || self.timeline.0 == 0 {
            format!("the header of {name} says that it is of timeline {}", self.timeline)
        } else {
            return Ok(());
        };
        Err(Error::new(Kind::Integrity, what))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header() -> Vec<u8> {
        let mut bytes = Vec::new();
        bytes.extend_from_slice(&0xD110u16.to_le_bytes());
        bytes.extend_from_slice(&LONG_HEADER.to_le_bytes());
        bytes.extend_from_slice(&3u32.to_le_bytes());
        bytes.extend_from_slice(&0x2_0300_0000u64.to_le_bytes());
        bytes.extend_from_slice(&[0; 8]);
        bytes.extend_from_slice(&0x6abc_def0_1234_5678u64.to_le_bytes());
        bytes.extend_from_slice(&(16u32 << 20).to_le_bytes());
        bytes.extend_from_slice(&8192u32.to_le_bytes());
        bytes
    }

    #[test]
    fn a_header_is_read_and_every_wrong_one_is_refused() {
        let parsed = SegmentHeader::parse(&header()).unwrap();
        assert_eq!((parsed.major, parsed.timeline, parsed.begin), (15, TimelineId(3), 0x2_0300_0000));
        assert_eq!(parsed.system_identifier, 0x6abc_def0_1234_5678);
        assert_eq!(parsed.segment_bytes, SegmentBytes::USUAL);
        for (at, byte) in [(0, 0x11), (2, 0), (32, 1)] {
            let mut bad = header();
            bad[at] = byte;
            assert!(SegmentHeader::parse(&bad).is_err(), "byte {at}");
        }
        assert!(SegmentHeader::parse(&header()[..39]).is_err());
        assert!(SegmentHeader::parse(&[0; 8192]).is_err());
    }

    #[test]
    fn a_header_fits_one_name_or_that_of_a_descendant() {
        let header = SegmentHeader::parse(&header()).unwrap();
        let check = |name: &str| header.check_name(name.parse().unwrap());
        check("000000030000000200000003").unwrap();
        check("000000040000000200000003").unwrap();
        assert!(check("000000020000000200000003").is_err());
        assert!(check("000000030000000200000004").is_err());
        assert!(check("000000030000000200000300").is_err());
    }
}
