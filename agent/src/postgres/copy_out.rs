//! Reads the rows of a table with `COPY ... TO STDOUT`, one at a time; [`crate::postgres::look`] says why
//! not with a query.

use crate::clock::Timestamp;
use crate::error::{Error, Kind, Result};
use crate::postgres::decimal::{Decimal, Inexact};
use crate::postgres::session::Session;

/// The signature of a binary COPY (PostgreSQL manual, COPY, "Binary Format").
const SIGNATURE: &[u8] = b"PGCOPY\n\xff\r\n\0";
/// From 1970 to 2000, where PostgreSQL begins to count.
const EPOCH_MICROSECONDS: i64 = 946_684_800_000_000;
/// Signature, flags and length of the header's extension.
const HEADER_BYTES: usize = SIGNATURE.len() + 8;

/// One row of a binary COPY.
pub struct Row<'a> {
    data: &'a [u8],
    /// The range of each field in `data`; `None` is NULL.
    fields: &'a [Option<(usize, usize)>],
}

impl Row<'_> {
    /// The bytes of the field.
    pub fn bytes(&self, index: usize) -> Option<&[u8]> {
        let (from, to) = (*self.fields.get(index)?)?;
        self.data.get(from..to)
    }

    /// A field of a character type. The connection uses UTF-8; invalid bytes become replacement characters,
    /// not an error.
    pub fn text(&self, index: usize) -> Option<String> {
        self.bytes(index).map(|bytes| String::from_utf8_lossy(bytes).into_owned())
    }

    /// A field of type int2, int4 or int8, or a time in microseconds since 2000.
    pub fn int(&self, index: usize) -> Option<i64> {
        let bytes = self.bytes(index)?;
        Some(match bytes.len() {
            2 => i16::from_be_bytes(bytes.try_into().ok()?).into(),
            4 => i32::from_be_bytes(bytes.try_into().ok()?).into(),
            _ => i64::from_be_bytes(bytes.try_into().ok()?),
        })
    }

    /// A field of type timestamp or timestamptz; `None` for NULL, for PostgreSQL's infinities, and for a year
    /// that no calendar of ours has.
    pub fn time(&self, index: usize) -> Option<Timestamp> {
        let since_1970 = self.int(index)?.checked_add(EPOCH_MICROSECONDS)?;
        Timestamp::from_microsecond(since_1970).ok()
    }

    /// A field of type numeric; `None` for NULL. What has no exact [`Decimal`] (NaN, infinity, too many
    /// digits) is an error of the field alone.
    pub fn numeric(&self, index: usize) -> Option<Result<Decimal, Inexact>> {
        self.bytes(index).map(Decimal::of_binary)
    }
}

/// Runs a `COPY ... TO STDOUT (FORMAT binary)` and calls `each` for every row. After an error the session
/// cannot be used any more: drop it.
pub async fn each_row(
    session: &mut Session,
    what: &str,
    statement: &str,
    mut each: impl FnMut(&Row<'_>) -> Result<()>,
) -> Result<()> {
    let mut reader = Reader::default();
    session.copy_out(what, statement, |data| reader.take(data, &mut each)).await?;
    match reader.ended {
        true => Ok(()),
        false => Err(damaged("it ended early").effect(format!("cannot {what} in {}", session.place()))),
    }
}

fn damaged(why: &str) -> Error {
    Error::new(Kind::Postgres, "the server's answer to COPY does not have the documented format").because(why)
}

/// Extracts rows from the server's data, which may be cut anywhere.
#[derive(Default)]
struct Reader {
    rest: Vec<u8>,
    fields: Vec<Option<(usize, usize)>>,
    begun: bool,
    ended: bool,
}

impl Reader {
    fn take(&mut self, data: &[u8], each: &mut impl FnMut(&Row<'_>) -> Result<()>) -> Result<()> {
        if self.rest.is_empty() {
            let used = self.rows(data, each)?;
            self.rest.extend_from_slice(&data[used..]);
            return Ok(());
        }
        let mut all = std::mem::take(&mut self.rest);
        all.extend_from_slice(data);
        let used = self.rows(&all, each)?;
        all.drain(..used);
        self.rest = all;
        Ok(())
    }

    /// Passes on every complete row; returns how many bytes they took.
    fn rows(&mut self, data: &[u8], each: &mut impl FnMut(&Row<'_>) -> Result<()>) -> Result<usize> {
        let mut at = 0;
        if !self.begun {
            if data.len() < HEADER_BYTES {
                return Ok(0);
            }
            let more = number(data, HEADER_BYTES - 4).unwrap_or(-1);
            if !data.starts_with(SIGNATURE) || more != 0 {
                return Err(damaged("its signature is wrong"));
            }
            (self.begun, at) = (true, HEADER_BYTES);
        }
        while !self.ended {
            let Some(count) = data.get(at..at + 2) else { break };
            let count = i16::from_be_bytes([count[0], count[1]]);
            let Some(end) = self.fields(data, at + 2, count)? else { break };
            at = end;
            match count < 0 {
                true => self.ended = true,
                false => each(&Row { data, fields: &self.fields })?,
            }
        }
        Ok(at)
    }

    /// The ranges of the fields of one row, and its end; `None` if the row is incomplete.
    fn fields(&mut self, data: &[u8], mut at: usize, count: i16) -> Result<Option<usize>> {
        self.fields.clear();
        for _ in 0..count.max(0) {
            let Some(length) = number(data, at) else { return Ok(None) };
            at += 4;
            let Ok(length) = usize::try_from(length) else {
                self.fields.push(None);
                continue;
            };
            if data.len() < at + length {
                return Ok(None);
            }
            self.fields.push(Some((at, at + length)));
            at += length;
        }
        Ok(Some(at))
    }
}

fn number(data: &[u8], at: usize) -> Option<i32> {
    data.get(at..at + 4).and_then(|bytes| bytes.try_into().ok()).map(i32::from_be_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_come_out_whole_however_the_bytes_are_cut() {
        let mut all = SIGNATURE.to_vec();
        all.extend([0; 8]);
        all.extend([0, 2, 0, 0, 0, 4, 0, 0, 1, 0, 0, 0, 0, 2, b'a', b'b']); // 256, ab
        all.extend([0, 2, 0, 0, 0, 2, 255, 255, 255, 255, 255, 255]); // -1, NULL
        all.extend([255, 255]);
        for size in [1, 2, 5, 19, 200] {
            let (mut reader, mut seen) = (Reader::default(), Vec::new());
            for piece in all.chunks(size) {
                let mut each = |row: &Row<'_>| {
                    seen.push((row.int(0), row.text(1)));
                    Ok(())
                };
                reader.take(piece, &mut each).unwrap();
            }
            assert!(reader.ended && reader.rest.is_empty(), "pieces of {size}");
            assert_eq!(seen, [(Some(256), Some("ab".to_owned())), (Some(-1), None)]);
        }
        let field = 86_400_000_000_i64.to_be_bytes();
        let row = Row { data: &field, fields: &[Some((0, 8)), None] };
        assert_eq!(row.time(0).map(|time| time.to_string()).as_deref(), Some("2000-01-02T00:00:00Z"));
        assert_eq!(row.time(1), None);
        let endless = i64::MAX.to_be_bytes();
        assert_eq!(Row { data: &endless, fields: &[Some((0, 8))] }.time(0), None, "infinity");
        let mut each = |_: &Row<'_>| Ok(());
        assert!(Reader::default().take(&[7; 40], &mut each).is_err());
    }
}
