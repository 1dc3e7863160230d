//! Reads marks from made WAL: complete, truncated and damaged.

use super::made::{SEGMENT, filler, page_header, record, segment_bytes, switch, wal};
use super::*;

fn commit(second: i64, data: usize) -> Vec<u8> {
    let mut content = (second * 1_000_000 - EPOCH_MICROS).to_le_bytes().to_vec();
    content.resize(8 + data, 9);
    record(RESOURCE_XACT, 0x80, &content) // with XLOG_XACT_HAS_INFO
}

fn named(second: i64, name: &str) -> Vec<u8> {
    let mut content = (second * 1_000_000 - EPOCH_MICROS).to_le_bytes().to_vec();
    content.extend_from_slice(name.as_bytes());
    content.resize(8 + NAME_BYTES, 0);
    record(RESOURCE_XLOG, XLOG_RESTORE_POINT, &content)
}

fn read(wal: &[u8], step: usize) -> Result<(Vec<Mark>, Option<Lsn>)> {
    let (said, last) = read_all(wal, step)?;
    Ok((only_marks(said), last))
}

fn read_all(wal: &[u8], step: usize) -> Result<(Vec<Said>, Option<Lsn>)> {
    let mut reader = WalRecords::new(Lsn(3 * SEGMENT), segment_bytes());
    let mut all = Vec::new();
    for piece in wal.chunks(step) {
        reader.feed(piece, &mut |said| all.push(said))?;
    }
    reader.finish(&mut |said| all.push(said))?;
    Ok((all, reader.last()))
}

fn only_marks(said: Vec<Said>) -> Vec<Mark> {
    let mark = |said| match said {
        Said::Mark(mark) => Some(mark),
        Said::Copied(_) => None,
    };
    said.into_iter().filter_map(mark).collect()
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

#[test]
fn ends_of_transactions_and_restore_points_are_found_across_pages_and_pieces() {
    let records =
        [filler(8_050), commit(1_000, 0), named(1_001, "before r2"), filler(30_000), commit(1_002, 400)];
    let (wal, begins) = wal(&records);
    let expected = [
        Mark { lsn: begins[1], time: at(1_000), restore_point: None },
        Mark { lsn: begins[2], time: at(1_001), restore_point: Some("before r2".into()) },
        Mark { lsn: begins[4], time: at(1_002), restore_point: None },
    ];
    for step in [1, 8, 100, PAGE_BYTES, usize::MAX >> 1] {
        let (marks, last) = read(&wal, step).unwrap();
        assert_eq!((marks.as_slice(), last), (&expected[..], Some(begins[4])), "{step}");
    }
    // the last one is incomplete: it does not count
    let cut = (begins[4].0 - 3 * SEGMENT) as usize + 100;
    let (marks, last) = read(&wal[..cut], 4_000).unwrap();
    assert_eq!((marks.len(), last), (2, Some(begins[3])));
    // the beginning is in the middle of a record: the rest of that one is skipped
    let mut reader = WalRecords::new(Lsn(3 * SEGMENT + PAGE_BYTES as u64), segment_bytes());
    let mut all = Vec::new();
    reader.feed(&wal[PAGE_BYTES..], &mut |said| all.push(said)).unwrap();
    reader.finish(&mut |said| all.push(said)).unwrap();
    assert_eq!(only_marks(all).last(), expected.last());
}

#[test]
fn databases_that_were_copied_by_files_are_found_and_dropped_ones_are_not() {
    let made = |numbers: &[u32]| numbers.iter().flat_map(|n| n.to_le_bytes()).collect::<Vec<_>>();
    let (wal, begins) = wal(&[
        commit(1, 0),
        record(RESOURCE_DATABASE, DATABASE_COPY, &made(&[16_500, 1663, 16_384, 1663])),
        record(RESOURCE_DATABASE, 0x20, &made(&[16_384, 1, 1663, 0])),
        record(RESOURCE_DATABASE, DATABASE_COPY, &made(&[16_500, 1663])), // not one that we read
    ]);
    let copied = Said::Copied(Copied { lsn: begins[1], database: 16_500, from: 16_384 });
    assert_eq!(read_all(&wal, 50).unwrap().0[1..], [copied]);
}

#[test]
fn after_a_switch_the_next_segment_counts_again() {
    let (mut wal, _) = wal(&[commit(1, 0), switch()]);
    let stale = commit(2, 0);
    wal.extend_from_slice(&stale);
    wal.resize(SEGMENT as usize, 0);
    page_header(&mut wal, (0, 0));
    wal.extend_from_slice(&commit(3, 0));
    let times: Vec<_> = read(&wal, 10_000).unwrap().0.iter().map(|mark| mark.time).collect();
    assert_eq!(times, [at(1), at(3)]);
}

#[test]
fn what_is_no_wal_is_refused_and_nothing_panics() {
    let (wal, begins) = wal(&[commit(1, 0), record(10, 0, &[1; 20_000]), commit(2, 0)]);
    let broken = |at: usize, bytes: &[u8]| {
        let mut bad = wal.clone();
        bad[at..at + bytes.len()].copy_from_slice(bytes);
        read(&bad, 1_000)
    };
    assert!(broken(0, &[0xD1, 1]).is_err(), "magic");
    assert!(broken(8, &[1]).is_err(), "address");
    assert!(broken(36, &[0, 0x40]).is_err(), "page size");
    let length = (begins[1].0 - 3 * SEGMENT) as usize;
    assert!(broken(length, &[7, 0, 0, 0]).is_err(), "a record shorter than its header");
    assert!(broken(length, &[0, 0, 0, 0xFF]).is_err(), "a record longer than any");
    assert!(broken(PAGE_BYTES + 16, &[1]).is_err(), "the rest of another record");
    assert!(broken(length + 100, &[7]).is_err(), "checksum of the data");
    assert!(broken(length + 5, &[7]).is_err(), "checksum of the header");
    for byte in 0..wal.len().min(9_000) {
        for value in [0, 1, 0x7F, 0xFF] {
            let _ = broken(byte, &[value]);
        }
    }
}
