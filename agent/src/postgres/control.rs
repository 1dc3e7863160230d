//! Reads `global/pg_control` without a server; it is trusted only if its own checksum matches.

use crate::names::Lsn;
use crate::names::wal::TimelineId;

/// Bytes of the file that PostgreSQL reads and writes.
pub const CONTROL_BYTES: usize = 8192;
/// Possible offsets of the checksum: it is the last field of a structure that grows from version to version.
const CHECKSUM_AT: std::ops::Range<usize> = 200..512;

/// The fields of a valid control file whose offsets are the same in all versions from 13 to 18.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ControlFile {
    /// The cluster's identity.
    pub system_identifier: u64,
    /// The version of the catalogs: part of the name of tablespaces' directories.
    pub catalog_version: u32,
    /// Where replay from the last checkpoint begins.
    pub redo: Lsn,
    /// The timeline of that checkpoint.
    pub timeline: TimelineId,
    /// Whether it was shut down, or died, in recovery.
    pub is_recovering: bool,
    /// The settings that a server needs at least to replay this one's WAL. Replay raises them here when it
    /// reads the WAL record about them, before it stops because of them.
    pub needs: [(&'static str, u64); 5],
}

/// The offsets of the settings that replay needs at least.
const NEEDS_AT: [(&str, usize); 5] = [
    ("max_connections", 180),
    ("max_worker_processes", 184),
    ("max_wal_senders", 188),
    ("max_prepared_transactions", 192),
    ("max_locks_per_transaction", 196),
];
/// `DB_SHUTDOWNED_IN_RECOVERY`, `DB_IN_CRASH_RECOVERY`, `DB_IN_ARCHIVE_RECOVERY`.
const RECOVERING: [u32; 3] = [2, 4, 5];

/// Reads a control file; `None` if it is torn, cut short, or not a control file.
pub fn parse(bytes: &[u8]) -> Option<ControlFile> {
    let mut crc = u32::MAX;
    let head = bytes.get(..CHECKSUM_AT.end + 4)?;
    let whole = head.iter().enumerate().any(|(at, byte)| {
        let ends_here = at >= CHECKSUM_AT.start && at % 4 == 0 && head[at..at + 4] == (!crc).to_ne_bytes();
        crc = crc32c(crc, *byte);
        ends_here && at < CHECKSUM_AT.end
    });
    let u64_at = |at: usize| u64::from_ne_bytes(head[at..at + 8].try_into().unwrap_or_default());
    let u32_at = |at: usize| u32::from_ne_bytes(head[at..at + 4].try_into().unwrap_or_default());
    whole.then(|| ControlFile {
        system_identifier: u64_at(0),
        catalog_version: u32_at(12),
        redo: Lsn(u64_at(40)),
        timeline: TimelineId(u32_at(48)),
        is_recovering: RECOVERING.contains(&u32_at(16)),
        needs: NEEDS_AT.map(|(name, at)| (name, u64::from(u32_at(at)))),
    })
}

/// Adds a byte to a CRC-32C (Castagnoli), without the final inversion.
fn crc32c(crc: u32, byte: u8) -> u32 {
    (0..8).fold(crc ^ u32::from(byte), |crc, _| (crc >> 1) ^ (0x82F6_3B78 & (crc & 1).wrapping_neg()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_control_file_counts_only_with_its_checksum() {
        assert_eq!(!b"123456789".iter().fold(u32::MAX, |crc, byte| crc32c(crc, *byte)), 0xE306_9283);
        let mut file = vec![0u8; CONTROL_BYTES];
        file[..8].copy_from_slice(&7_000_000_000_000_000_001u64.to_ne_bytes());
        file[12..16].copy_from_slice(&202_209_061u32.to_ne_bytes());
        file[40..48].copy_from_slice(&0x2_A700_0028u64.to_ne_bytes());
        file[48..52].copy_from_slice(&3u32.to_ne_bytes());
        file[180..184].copy_from_slice(&120u32.to_ne_bytes());
        assert_eq!(parse(&file), None);
        let crc = !file[..292].iter().fold(u32::MAX, |crc, byte| crc32c(crc, *byte));
        file[292..296].copy_from_slice(&crc.to_ne_bytes());
        let read = parse(&file).unwrap();
        assert_eq!((read.system_identifier, read.catalog_version), (7_000_000_000_000_000_001, 202_209_061));
        assert_eq!((read.redo, read.timeline), (Lsn(0x2_A700_0028), TimelineId(3)));
        assert_eq!(read.needs[0], ("max_connections", 120));
        file[100] ^= 1;
        assert_eq!(parse(&file), None);
        assert_eq!(parse(&file[..100]), None);
    }
}
