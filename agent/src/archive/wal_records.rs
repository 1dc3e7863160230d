//! Reads times and places from WAL: when transactions ended, and restore points, each with the position of
//! its record; and which databases were created as copies (PostgreSQL `xlogrecord.h`, `xlog_internal.h`,
//! `xact.h`, `dbcommands_xlog.h`). Only the first bytes of a record are kept, so memory is limited whatever
//! the WAL contains.
//!
//! A record counts when it is complete and its checksum (CRC-32C) is right, as in PostgreSQL.

use serde::Serialize;

use crate::archive::wal_page::{LONG_HEADER, is_known_magic};
use crate::clock::Timestamp;
use crate::error::{Error, Kind, Result};
use crate::names::Lsn;
use crate::names::wal::SegmentBytes;

/// `XLOG_BLCKSZ` of every packaged server; another size is reported, not read.
pub(super) const PAGE_BYTES: usize = 8192;
const PAGE_HEADER_BYTES: usize = 24;
const LONG_PAGE_HEADER_BYTES: usize = 40;
/// `xlp_info`: the page begins with the rest of a record.
const CONTINUED: u16 = 0x0001;
/// `xlp_info`: the record that the previous page began will never be finished.
const OVERWRITES: u16 = 0x0008;
const RECORD_HEADER_BYTES: usize = 24;
/// `xl_crc`: the last field of the header; covers the data after the header, then the header before it.
const CRC_AT: usize = 20;
/// `MAXALIGN`: where the next record begins.
const ALIGNMENT: usize = 8;
/// `XLogRecordMaxSize` is slightly smaller.
const RECORD_BYTES_MAX: u32 = 1 << 30;
/// What is kept of a record: its header, headers of its data, and the longest data that is read.
const KEPT_BYTES: usize = 128;
/// `MAXFNAMELEN`.
const NAME_BYTES: usize = 64;
const RESOURCE_XLOG: u8 = 0;
const RESOURCE_XACT: u8 = 1;
const RESOURCE_DATABASE: u8 = 4;
const XLOG_SWITCH: u8 = 0x40;
const XLOG_RESTORE_POINT: u8 = 0x70;
/// `XLOG_DBASE_CREATE`, from 15 on `XLOG_DBASE_CREATE_FILE_COPY`.
const DATABASE_COPY: u8 = 0x00;
/// `XLOG_XACT_COMMIT`, `…_ABORT`, `…_COMMIT_PREPARED`, `…_ABORT_PREPARED`: where a time target ends.
const XACT_ENDS: [u8; 4] = [0x00, 0x20, 0x30, 0x40];
/// 2000-01-01T00:00:00Z, which PostgreSQL counts from, in microseconds since 1970.
const EPOCH_MICROS: i64 = 946_684_800_000_000;

/// A record with a time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Mark {
    /// Where the record begins.
    pub lsn: Lsn,
    /// Its time, by the clock of the server.
    pub time: Timestamp,
    /// The name of a restore point; `None` for the end of a transaction.
    pub restore_point: Option<String>,
}

/// A database that was created by copying the files of another: replay copies them again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Copied {
    /// Where the record begins.
    pub lsn: Lsn,
    /// The new database.
    pub database: u32,
    /// The one whose files it got.
    pub from: u32,
}

/// What a record says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Said {
    /// A time.
    Mark(Mark),
    /// A copy.
    Copied(Copied),
}

/// Reads WAL from the beginning of a segment, piece by piece.
pub struct WalRecords {
    segment_bytes: SegmentBytes,
    /// Position after the last byte of `page`.
    at: Lsn,
    /// A page that is not complete yet.
    page: Vec<u8>,
    /// Bytes of the current record that are still missing.
    open: u32,
    begins: Lsn,
    /// Whether its beginning was seen.
    is_seen: bool,
    /// Its first bytes.
    kept: Vec<u8>,
    /// Checksum of its data so far.
    crc: u32,
    /// Nothing more follows in this segment.
    skips: bool,
    /// Because a record says so.
    is_switched: bool,
    last: Option<Lsn>,
    end: Lsn,
}

impl WalRecords {
    /// A reader that begins at `at`, the first byte of a segment.
    pub fn new(at: Lsn, segment_bytes: SegmentBytes) -> WalRecords {
        let (page, kept) = (Vec::with_capacity(PAGE_BYTES), Vec::with_capacity(KEPT_BYTES));
        WalRecords {
            segment_bytes,
            at,
            page,
            open: 0,
            begins: at,
            is_seen: false,
            kept,
            crc: 0,
            skips: false,
            is_switched: false,
            last: None,
            end: at,
        }
    }

    /// The position of the next byte.
    pub fn at(&self) -> Lsn {
        self.at
    }

    /// Where the last complete record begins.
    pub fn last(&self) -> Option<Lsn> {
        self.last
    }

    /// The byte after the last complete record. A record that began before the first byte counts page by
    /// page: a server writes no page of a record before it has copied that page.
    pub fn end(&self) -> Lsn {
        self.end
    }

    /// Whether the segment ended with a record that says so (`XLOG_SWITCH`): nothing follows in the rest of
    /// it.
    pub fn is_switched(&self) -> bool {
        self.is_switched
    }

    /// Whether the WAL ended in this segment without such a record: there are zeros where a record would
    /// begin.
    pub fn is_over(&self) -> bool {
        self.skips && !self.is_switched
    }

    /// Whether a record has begun that is not complete yet.
    pub fn is_within_record(&self) -> bool {
        self.open > 0
    }

    /// Reads more WAL; complete records are passed to `on`, in order.
    ///
    /// # Errors
    /// `Integrity` where it is not WAL, or has pages of another size.
    pub fn feed(&mut self, mut bytes: &[u8], on: &mut dyn FnMut(Said)) -> Result<()> {
        while !bytes.is_empty() {
            // complete pages are read where they are
            if let (true, Some((page, rest))) = (self.page.is_empty(), bytes.split_at_checked(PAGE_BYTES)) {
                let begin = self.at.0;
                self.at = Lsn(begin + PAGE_BYTES as u64);
                self.read_page(begin, page, on)?;
                bytes = rest;
                continue;
            }
            let (now, rest) = bytes.split_at(bytes.len().min(PAGE_BYTES - self.page.len()));
            self.page.extend_from_slice(now);
            self.at = Lsn(self.at.0 + now.len() as u64);
            bytes = rest;
            if self.page.len() == PAGE_BYTES {
                self.end_page(on)?;
            }
        }
        Ok(())
    }

    /// The end of the input: reads the page that was begun.
    ///
    /// # Errors
    /// As [`WalRecords::feed`].
    pub fn finish(&mut self, on: &mut dyn FnMut(Said)) -> Result<()> {
        self.end_page(on)
    }

    fn end_page(&mut self, on: &mut dyn FnMut(Said)) -> Result<()> {
        let page = std::mem::take(&mut self.page);
        let begin = self.at.0 - page.len() as u64;
        let done = self.read_page(begin, &page, on);
        self.page = page;
        self.page.clear();
        done
    }

    fn read_page(&mut self, begin: u64, page: &[u8], on: &mut dyn FnMut(Said)) -> Result<()> {
        let bad = |what: &str| Error::new(Kind::Integrity, format!("the WAL page at {} {what}", Lsn(begin)));
        if begin.is_multiple_of(self.segment_bytes.get()) {
            (self.skips, self.is_switched) = (false, false);
        }
        if self.skips || page.len() < PAGE_HEADER_BYTES {
            return Ok(());
        }
        if page.iter().take(16).all(|byte| *byte == 0) {
            self.skips = true;
            return Ok(());
        }
        let (magic, info) = (u16_at(page, 0), u16_at(page, 2));
        if !is_known_magic(magic) || u64_at(page, 8) != begin {
            return Err(bad("has an invalid header"));
        }
        let mut at = PAGE_HEADER_BYTES;
        if info & LONG_HEADER != 0 {
            if page.len() < LONG_PAGE_HEADER_BYTES {
                return Ok(());
            }
            if u32_at(page, 36) as usize != PAGE_BYTES {
                return Err(bad("does not have 8192 bytes"));
            }
            at = LONG_PAGE_HEADER_BYTES;
        }
        if info & CONTINUED == 0 || info & OVERWRITES != 0 {
            self.open = 0; // a crash cut the record off
        } else if self.open == 0 {
            (self.open, self.is_seen) = (u32_at(page, 16), false);
            self.kept.clear();
        } else if self.open != u32_at(page, 16) {
            return Err(bad("continues with another record"));
        }
        while at < page.len() {
            if self.open == 0 {
                let Some(length) = page.get(at..at + 4).map(|bytes| u32_at(bytes, 0)) else { return Ok(()) };
                if length == 0 {
                    self.skips = true;
                    return Ok(());
                }
                if !(RECORD_HEADER_BYTES as u32..=RECORD_BYTES_MAX).contains(&length) {
                    return Err(bad(&format!("has a record of {length} bytes")));
                }
                (self.open, self.begins, self.is_seen) = (length, Lsn(begin + at as u64), true);
                self.crc = 0;
                self.kept.clear();
            }
            let now = (page.len() - at).min(self.open as usize);
            self.take(&page[at..at + now]);
            self.open -= now as u32;
            at += now;
            if self.open == 0 {
                if !self.is_right() {
                    return Err(bad(&format!(
                        "ends a record with a wrong checksum that begins at {}",
                        self.begins
                    )));
                }
                at = at.next_multiple_of(ALIGNMENT);
                self.end = Lsn(begin + at as u64);
                self.end_record(on);
                if self.skips {
                    return Ok(());
                }
            } else if !self.is_seen {
                self.end = Lsn(begin + at as u64);
            }
        }
        Ok(())
    }

    /// More of the current record.
    fn take(&mut self, bytes: &[u8]) {
        let header = RECORD_HEADER_BYTES.saturating_sub(self.kept.len()).min(bytes.len());
        let room = KEPT_BYTES - self.kept.len();
        self.kept.extend_from_slice(&bytes[..bytes.len().min(room)]);
        if self.is_seen {
            self.crc = crc32c::crc32c_append(self.crc, &bytes[header..]);
        }
    }

    /// Whether the record that has just ended has the right checksum; for one that began before the first
    /// byte it is not known.
    fn is_right(&self) -> bool {
        !self.is_seen
            || self
                .kept
                .get(..CRC_AT)
                .is_some_and(|header| crc32c::crc32c_append(self.crc, header) == u32_at(&self.kept, CRC_AT))
    }

    fn end_record(&mut self, on: &mut dyn FnMut(Said)) {
        if !self.is_seen || self.kept.len() < RECORD_HEADER_BYTES {
            return;
        }
        self.last = Some(self.begins);
        let (info, resource) = (self.kept[16], self.kept[17]);
        match resource {
            RESOURCE_XLOG if info & 0xF0 == XLOG_SWITCH => (self.skips, self.is_switched) = (true, true),
            RESOURCE_XLOG if info & 0xF0 == XLOG_RESTORE_POINT => {
                if let Some((time, name)) = main_data(&self.kept).and_then(restore_point) {
                    on(Said::Mark(Mark { lsn: self.begins, time, restore_point: Some(name) }));
                }
            }
            RESOURCE_XACT if XACT_ENDS.contains(&(info & 0x70)) => {
                if let Some(time) = main_data(&self.kept).and_then(time_at_begin) {
                    on(Said::Mark(Mark { lsn: self.begins, time, restore_point: None }));
                }
            }
            RESOURCE_DATABASE if info & 0xF0 == DATABASE_COPY => {
                // database, its tablespace, database copied from, its tablespace
                if let Some(data) = main_data(&self.kept).filter(|data| data.len() >= 16) {
                    let (database, from) = (u32_at(data, 0), u32_at(data, 8));
                    on(Said::Copied(Copied { lsn: self.begins, database, from }));
                }
            }
            _ => {}
        }
    }
}

/// The data of a record that refers to no page: after the headers that give its length.
fn main_data(record: &[u8]) -> Option<&[u8]> {
    let mut at = RECORD_HEADER_BYTES;
    loop {
        at += match record.get(at)? {
            255 => return record.get(at + 2..), // XLR_BLOCK_ID_DATA_SHORT
            254 => return record.get(at + 5..), // XLR_BLOCK_ID_DATA_LONG
            253 => 3,                           // XLR_BLOCK_ID_ORIGIN
            252 => 5,                           // XLR_BLOCK_ID_TOPLEVEL_XID
            _ => return None,
        };
    }
}

fn time_at_begin(data: &[u8]) -> Option<Timestamp> {
    let micros = i64::from_le_bytes(*data.first_chunk::<8>()?).checked_add(EPOCH_MICROS)?;
    Timestamp::from_microsecond(micros).ok()
}

fn restore_point(data: &[u8]) -> Option<(Timestamp, String)> {
    let name = data.get(8..8 + NAME_BYTES)?;
    let end = name.iter().position(|byte| *byte == 0)?;
    Some((time_at_begin(data)?, String::from_utf8_lossy(&name[..end]).into_owned()))
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    bytes.get(at..at + 2).map_or(0, |b| u16::from_le_bytes([b[0], b[1]]))
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from(u16_at(bytes, at)) | u32::from(u16_at(bytes, at + 2)) << 16
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from(u32_at(bytes, at)) | u64::from(u32_at(bytes, at + 4)) << 32
}

#[cfg(test)]
pub(in crate::archive) mod made;
#[cfg(test)]
mod tests;
