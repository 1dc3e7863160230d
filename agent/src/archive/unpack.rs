//! Reads packs and encrypted texts, and checks the stored bytes against their manifest.

use std::io::{BufRead, BufReader, Read, Seek, SeekFrom};
use std::ops::Range;

use crate::archive::digest::Hashing;
use crate::archive::manifest::Object;
use crate::archive::pack::EXTENT_BYTES;
use crate::archive::path;
use crate::archive::seal::Identities;
use crate::error::{Error, Kind, Result};

/// The largest zstd window that is accepted (128 MiB): a forged frame cannot ask for more.
const WINDOW_LOG_MAX: u32 = 27;

/// A member as its tar header describes it, checked: the path is escaped text that unescapes to a plain
/// relative path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemberHeader {
    /// Escaped path of the file.
    pub path: String,
    /// Where the content belongs in the file; 0 for whole files.
    pub offset: u64,
    /// Whether this is the whole file.
    pub whole: bool,
    /// Size of the content.
    pub bytes: u64,
}

impl MemberHeader {
    fn parse(name: &str, bytes: u64) -> Result<MemberHeader> {
        let bad = || Error::new(Kind::Integrity, format!("{name:?} is not a member name of a Lifeboat pack"));
        let (path, offset, whole) = if let Some(path) = name.strip_prefix("files/") {
            (path, 0, true)
        } else {
            let rest = name.strip_prefix("extents/").ok_or_else(bad)?;
            let (path, offset) = rest.rsplit_once('/').ok_or_else(bad)?;
            if offset.len() != 20 || !offset.bytes().all(|b| b.is_ascii_digit()) {
                return Err(bad());
            }
            (path, offset.parse().map_err(|_| bad())?, false)
        };
        path::unescape(path)?;
        Ok(MemberHeader { path: path.to_owned(), offset, whole, bytes })
    }

    /// Reads the content of this member, whose size format 1 limits, replacing the content of `out`.
    ///
    /// # Errors
    /// `Integrity` where it is larger; errors of reading it.
    pub fn read(&self, content: &mut dyn Read, out: &mut Vec<u8>) -> Result<()> {
        if self.bytes > EXTENT_BYTES as u64 {
            let what = format!("member {} has {} bytes, more than format 1 allows", self.path, self.bytes);
            return Err(Error::new(Kind::Integrity, what));
        }
        out.clear();
        content
            .take(EXTENT_BYTES as u64)
            .read_to_end(out)
            .map(drop)
            .map_err(|e| Error::carried(Kind::Integrity, format!("cannot read member {}", self.path), e))
    }
}

/// Reads a pack to its end and passes each member to the callback in order; the callback may leave content
/// unread. `Ok` means that size and SHA-256 of the stored bytes match the manifest, the encryption is intact
/// and every member was well-formed. Before that, publish nothing of what was passed.
///
/// # Errors
/// `Integrity` when the stored bytes do not match the manifest (whatever else went wrong on the way),
/// `Identity`, errors of the callback, and those of reading `input`.
pub fn read_pack(
    object: &Object,
    input: impl Read,
    identities: &Identities,
    mut on_member: impl FnMut(MemberHeader, &mut dyn Read) -> Result<()>,
) -> Result<()> {
    checked(object, input, |input| {
        let name = &object.name;
        let opened = identities.open(name, input)?;
        let mut archive = tar::Archive::new(decoder(name, opened)?);
        each_member(name, &mut archive, &mut on_member)?;
        to_end(name, &mut archive.into_inner())
    })
}

/// Reads only these frames of a pack, `frames` being runs of their numbers, and passes their members like
/// [`read_pack`]. `will_read` gets the number of stored bytes that are read after each seek. The stored bytes
/// as a whole are *not* compared with the manifest: the caller must compare the output with digests that were
/// signed.
///
/// # Errors
/// `Integrity` where the object has no such frame or cannot be decoded; otherwise as [`read_pack`].
pub fn read_frames<R: Read + Seek>(
    object: &Object,
    input: R,
    identities: &Identities,
    frames: &[Range<u32>],
    will_read: impl Fn(u64),
    mut on_member: impl FnMut(MemberHeader, &mut dyn Read) -> Result<()>,
) -> Result<()> {
    let name = &object.name;
    let mut opened = identities.open(name, input)?;
    for run in frames {
        let at = |frame: u32| object.frames.get(frame as usize).copied();
        let begin = at(run.start)
            .ok_or_else(|| Error::new(Kind::Integrity, format!("{name} has no frame {}", run.start)))?;
        let bytes = at(run.end).map_or(object.bytes, |end| end.saturating_sub(begin));
        will_read(sealed_bytes(begin, bytes).min(object.bytes));
        opened.seek(SeekFrom::Start(begin)).map_err(|e| broken(name, e))?;
        let mut archive = tar::Archive::new(decoder(name, (&mut opened).take(bytes))?);
        each_member(name, &mut archive, &mut on_member)?;
        to_end(name, &mut archive.into_inner())?;
    }
    Ok(())
}

/// How much `bytes` from `begin` on occupy in an age file: whole chunks of 64 KiB, each with its tag.
pub fn sealed_bytes(begin: u64, bytes: u64) -> u64 {
    const CHUNK: u64 = 64 << 10;
    (begin.saturating_add(bytes).div_ceil(CHUNK) - begin / CHUNK) * (CHUNK + 16)
}

fn each_member<R: Read>(
    name: &str,
    archive: &mut tar::Archive<R>,
    on_member: &mut impl FnMut(MemberHeader, &mut dyn Read) -> Result<()>,
) -> Result<()> {
    for entry in archive.entries().map_err(|e| broken(name, e))? {
        let mut entry = entry.map_err(|e| broken(name, e))?;
        let path = String::from_utf8(entry.path_bytes().into_owned()).map_err(|_| {
            Error::new(Kind::Integrity, format!("{name} has a member name that is not UTF-8"))
        })?;
        if entry.header().entry_type() != tar::EntryType::Regular {
            return Err(Error::new(
                Kind::Integrity,
                format!("{name} has a member that is not a file: {path:?}"),
            ));
        }
        let bytes = entry.size();
        on_member(MemberHeader::parse(&path, bytes)?, &mut entry)?;
    }
    Ok(())
}

/// Reads an encrypted stream (an index, a baseline) through `read`, to its end, with the same guarantees as
/// [`read_pack`].
pub fn read_sealed<T>(
    object: &Object,
    input: impl Read,
    identities: &Identities,
    read: impl FnOnce(&mut dyn BufRead) -> Result<T>,
) -> Result<T> {
    checked(object, input, |input| {
        let opened = identities.open(&object.name, input)?;
        let mut plain = BufReader::with_capacity(256 << 10, decoder(&object.name, opened)?);
        let value = read(&mut plain)?;
        to_end(&object.name, &mut plain)?;
        Ok(value)
    })
}

fn decoder<'a, R: Read>(name: &str, input: R) -> Result<zstd::Decoder<'a, BufReader<R>>> {
    let input = BufReader::with_capacity(64 << 10, input);
    let mut decoder = zstd::Decoder::with_buffer(input).map_err(|e| broken(name, e))?;
    decoder.window_log_max(WINDOW_LOG_MAX).map_err(|e| broken(name, e))?;
    Ok(decoder)
}

fn to_end(name: &str, reader: &mut dyn Read) -> Result<()> {
    std::io::copy(reader, &mut std::io::sink()).map(|_| ()).map_err(|e| broken(name, e))
}

fn broken(name: &str, e: std::io::Error) -> Error {
    Error::carried(Kind::Integrity, format!("{name} cannot be decoded"), e)
}

/// Runs `decode` over the hashed input, then decides by the stored bytes: if they do not match the manifest,
/// that is the error, whatever decoding reported: a damaged header looks like a wrong identity. Where the
/// store did not deliver the bytes, there is nothing to compare.
fn checked<R: Read, T>(
    object: &Object,
    input: R,
    decode: impl FnOnce(&mut Hashing<R>) -> Result<T>,
) -> Result<T> {
    let mut hashing = Hashing::new(input);
    let decoded = decode(&mut hashing);
    if let Err(error) = &decoded
        && matches!(error.kind(), Kind::Interrupted | Kind::NotFound | Kind::Denied | Kind::Unreachable)
    {
        return decoded;
    }
    let beyond = object.bytes.saturating_add(1).saturating_sub(hashing.passed());
    std::io::copy(&mut (&mut hashing).take(beyond), &mut std::io::sink())
        .map_err(|e| Error::carried(Kind::Io, format!("cannot read {}", object.name), e))?;
    let (_, sha256, bytes) = hashing.finish();
    object.check(bytes, sha256)?;
    decoded
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::archive::compress::{Compressor, Content};
    use crate::archive::pack::{EXTENT_BYTES, Frames, Member, PackBuilder};
    use crate::archive::seal::Recipients;
    use age::secrecy::ExposeSecret;

    fn keys() -> (Recipients, Identities, tempfile::TempDir) {
        let dir = tempfile::tempdir().unwrap();
        let key = age::x25519::Identity::generate();
        let file = dir.path().join("id");
        crate::disk::write_new_durable(&file, key.to_string().expose_secret().as_bytes()).unwrap();
        let recipients = Recipients::parse([key.to_public().to_string().as_str()]).unwrap();
        (recipients, Identities::load(&[file], &|_| None).unwrap(), dir)
    }

    fn pack(recipients: &Recipients) -> (Object, Vec<u8>) {
        let mut zstd = Compressor::new(3, Content::Text).unwrap();
        let mut pack = PackBuilder::new(recipients, Vec::new()).unwrap();
        let mut frames = Frames::default();
        let mut take = |frame: &mut Vec<u8>| pack.frame(&mut zstd, frame);
        let long = format!("{}/x", "d".repeat(150));
        frames.append(Member::Whole("a"), 0o644, 7, b"one", &mut take).unwrap();
        frames.append(Member::Whole("empty"), 0o600, 7, b"", &mut take).unwrap();
        let extent = Member::Extent(&long, 4096);
        let place = frames.append(extent, 0o600, 7, &vec![9; EXTENT_BYTES], &mut take).unwrap();
        assert_eq!(place.frame, 1, "a large extent begins a frame");
        frames.end(&mut take).unwrap();
        let end = pack.finish().unwrap();
        let object = Object {
            name: "packs/000000.tar.zst.age".into(),
            bytes: end.bytes,
            sha256: end.sha256,
            frames: end.frames,
        };
        (object, end.sink)
    }

    #[test]
    fn a_pack_reads_back_and_every_flipped_or_missing_byte_is_found() {
        let (recipients, identities, _dir) = keys();
        let (object, stored) = pack(&recipients);
        let mut seen = Vec::new();
        let read = |data: &[u8], seen: &mut Vec<(String, u64, u64)>| {
            read_pack(&object, data, &identities, |member, content| {
                let mut bytes = Vec::new();
                content.read_to_end(&mut bytes).unwrap_or_default();
                seen.push((member.path, member.offset, bytes.len() as u64));
                Ok(())
            })
        };
        read(&stored, &mut seen).unwrap();
        assert_eq!(seen[0], ("a".into(), 0, 3));
        assert_eq!(seen[1], ("empty".into(), 0, 0));
        assert_eq!((seen[2].1, seen[2].2), (4096, EXTENT_BYTES as u64));
        for at in 0..stored.len() {
            let mut bad = stored.clone();
            bad[at] ^= 1;
            let error = read(&bad, &mut Vec::new()).unwrap_err();
            assert!(matches!(error.kind(), Kind::Integrity | Kind::Identity), "byte {at}: {error:?}");
        }
        for cut in [0, 1, stored.len() / 2, stored.len() - 1] {
            assert!(read(&stored[..cut], &mut Vec::new()).is_err(), "cut at {cut}");
        }
        let mut longer = stored.clone();
        longer.push(0);
        assert!(read(&longer, &mut Vec::new()).is_err());
    }

    #[test]
    fn single_frames_read_back_and_damage_in_them_is_found() {
        let (recipients, identities, _dir) = keys();
        let (object, stored) = pack(&recipients);
        assert_eq!(object.frames.len(), 3, "the last one is the tar's end");
        let read = |data: &[u8], frames: Range<u32>| {
            let mut seen = Vec::new();
            let input = std::io::Cursor::new(data);
            read_frames(
                &object,
                input,
                &identities,
                &[frames],
                |_| {},
                |member, content| {
                    let mut bytes = Vec::new();
                    member.read(content, &mut bytes)?;
                    seen.push((member.path, bytes.len()));
                    Ok(())
                },
            )
            .map(|()| seen)
        };
        assert_eq!(read(&stored, 0..1).unwrap(), [("a".to_owned(), 3), ("empty".to_owned(), 0)]);
        let second = read(&stored, 1..2).unwrap();
        assert_eq!((second.len(), second[0].1), (1, EXTENT_BYTES));
        assert_eq!(read(&stored, 0..2).unwrap().len(), 3);
        assert_eq!(read(&stored, 2..3).unwrap(), []);
        assert_eq!(read(&stored, 3..4).unwrap_err().kind(), Kind::Integrity);
        let mut bad = stored.clone();
        let middle = bad.len() / 2;
        bad[middle] ^= 1;
        assert_eq!(read(&bad, 1..2).unwrap_err().kind(), Kind::Integrity);
        assert!(read(&stored[..stored.len() / 2], 1..2).is_err());
    }

    #[test]
    fn member_names_that_lead_outside_are_refused() {
        for bad in
            ["files/../x", "files//x", "x/y", "extents/a/12", "extents/a/+0000000000000000012", "files/"]
        {
            assert!(MemberHeader::parse(bad, 0).is_err(), "{bad}");
        }
    }
}
