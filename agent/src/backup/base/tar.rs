//! Reads a tar archive as it arrives over a connection: member by member, with no more of it in memory than
//! is asked for. PostgreSQL writes plain ustar headers; everything else is refused by name.

use bytes::{Buf, Bytes};

use crate::archive::path::{escape, unescape};
use crate::error::{Error, Kind, Result};

/// Headers and content are padded to this.
const BLOCK: usize = 512;

/// What a member is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TarKind {
    /// A file, whose content follows.
    File,
    /// A directory.
    Directory,
    /// A link: never followed, never made.
    Link,
}

/// The head of a member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TarMember {
    /// Escaped and relative; it cannot lead out of a directory.
    pub path: String,
    /// What it is.
    pub kind: TarKind,
    /// Bytes of its content.
    pub bytes: u64,
    /// Permission bits.
    pub mode: u32,
    /// Seconds since 1970.
    pub mtime: i64,
}

/// Reads one archive.
pub struct TarReader<S> {
    source: S,
    chunk: Bytes,
    /// Content of the member that is not read yet.
    left: u64,
    /// Padding after it.
    padding: u64,
}

impl<S: FnMut() -> Result<Option<Bytes>>> TarReader<S> {
    /// A reader over what `source` gives, up to its end.
    pub fn new(source: S) -> TarReader<S> {
        TarReader { source, chunk: Bytes::new(), left: 0, padding: 0 }
    }

    /// The next member; the unread rest of the last one is skipped. `None` at the end: two empty blocks, or,
    /// from servers before 15, nothing more.
    ///
    /// # Errors
    /// `Integrity` for an archive that is truncated or damaged, or contains something that no cluster has.
    pub fn next(&mut self) -> Result<Option<TarMember>> {
        self.pass(self.left.saturating_add(self.padding))?;
        (self.left, self.padding) = (0, 0);
        let mut header = [0; BLOCK];
        match self.fill(&mut header)? {
            0 => return Ok(None),
            BLOCK => {}
            _ => return Err(damaged("it ends in the middle of a header")),
        }
        if header.iter().all(|byte| *byte == 0) {
            return self.end();
        }
        let member = parse(&header)?;
        if member.kind == TarKind::File {
            self.left = member.bytes;
            self.padding = member.bytes.next_multiple_of(BLOCK as u64) - member.bytes;
        }
        Ok(Some(member))
    }

    /// Reads content of the member until the buffer is full or the member ends; how many bytes.
    pub fn read(&mut self, buffer: &mut [u8]) -> Result<usize> {
        let wanted = usize::try_from(self.left).unwrap_or(usize::MAX).min(buffer.len());
        let n = self.fill(&mut buffer[..wanted])?;
        if n < wanted {
            return Err(damaged("it ends in the middle of a file"));
        }
        self.left -= n as u64;
        Ok(n)
    }

    fn fill(&mut self, buffer: &mut [u8]) -> Result<usize> {
        let mut n = 0;
        while n < buffer.len() && self.more()? {
            let take = self.chunk.len().min(buffer.len() - n);
            self.chunk.copy_to_slice(&mut buffer[n..n + take]);
            n += take;
        }
        Ok(n)
    }

    fn pass(&mut self, mut bytes: u64) -> Result<()> {
        while bytes > 0 {
            if !self.more()? {
                return Err(damaged("it ends in the middle of a file"));
            }
            let take = usize::try_from(bytes).unwrap_or(usize::MAX).min(self.chunk.len());
            self.chunk.advance(take);
            bytes -= take as u64;
        }
        Ok(())
    }

    /// Whether the chunk has more bytes, or another chunk comes.
    fn more(&mut self) -> Result<bool> {
        while self.chunk.is_empty() {
            match (self.source)()? {
                Some(chunk) => self.chunk = chunk,
                None => return Ok(false),
            }
        }
        Ok(true)
    }

    fn end(&mut self) -> Result<Option<TarMember>> {
        while self.more()? {
            if self.chunk.iter().any(|byte| *byte != 0) {
                return Err(damaged("there are bytes after its end"));
            }
            self.chunk.clear();
        }
        Ok(None)
    }
}

fn damaged(why: &str) -> Error {
    Error::new(
        Kind::Integrity,
        "the server sent a tar archive that is incomplete or is not of a PostgreSQL cluster",
    )
    .because(why.to_owned())
    .effect("no base backup was stored")
    .safe("running again is safe")
}

fn parse(header: &[u8; BLOCK]) -> Result<TarMember> {
    let sum: u64 = header.iter().map(|byte| u64::from(*byte)).sum();
    let own: u64 = header[148..156].iter().map(|byte| u64::from(*byte)).sum();
    if number(&header[148..156]) != Some(sum - own + 8 * u64::from(b' ')) || &header[257..262] != b"ustar" {
        return Err(damaged("a header has a wrong checksum"));
    }
    let text = |field: &[u8]| field.split(|byte| *byte == 0).next().unwrap_or_default().to_vec();
    let mut path = text(&header[345..500]);
    if !path.is_empty() {
        path.push(b'/');
    }
    path.extend(text(&header[..100]));
    if path.last() == Some(&b'/') {
        path.pop(); // the names of directories and links end with one
    }
    // PostgreSQL writes `./pg_wal/archive_status`, and everything else without the dot.
    let path = escape(path.strip_prefix(b"./").unwrap_or(&path));
    unescape(&path).map_err(|e| damaged(e.what()))?;
    let kind = match header[156] {
        b'0' | 0 => TarKind::File,
        b'5' => TarKind::Directory,
        b'2' => TarKind::Link,
        other => return Err(damaged(&format!("{path} is of type {other:#x}"))),
    };
    let field = |at: std::ops::Range<usize>| {
        number(&header[at])
            .ok_or_else(|| damaged(&format!("the header of {path} has a field that is not a number")))
    };
    Ok(TarMember {
        kind,
        bytes: field(124..136)?,
        mode: (field(100..108)? & 0o7777) as u32,
        mtime: i64::try_from(field(136..148)?).unwrap_or(0),
        path,
    })
}

/// A number in octal digits, or, where it is too large for them, in base 256 after a set bit.
fn number(field: &[u8]) -> Option<u64> {
    let (first, rest) = field.split_first()?;
    if *first & 0x80 != 0 {
        return rest.iter().try_fold(u64::from(*first & 0x3F), |value, byte| {
            Some(value.checked_mul(256)? | u64::from(*byte))
        });
    }
    let digits = field.iter().skip_while(|byte| **byte == b' ');
    let digits = digits.take_while(|byte| !matches!(**byte, 0 | b' '));
    digits.into_iter().try_fold(0u64, |value, byte| {
        matches!(byte, b'0'..=b'7').then(|| value.checked_mul(8))?.map(|value| value | u64::from(byte - b'0'))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A header as PostgreSQL's `tarCreateHeader` writes it.
    fn header(name: &str, kind: u8, size: &[u8]) -> [u8; BLOCK] {
        let mut header = [0; BLOCK];
        header[..name.len()].copy_from_slice(name.as_bytes());
        header[100..108].copy_from_slice(b"0000600\0");
        header[124..124 + size.len()].copy_from_slice(size);
        header[136..148].copy_from_slice(b"14713232525\0");
        header[156] = kind;
        header[257..265].copy_from_slice(b"ustar\x0000");
        seal(&mut header);
        header
    }

    fn seal(header: &mut [u8; BLOCK]) {
        header[148..156].fill(b' ');
        let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
        header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    }

    fn file(name: &str, content: &[u8]) -> Vec<u8> {
        let mut all = header(name, b'0', format!("{:011o} ", content.len()).as_bytes()).to_vec();
        all.extend(content);
        all.resize(all.len().next_multiple_of(BLOCK), 0);
        all
    }

    /// The archive in chunks of so many bytes.
    fn reader(data: Vec<u8>, chunk: usize) -> TarReader<impl FnMut() -> Result<Option<Bytes>>> {
        let mut data = Bytes::from(data);
        TarReader::new(move || {
            let n = data.len().min(chunk);
            Ok((n > 0).then(|| data.split_to(n)))
        })
    }

    fn all(data: Vec<u8>, chunk: usize) -> Result<Vec<(String, Vec<u8>)>> {
        let mut reader = reader(data, chunk);
        let mut found = Vec::new();
        while let Some(member) = reader.next()? {
            let mut content = vec![0; member.bytes as usize + 9];
            let n = reader.read(&mut content)?;
            content.truncate(n);
            found.push((member.path, content));
        }
        Ok(found)
    }

    #[test]
    fn members_come_out_however_the_bytes_come_in() {
        let mut archive = file("backup_label", b"START");
        archive.extend(header("./base/5/", b'5', b"00000000000 "));
        archive.extend(file("base/5/16384", &[7; 1024]));
        archive.extend(file("empty", b""));
        let expected = [
            ("backup_label".to_owned(), b"START".to_vec()),
            ("base/5".to_owned(), vec![]),
            ("base/5/16384".to_owned(), vec![7; 1024]),
            ("empty".to_owned(), vec![]),
        ];
        for (end, chunk) in [(0, 1), (0, 700), (1024, 1), (1024, 512), (1024, 9999)] {
            let mut archive = archive.clone();
            archive.resize(archive.len() + end, 0);
            assert_eq!(all(archive, chunk).unwrap(), expected, "{end} {chunk}");
        }
        let mut reader = reader(archive, 333);
        let paths: Vec<_> = std::iter::from_fn(|| reader.next().unwrap()).map(|m| m.path).collect();
        assert_eq!(paths.len(), 4, "content that nobody reads is skipped");
        let mut large = [0; 12];
        (large[0], large[7]) = (0x80, 2);
        let member = parse(&header("large", b'0', &large)).unwrap();
        assert_eq!((member.bytes, member.mode, member.mtime), (2 << 32, 0o600, 0o14713232525));
    }

    #[test]
    fn what_is_no_clusters_archive_is_refused() {
        let whole = file("base/1/2", &[1; 600]);
        for cut in [1, 511, 513, 1111, whole.len() - 1] {
            let cut = whole[..cut].to_vec();
            assert_eq!(all(cut, 100).unwrap_err().kind(), Kind::Integrity);
        }
        let mut flipped = whole.clone();
        flipped[3] ^= 1;
        assert!(all(flipped, 100).is_err());
        let mut longer = whole.clone();
        longer.resize(longer.len() + 1024, 0);
        longer.extend(file("late", b"x"));
        assert!(all(longer, 100).is_err());
        for path in ["/etc/passwd", "../x", "base/../../x", "base//x", "././x"] {
            assert!(all(file(path, b"x"), 100).is_err(), "{path}");
        }
        for kind in [b'1', b'3', b'6', b'L', b'x', b'g'] {
            assert!(all(header("odd", kind, b"00000000000 ").to_vec(), 100).is_err(), "{kind}");
        }
        assert!(all(header("odd", b'0', b"0000000009\0").to_vec(), 100).is_err());
        let mut prefixed = header("name", b'0', b"00000000000 ");
        prefixed[345..349].copy_from_slice(b"../x");
        seal(&mut prefixed);
        assert!(all(prefixed.to_vec(), 100).is_err());
    }
}
