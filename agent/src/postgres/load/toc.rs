//! Reads the table of contents of a dump in pg_dump's custom format (PostgreSQL
//! `pg_backup_archiver.c`, ReadHead and ReadToc). `pg_restore --list` prints it for people only: names
//! that contain blanks cannot be separated there.

use std::io::{BufReader, Read};
use std::path::Path;

use crate::disk;
use crate::error::{Error, Kind, Result};

/// The known minor versions of the format: those of pg_dump 12 to 18.
const MINORS: std::ops::RangeInclusive<u8> = 14..=16;
const CUSTOM: u8 = 1;
/// The largest table of contents that is read.
const BYTES_MAX: u64 = 1 << 30;
const ENTRIES_MAX: i64 = 20_000_000;

/// One entry: an object, its data, or a property of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Entry {
    /// Its number in the dump; `pg_restore --use-list` names entries by it.
    pub id: i64,
    /// Its kind, as in `TABLE` or `FK CONSTRAINT`.
    pub desc: String,
    /// Its schema; empty if it has none.
    pub namespace: String,
    /// Its name; for functions including the arguments.
    pub tag: String,
    /// Its owner; empty if it has none.
    pub owner: String,
    /// Its tablespace, if that is not the database's.
    pub tablespace: String,
    /// Its table access method, as in `heap`; empty if it has none.
    pub access_method: String,
    /// The SQL that creates it.
    pub definition: String,
    /// The SQL that drops it, with its full name.
    pub drop: String,
    /// Entries that it needs.
    pub needs: Vec<i64>,
}

/// Reads the table of contents of a dump file.
///
/// # Errors
/// `Integrity` if it is not a dump in the custom format, or is one of an unknown pg_dump version.
pub fn read(dump: &Path) -> Result<Vec<Entry>> {
    read_from(BufReader::new(disk::open(dump)?), &dump.display().to_string())
}

/// Reads it from the first bytes of a dump; `name` is the dump's name in errors.
///
/// # Errors
/// As [`read`]; also if `input` ends too early.
pub fn read_from(input: impl Read, name: &str) -> Result<Vec<Entry>> {
    let reader = Reader { input: input.take(BYTES_MAX), int_bytes: 4, offset_bytes: 8 };
    reader.entries().map_err(|why| {
        Error::new(Kind::Integrity, format!("cannot read the table of contents of {name}")).because(why)
    })
}

struct Reader<R> {
    input: R,
    int_bytes: u8,
    offset_bytes: u8,
}

type Read1<T> = std::result::Result<T, String>;

impl<R: Read> Reader<R> {
    fn entries(mut self) -> Read1<Vec<Entry>> {
        let head: [u8; 11] = self.bytes()?;
        let [b'P', b'G', b'D', b'M', b'P', major, minor, _, int_bytes, offset_bytes, format] = head else {
            return Err("it does not begin like a dump".into());
        };
        if major != 1 || !MINORS.contains(&minor) {
            return Err(format!("its format version {major}.{minor} is unknown"));
        }
        if format != CUSTOM || !(1..=8).contains(&int_bytes) || !(1..=8).contains(&offset_bytes) {
            return Err("it is not in pg_dump's custom format".into());
        }
        (self.int_bytes, self.offset_bytes) = (int_bytes, offset_bytes);
        match minor {
            15.. => drop(self.bytes::<1>()?), // which compression
            _ => drop(self.int()?),           // how much
        }
        for _ in 0..7 {
            self.int()?; // when it was made
        }
        for _ in 0..3 {
            self.text()?; // database, versions of the server and of pg_dump
        }
        let count = self.int()?;
        if !(0..=ENTRIES_MAX).contains(&count) {
            return Err(format!("its number of entries is {count}"));
        }
        (0..count).map(|_| self.entry(minor)).collect()
    }

    fn entry(&mut self, minor: u8) -> Read1<Entry> {
        let id = self.int()?;
        self.int()?; // whether it has data
        self.text()?; // its catalog
        self.text()?; // its OID
        let (tag, desc) = (self.text()?, self.text()?);
        self.int()?; // its section
        let (definition, drop) = (self.text()?, self.text()?);
        self.text()?; // COPY
        let (namespace, tablespace) = (self.text()?, self.text()?);
        let access_method = self.text()?;
        if minor >= 16 {
            self.int()?; // its kind of relation
        }
        let owner = self.text()?;
        self.text()?; // whether it has OIDs
        let mut needs = Vec::new();
        while let Some(text) = self.optional_text()? {
            needs.push(text.parse().map_err(|_| format!("{text:?} is not the number of an entry"))?);
        }
        self.bytes::<1>()?; // whether its data has a place
        for _ in 0..self.offset_bytes {
            self.bytes::<1>()?;
        }
        Ok(Entry { id, desc, namespace, tag, owner, tablespace, access_method, definition, drop, needs })
    }

    fn bytes<const N: usize>(&mut self) -> Read1<[u8; N]> {
        let mut out = [0; N];
        self.input.read_exact(&mut out).map_err(|e| e.to_string())?;
        Ok(out)
    }

    /// A sign, then the number's bytes, lowest first.
    fn int(&mut self) -> Read1<i64> {
        let [sign] = self.bytes()?;
        let mut value = 0i64;
        for place in 0..self.int_bytes {
            let [byte] = self.bytes()?;
            value |= i64::from(byte).checked_shl(8 * u32::from(place)).unwrap_or(0);
        }
        Ok(if sign == 0 { value } else { -value })
    }

    fn text(&mut self) -> Read1<String> {
        Ok(self.optional_text()?.unwrap_or_default())
    }

    fn optional_text(&mut self) -> Read1<Option<String>> {
        let Ok(bytes) = u64::try_from(self.int()?) else { return Ok(None) };
        let mut out = Vec::new();
        let got = (&mut self.input).take(bytes).read_to_end(&mut out).map_err(|e| e.to_string())?;
        if got as u64 != bytes {
            return Err("it ends too early".into());
        }
        // Names are in the database's encoding; bytes that are not UTF-8 become replacement characters.
        Ok(Some(String::from_utf8_lossy(&out).into_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dump(minor: u8, entries: &[(i64, &str, &str, &[&str])]) -> Vec<u8> {
        let mut out = b"PGDMP".to_vec();
        out.extend([1, minor, 0, 4, 8, 1]);
        let int = |out: &mut Vec<u8>, n: i64| {
            out.push(u8::from(n < 0));
            out.extend((n.unsigned_abs() as u32).to_le_bytes());
        };
        let text = |out: &mut Vec<u8>, text: &str| {
            int(out, text.len() as i64);
            out.extend(text.as_bytes());
        };
        match minor {
            15.. => out.push(1),
            _ => int(&mut out, 6),
        }
        (0..7).for_each(|_| int(&mut out, 1));
        (0..3).for_each(|_| text(&mut out, "x"));
        int(&mut out, entries.len() as i64);
        for (id, desc, tag, needs) in entries {
            int(&mut out, *id);
            int(&mut out, 0);
            text(&mut out, "1259");
            text(&mut out, "16384");
            text(&mut out, tag);
            text(&mut out, desc);
            int(&mut out, 2);
            text(&mut out, "CREATE");
            text(&mut out, "DROP");
            int(&mut out, -1);
            text(&mut out, "public");
            text(&mut out, "");
            text(&mut out, "heap");
            if minor >= 16 {
                int(&mut out, 114);
            }
            text(&mut out, "odoo");
            text(&mut out, "false");
            needs.iter().for_each(|need| text(&mut out, need));
            int(&mut out, -1);
            out.extend([1; 9]);
        }
        out
    }

    fn entries(bytes: &[u8]) -> Read1<Vec<Entry>> {
        Reader { input: bytes, int_bytes: 4, offset_bytes: 8 }.entries()
    }

    #[test]
    fn every_known_format_is_read_and_others_are_refused() {
        for minor in MINORS {
            let bytes = dump(minor, &[(7, "TABLE", "a b", &[]), (9, "TABLE DATA", "a b", &["7", "3"])]);
            let found = entries(&bytes).unwrap();
            assert_eq!((found[0].id, found[0].tag.as_str(), found[0].owner.as_str()), (7, "a b", "odoo"));
            assert_eq!(found[0].access_method, "heap");
            assert_eq!((found[1].desc.as_str(), found[1].needs.as_slice()), ("TABLE DATA", &[7, 3][..]));
            assert!(entries(&bytes[..bytes.len() - 1]).is_err());
        }
        assert!(entries(&dump(17, &[])).unwrap_err().contains("1.17"));
        assert!(entries(b"PGDMX\x01\x0e\x00\x04\x08\x01").is_err());
    }
}
