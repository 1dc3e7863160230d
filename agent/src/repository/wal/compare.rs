//! What must still be stored of a file, given what is already stored: compared by the digests in its names,
//! without a key.

use std::io::{BufReader, Read};
use std::ops::Range;

use bytes::Bytes;

use super::coverage::assemble;
use crate::archive::wal::{CONTENT_BYTES_MAX, HalfDigest, WalName};
use crate::archive::wal_filled::filled_from;
use crate::error::{Error, Kind, Result};
use crate::names::wal::WalFile;

/// How much is read at once of a file that is only looked at.
const READ_BYTES: usize = 256 << 10;

/// A file that is being stored, read range by range, so that a long one need not be in memory.
/// Blocking.
pub trait Content: Send + Sync {
    /// Its size.
    fn bytes(&self) -> u32;
    /// Replaces the content of `into` by these bytes; `range` is within the file.
    fn range(&self, range: Range<u32>, into: &mut Vec<u8>) -> Result<()>;
}

impl Content for Bytes {
    fn bytes(&self) -> u32 {
        self.len() as u32
    }
    fn range(&self, range: Range<u32>, into: &mut Vec<u8>) -> Result<()> {
        into.clear();
        into.extend_from_slice(&self[range.start as usize..range.end as usize]);
        Ok(())
    }
}

/// Reads a content from its first byte on.
pub(super) struct Reader<'a> {
    content: &'a dyn Content,
    at: u32,
    piece: Vec<u8>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(content: &'a dyn Content) -> BufReader<Reader<'a>> {
        BufReader::with_capacity(READ_BYTES, Reader { content, at: 0, piece: Vec::new() })
    }
}

impl Read for Reader<'_> {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        let end = self.content.bytes().min(self.at.saturating_add(into.len() as u32));
        self.content.range(self.at..end, &mut self.piece).map_err(std::io::Error::other)?;
        into[..self.piece.len()].copy_from_slice(&self.piece);
        self.at = end;
        Ok(self.piece.len())
    }
}

/// Checks stored objects of `file` against its bytes from `begin` on, as far as those go. Returns a byte at
/// which these bytes can be cut in two to be stored, where an object has the name for all of them and
/// contains only their beginning.
///
/// # Errors
/// `AlreadyExists` where one of them contains other bytes.
pub fn check_stored(file: WalFile, begin: u32, content: &[u8], there: &[WalName]) -> Result<Option<u32>> {
    let mut cut = None;
    for name in there {
        let at = name.begin.checked_sub(begin).map(|at| at as usize);
        let same = at.and_then(|at| content.get(at..at + (name.end - name.begin) as usize));
        if same.is_some_and(|same| HalfDigest::of(same) != name.plain) {
            let is_whole = same.is_some_and(|same| same.len() == content.len());
            let found = is_whole.then(|| cut_of(name, content, there)).flatten();
            cut = Some(found.ok_or_else(|| conflict(file, name))?);
        }
    }
    Ok(cut)
}

/// Where to cut `content` to store it in addition to an object of the same range that contains only its
/// beginning, and zeros (older versions stored an incomplete segment like that): where the zeros begin, which
/// the digest proves. Where other objects already have all of the range, no proof is needed.
fn cut_of(name: &WalName, content: &[u8], there: &[WalName]) -> Option<u32> {
    let within = there.iter().filter(|other| {
        other.begin >= name.begin && other.end <= name.end && other.end - other.begin < name.end - name.begin
    });
    let pieces: Vec<WalName> = within
        .map(|other| WalName { begin: other.begin - name.begin, end: other.end - name.begin, ..*other })
        .collect();
    if let [first, .., last] = assemble(&pieces).as_slice()
        && last.end as usize == content.len()
    {
        return Some(name.begin + first.end);
    }
    let ends = pieces.iter().map(|piece| piece.end as usize).chain([0]);
    let cut = filled_from(content, name.plain, ends)?;
    tracing::warn!("{name} has {cut} bytes of WAL followed by zeros; the rest is stored as another object");
    Some(name.begin + if cut == 0 { content.len() / 2 } else { cut } as u32)
}

/// The ranges that must still be stored of a file with this content.
pub(super) fn missing(file: WalFile, content: &dyn Content, there: &[WalName]) -> Result<Vec<Range<u32>>> {
    let length = content.bytes();
    if let Some(longer) = there.iter().find(|name| name.end > length) {
        return Err(conflict(file, longer));
    }
    let cuts = compare(file, content, length, there)?;
    let starts = (0..length).step_by(CONTENT_BYTES_MAX);
    let ranges = starts.map(|begin| begin..length.min(begin + CONTENT_BYTES_MAX as u32));
    let ranges = ranges.flat_map(|range| match cuts.iter().find(|cut| range.contains(cut)) {
        Some(cut) => vec![range.start..*cut, *cut..range.end],
        None => vec![range],
    });
    let is_there = |range: &Range<u32>| there.iter().any(|name| (name.begin..name.end) == *range);
    Ok(ranges.filter(|range| !is_there(range)).collect())
}

/// The part of a file that is to be stored, and the part that stored objects are compared with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Beginning {
    /// The bytes before this one are stored.
    pub upto: u32,
    /// How many bytes of the file count when stored objects are compared with it; at least `upto`.
    pub of: u32,
}

/// The same for its beginning: what is stored counts, however it was cut. `None` where something longer is
/// stored and nothing shows whether it is the same.
pub(super) fn missing_of_beginning(
    file: WalFile,
    content: &dyn Content,
    Beginning { upto, of }: Beginning,
    there: &[WalName],
) -> Result<Option<Vec<Range<u32>>>> {
    let (mut known, longer): (Vec<WalName>, Vec<WalName>) = there.iter().partition(|name| name.end <= upto);
    let cuts = compare(file, content, of, &known)?;
    let is_cut = |name: &WalName| cuts.iter().any(|cut| (name.begin..name.end).contains(cut));
    known.retain(|name| !(is_block(name, of) && is_cut(name)));
    let mut begin = assemble(&known).last().map_or(0, |name| name.end);
    for name in longer {
        let is_in_file = name.end <= of;
        if !is_in_file && (name.begin > begin || begin >= upto) {
            continue;
        }
        match known_end(content, Beginning { upto, of }, &name, there)? {
            Some(end) if end >= upto => return Ok(Some(Vec::new())),
            Some(_) => {}
            None if is_in_file => return Err(conflict(file, &name)),
            None => return Ok(None),
        }
    }
    let mut ranges = Vec::new();
    while begin < upto {
        let end = upto.min((begin + 1).next_multiple_of(CONTENT_BYTES_MAX as u32));
        ranges.push(begin..end);
        begin = end;
    }
    Ok(Some(ranges))
}

/// How far an object that continues after `upto` contains the content, where its digest proves it: it has the
/// same bytes as the file, or a beginning of its WAL, and zeros.
fn known_end(
    content: &dyn Content,
    Beginning { upto, of }: Beginning,
    name: &WalName,
    there: &[WalName],
) -> Result<Option<u32>> {
    let mut piece = Vec::new();
    content.range(name.begin..name.end.min(of), &mut piece)?;
    if HalfDigest::of(&piece) == name.plain {
        return Ok(Some(upto));
    }
    if name.begin >= upto {
        return Ok(None);
    }
    piece.truncate((upto - name.begin) as usize);
    piece.resize((name.end - name.begin) as usize, 0);
    if HalfDigest::of(&piece) == name.plain {
        return Ok(Some(upto));
    }
    let ends = there.iter().filter(|other| (name.begin..upto).contains(&other.end));
    let ends = ends.map(|other| (other.end - name.begin) as usize).chain([0]);
    Ok(filled_from(&piece, name.plain, ends).map(|end| name.begin + end as u32))
}

/// Whether an object is one of those in which a whole file of so many bytes is stored.
pub(super) fn is_block(name: &WalName, bytes: u32) -> bool {
    name.begin.is_multiple_of(CONTENT_BYTES_MAX as u32)
        && name.end == bytes.min(name.begin.saturating_add(CONTENT_BYTES_MAX as u32))
}

/// Compares the first `of` bytes of the content with what is stored of them; returns where to cut them, as
/// [`check_stored`] does.
fn compare(file: WalFile, content: &dyn Content, of: u32, there: &[WalName]) -> Result<Vec<u32>> {
    let (mut piece, mut cuts) = (Vec::new(), Vec::new());
    for name in there.iter().filter(|name| name.end <= of) {
        content.range(name.begin..name.end, &mut piece)?;
        if HalfDigest::of(&piece) != name.plain {
            let cut = is_block(name, of).then(|| cut_of(name, &piece, there)).flatten();
            cuts.push(cut.ok_or_else(|| conflict(file, name))?);
        }
    }
    Ok(cuts)
}

/// The error for other bytes under the same name.
fn conflict(file: WalFile, there: &WalName) -> Error {
    Error::new(
        Kind::AlreadyExists,
        format!("bytes {} to {} of {file} are already stored with other content", there.begin, there.end),
    )
    .because(format!("the stored bytes have SHA-256 {}…", there.plain))
    .effect("this file was not stored; the stored WAL was not changed, and its recovery window ends where the two differ")
    .next("check whether two servers store WAL as one instance, such as a clone or a restored copy with archiving on: turn it off there, or give it its own instance name. An older version may also have stored an incomplete segment: run lifeboat verify --deep --identity FILE and move the object that it lists away")
    .safe("running again is safe but fails in the same way")
}
