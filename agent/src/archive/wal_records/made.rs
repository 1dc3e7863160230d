//! Makes WAL for tests.

use super::*;

pub const SEGMENT: u64 = 1 << 20;

pub fn segment_bytes() -> SegmentBytes {
    SegmentBytes::try_from(SEGMENT).unwrap()
}

/// WAL from the beginning of segment 3 on, and where each record begins.
pub fn wal(records: &[Vec<u8>]) -> (Vec<u8>, Vec<Lsn>) {
    let (mut out, mut begins): (Vec<u8>, Vec<Lsn>) = Default::default();
    for record in records {
        let mut rest = record.as_slice();
        while !rest.is_empty() {
            if out.len().is_multiple_of(PAGE_BYTES) {
                page_header(&mut out, (record.len() - rest.len(), rest.len()));
            }
            if rest.len() == record.len() {
                begins.push(Lsn(3 * SEGMENT + out.len() as u64));
            }
            let now = rest.len().min(PAGE_BYTES - out.len() % PAGE_BYTES);
            out.extend_from_slice(&rest[..now]);
            rest = &rest[now..];
        }
        out.resize(out.len().next_multiple_of(8), 0);
    }
    (out, begins)
}

pub fn page_header(out: &mut Vec<u8>, (before, rest): (usize, usize)) {
    let is_first = (out.len() as u64).is_multiple_of(SEGMENT);
    let info = if before > 0 { CONTINUED } else { 0 } | if is_first { LONG_HEADER } else { 0 };
    let begin = 3 * SEGMENT + out.len() as u64;
    out.extend_from_slice(&0xD110u16.to_le_bytes());
    out.extend_from_slice(&info.to_le_bytes());
    out.extend_from_slice(&1u32.to_le_bytes());
    out.extend_from_slice(&begin.to_le_bytes());
    out.extend_from_slice(&(if before > 0 { rest as u32 } else { 0 }).to_le_bytes());
    out.extend_from_slice(&[0; 4]);
    if is_first {
        out.extend_from_slice(&7u64.to_le_bytes());
        out.extend_from_slice(&(SEGMENT as u32).to_le_bytes());
        out.extend_from_slice(&(PAGE_BYTES as u32).to_le_bytes());
    }
}

pub fn record(resource: u8, info: u8, data: &[u8]) -> Vec<u8> {
    let mut out = vec![0; RECORD_HEADER_BYTES];
    (out[16], out[17]) = (info, resource);
    match u8::try_from(data.len()) {
        Ok(length) => out.extend_from_slice(&[255, length]),
        Err(_) => {
            out.push(254);
            out.extend_from_slice(&(data.len() as u32).to_le_bytes());
        }
    }
    out.extend_from_slice(data);
    let length = out.len() as u32;
    out[..4].copy_from_slice(&length.to_le_bytes());
    let crc = crc32c::crc32c_append(crc32c::crc32c(&out[RECORD_HEADER_BYTES..]), &out[..CRC_AT]);
    out[CRC_AT..RECORD_HEADER_BYTES].copy_from_slice(&crc.to_le_bytes());
    out
}

/// A record of another resource manager with so many bytes of data.
pub fn filler(bytes: usize) -> Vec<u8> {
    record(10, 0, &vec![1; bytes])
}

/// The end of a segment before its last byte.
pub fn switch() -> Vec<u8> {
    record(RESOURCE_XLOG, XLOG_SWITCH, b"")
}
