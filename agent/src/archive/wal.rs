//! WAL objects: a file of `pg_wal`, or a range of one, each a signed archive of its own. There is no
//! manifest: digests are in the name, which is signed too ([`super::wal_name`]). The signature over the
//! content is inside, after the data, where `zstd -d` skips it.

use std::io::{Read, Write};

use serde::{Deserialize, Serialize};

use crate::archive::compress::{Compressor, Content};
use crate::archive::digest::Sha256;
use crate::archive::manifest::{FORMAT, Origin};
use crate::archive::seal::{Identities, Recipients};
use crate::archive::signature::{SIGNATURE_BYTES_MAX, SigningKey, TrustedKeys};
use crate::archive::wal_name::NameTrust;
pub use crate::archive::wal_name::{CONTENT_BYTES_MAX, HalfDigest, WalName};
use crate::error::{Error, Kind, Result};
use crate::names::wal::WalFile;

/// The largest stored size of [`CONTENT_BYTES_MAX`].
pub const STORED_BYTES_MAX: u64 = CONTENT_BYTES_MAX as u64 + (1 << 20);
/// zstd's first skippable frame (RFC 8878, 3.1.2).
const SKIPPABLE: u32 = 0x184D_2A50;

/// What is signed: one line of JSON, with its line end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Statement {
    format: u32,
    origin: Origin,
    file: String,
    begin: u32,
    end: u32,
    sha256: Sha256,
}

impl Statement {
    fn to_line(&self) -> Result<Vec<u8>> {
        let mut line = serde_json::to_vec(self)
            .map_err(|e| Error::new(Kind::Internal, "cannot write JSON").because(e))?;
        line.push(b'\n');
        Ok(line)
    }
}

/// Makes WAL objects: for which recipients, signed by which key, for which repository and instance.
pub struct WalSealer {
    /// The repository and instance.
    pub origin: Origin,
    /// Who can decrypt them.
    pub recipients: Recipients,
    /// Who signs.
    pub signing: SigningKey,
    /// zstd's level, 1 to 19.
    pub zstd_level: i32,
}

impl WalSealer {
    /// The object with the bytes of `file` from `begin` on, and its name. About 100 ms of CPU for a segment.
    ///
    /// # Errors
    /// `Internal` where `content` is empty or larger than [`CONTENT_BYTES_MAX`].
    pub fn seal(&self, file: WalFile, begin: u32, content: &[u8]) -> Result<(WalName, Vec<u8>)> {
        self.seal_with(&mut Scratch::default(), file, begin, content)
    }

    /// [`WalSealer::seal`] with reused memory: new memory costs as much time as hashing.
    pub fn seal_with(
        &self,
        scratch: &mut Scratch,
        file: WalFile,
        begin: u32,
        content: &[u8],
    ) -> Result<(WalName, Vec<u8>)> {
        let end = u32::try_from(content.len()).ok().and_then(|length| begin.checked_add(length));
        let Some(end) = end.filter(|_| (1..=CONTENT_BYTES_MAX).contains(&content.len())) else {
            let what = format!("{} bytes of {file} at {begin} cannot be a WAL object", content.len());
            return Err(Error::new(Kind::Internal, what));
        };
        let failed = |e| Error::carried(Kind::Internal, format!("cannot encrypt {file}"), e);
        let sha256 = Sha256::of(content);
        let statement = Statement {
            format: FORMAT,
            origin: self.origin.clone(),
            file: file.to_string(),
            begin,
            end,
            sha256,
        };
        let line = statement.to_line()?;
        let signature = self.signing.sign(&line)?;
        // begins on a line of its own, so that a shell finds it
        let note = [b"\n", line.as_slice(), signature.as_bytes()].concat();

        let Scratch { zstd, plain } = scratch;
        let zstd = match zstd {
            Some(zstd) => zstd,
            none => none.insert(Compressor::new(self.zstd_level, Content::Pages)?),
        };
        zstd.frame(content, plain)?;
        plain.extend_from_slice(&SKIPPABLE.to_le_bytes());
        plain.extend_from_slice(&(note.len() as u32).to_le_bytes());
        plain.extend_from_slice(&note);
        let mut sealed = self.recipients.seal(Vec::with_capacity(plain.len() + 4096))?;
        sealed.write_all(plain).map_err(failed)?;
        let stored = sealed.finish().map_err(failed)?;
        let (plain, stored_digest) = (HalfDigest::from(sha256), HalfDigest::of(&stored));
        let unsigned = WalName { file, begin, end, plain, stored: stored_digest, signature: None };
        Ok((unsigned.sign(&self.origin, &self.signing)?, stored))
    }
}

/// The memory that sealing needs, reused by the same sealer.
#[derive(Default)]
pub struct Scratch {
    zstd: Option<Compressor>,
    plain: Vec<u8>,
}

/// Reads WAL objects.
pub struct WalOpener {
    /// The repository and instance that they must belong to.
    pub origin: Origin,
    /// The identities that decrypt them.
    pub identities: Identities,
    /// Whose signatures count; `None` where a person turned that check off.
    pub trusted: Option<TrustedKeys>,
}

impl WalOpener {
    /// Which names count where it reads.
    pub fn name_trust(&self) -> NameTrust {
        NameTrust::new(&self.origin, self.trusted.clone())
    }

    /// The content of a stored object, completely checked: digest of the stored bytes, encryption, length,
    /// digest of the content, and that it was signed as exactly this range of this file, for this repository
    /// and instance. Keeps up to three times the content in memory.
    ///
    /// # Errors
    /// `Integrity`, `Identity`, `Signature`; running again does not help.
    pub fn open(&self, name: &WalName, stored: &[u8]) -> Result<Vec<u8>> {
        self.check(name, stored).map_err(|e| {
            e.context(format!("open WAL object {name}"))
                .effect("WAL from here on cannot be replayed from this object")
                .next("run lifeboat wal status; another copy of the repository may have it intact")
        })
    }

    fn check(&self, name: &WalName, stored: &[u8]) -> Result<Vec<u8>> {
        let bad = |what: String| Error::new(Kind::Integrity, what);
        let found = HalfDigest::of(stored);
        if found != name.stored {
            return Err(bad(format!(
                "the stored bytes have SHA-256 {found}…, but the name says {}",
                name.stored
            )));
        }
        let mut plain = Vec::with_capacity(stored.len());
        self.identities
            .open(&name.to_string(), stored)?
            .read_to_end(&mut plain)
            .map_err(|e| Error::carried(Kind::Integrity, "it cannot be decrypted", e))?;
        let (data, note) = split(&plain)
            .ok_or_else(|| bad("it is not one zstd frame followed by one skippable frame".to_owned()))?;
        let length = (name.end - name.begin) as usize;
        let content = zstd::bulk::decompress(data, length)
            .map_err(|e| bad("it cannot be decompressed".to_owned()).because(e))?;
        let sha256 = Sha256::of(&content);
        if content.len() != length || HalfDigest::from(sha256) != name.plain {
            let got = content.len();
            return Err(bad(format!(
                "it contains {got} bytes with SHA-256 {sha256}; its name says otherwise"
            )));
        }
        self.check_note(name, sha256, note)?;
        Ok(content)
    }

    fn check_note(&self, name: &WalName, sha256: Sha256, note: &[u8]) -> Result<()> {
        let note = note.strip_prefix(b"\n").unwrap_or_default();
        let line = note.iter().position(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        let (line, signature) = note.split_at(line);
        if let Some(trusted) = &self.trusted {
            trusted.verify("its statement", line, signature)?;
        }
        let said: Statement = serde_json::from_slice(line)
            .map_err(|e| Error::new(Kind::Integrity, "its statement cannot be read").because(e))?;
        let expected = Statement {
            format: FORMAT,
            origin: self.origin.clone(),
            file: name.file.to_string(),
            begin: name.begin,
            end: name.end,
            sha256,
        };
        if said != expected {
            let what = format!(
                "it was signed for another place or content: bytes {} to {} of {} of instance {} in repository {} with SHA-256 {}",
                said.begin, said.end, said.file, said.origin.instance, said.origin.repository, said.sha256
            );
            return Err(Error::new(Kind::Signature, what));
        }
        Ok(())
    }
}

/// The data frame, and the content of the skippable frame after it; `None` where there is anything else.
fn split(plain: &[u8]) -> Option<(&[u8], &[u8])> {
    let at = zstd::zstd_safe::find_frame_compressed_size(plain).ok()?;
    let (data, rest) = plain.split_at_checked(at)?;
    let (magic, rest) = rest.split_first_chunk::<4>()?;
    let (length, note) = rest.split_first_chunk::<4>()?;
    let fits = u32::from_le_bytes(*magic) == SKIPPABLE
        && u32::from_le_bytes(*length) as usize == note.len()
        && note.len() as u64 <= SIGNATURE_BYTES_MAX;
    fits.then_some((data, note))
}

#[cfg(test)]
mod tests {
    use std::str::FromStr;

    use super::*;
    use age::secrecy::ExposeSecret;
    use tempfile::TempDir;

    struct Keys {
        sealer: WalSealer,
        opener: WalOpener,
        identity: std::path::PathBuf,
        _dir: TempDir,
    }

    fn keys() -> Keys {
        let dir = tempfile::tempdir().unwrap();
        let key = age::x25519::Identity::generate();
        let identity = dir.path().join("id");
        crate::disk::write_new_durable(&identity, key.to_string().expose_secret().as_bytes()).unwrap();
        let digest = Sha256::of(b"meta");
        let origin = Origin {
            repository: "r".into(),
            repository_sha256: digest,
            instance: "prod".parse().unwrap(),
            instance_sha256: digest,
        };
        let signing = SigningKey::generate("test").unwrap();
        let trusted = TrustedKeys::parse([signing.public_text().unwrap().as_str()]).unwrap();
        let recipients = Recipients::parse([key.to_public().to_string().as_str()]).unwrap();
        let opener = WalOpener {
            origin: origin.clone(),
            identities: Identities::load(std::slice::from_ref(&identity), &|_| None).unwrap(),
            trusted: Some(trusted),
        };
        Keys { sealer: WalSealer { origin, recipients, signing, zstd_level: 3 }, opener, identity, _dir: dir }
    }

    fn segment() -> WalFile {
        "000000010000000200000003".parse().unwrap()
    }

    fn content() -> Vec<u8> {
        (0..5000u32).flat_map(|n| (n * n).to_le_bytes()).collect()
    }

    #[test]
    fn an_object_opens_and_no_damaged_one_does() {
        let keys = keys();
        let (name, stored) = keys.sealer.seal(segment(), 8192, &content()).unwrap();
        assert_eq!(keys.opener.open(&name, &stored).unwrap(), content());
        assert_eq!(name.to_string().parse::<WalName>().unwrap(), name);
        assert_eq!((name.begin, name.end), (8192, 28192));
        // even where the name is changed to match the damage
        let refused = |bytes: &[u8], what: &str| {
            let error = keys.opener.open(&name, bytes).unwrap_err();
            assert_eq!(error.kind(), Kind::Integrity, "{what}");
            let forged = WalName { stored: HalfDigest::of(bytes), ..name };
            let kind = keys.opener.open(&forged, bytes).unwrap_err().kind();
            assert!(matches!(kind, Kind::Integrity | Kind::Identity), "{what}: {kind:?}");
        };
        for at in (0..stored.len()).step_by(7).chain(stored.len() - 40..stored.len()) {
            let mut bad = stored.clone();
            bad[at] ^= 1;
            refused(&bad, &format!("byte {at}"));
        }
        for cut in [0, 1, stored.len() / 2, stored.len() - 1] {
            refused(&stored[..cut], &format!("cut at {cut}"));
        }
        refused(&[stored.as_slice(), b"x"].concat(), "longer");
    }

    #[test]
    fn an_object_under_another_name_in_another_place_or_by_another_writer_is_refused() {
        let keys = keys();
        let (name, stored) = keys.sealer.seal(segment(), 0, &content()).unwrap();
        let kind = |opener: &WalOpener, name: WalName| opener.open(&name, &stored).unwrap_err().kind();
        let other = WalFile::from_str("000000010000000200000004").unwrap();
        assert_eq!(kind(&keys.opener, WalName { file: other, ..name }), Kind::Signature);
        let moved = WalName { begin: 8, end: name.end + 8, ..name };
        assert_eq!(kind(&keys.opener, moved), Kind::Signature);
        let plain = WalName { plain: HalfDigest::of(b"x"), ..name };
        assert_eq!(kind(&keys.opener, plain), Kind::Integrity);
        let mut elsewhere = WalOpener { ..self::keys().opener };
        elsewhere.identities = Identities::load(std::slice::from_ref(&keys.identity), &|_| None).unwrap();
        assert_eq!(kind(&elsewhere, name), Kind::Signature); // another key is trusted there
        elsewhere.trusted = keys.opener.trusted.clone();
        elsewhere.origin.instance = "test".parse().unwrap();
        assert_eq!(kind(&elsewhere, name), Kind::Signature);
        elsewhere.trusted = None; // the place is checked even where every signer is trusted
        assert_eq!(kind(&elsewhere, name), Kind::Signature);
        elsewhere.origin = keys.opener.origin.clone();
        assert_eq!(elsewhere.open(&name, &stored).unwrap(), content());
    }

    #[test]
    fn names_that_are_not_ours_and_content_beyond_bounds_are_refused() {
        let keys = keys();
        assert!(keys.sealer.seal(segment(), 0, b"").is_err());
        assert!(keys.sealer.seal(segment(), 0, &vec![0; CONTENT_BYTES_MAX + 1]).is_err());
        let (name, _) = keys.sealer.seal(segment(), 0, &vec![7; CONTENT_BYTES_MAX]).unwrap();
        let text = name.to_string();
        assert!(text.starts_with("000000010000000200000003/00000000-01000000-"), "{text}");
        for (from, to) in [
            ("00000000-0", "0-0"),
            ("-01000000-", "-00000000-"),
            ("-01000000-", "-01000001-"),
            (".zst.age", ".age"),
            ("/", "//"),
            (".zst.age", "0.zst.age"),
            (".zst.age", "-00.zst.age"),
            ("00000003/", "00000003.part/"),
        ] {
            assert!(text.replacen(from, to, 1).parse::<WalName>().is_err(), "{from} {to}");
        }
    }

    #[test]
    fn stock_tools_read_content_and_check_the_signature() {
        use std::process::{Command, Stdio};
        let keys = keys();
        let (_, stored) = keys.sealer.seal(segment(), 0, &content()).unwrap();
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        crate::disk::write_new_durable(&path("object"), &stored).unwrap();
        let signer = format!("agent {}", keys.sealer.signing.public_text().unwrap());
        crate::disk::write_new_durable(&path("signers"), signer.as_bytes()).unwrap();
        let script = r#"set -eu
            age -d -i "$1" object > plain
            zstd -dq plain -o content
            LC_ALL=C sed -n '/^{"format":/,$p' plain > note
            head -n 1 note > statement
            tail -n +2 note > statement.sig
            ssh-keygen -q -Y verify -f signers -I agent -n lifeboat -s statement.sig < statement"#;
        let mut shell = Command::new("sh");
        shell.args(["-c", script, "sh"]).arg(&keys.identity).current_dir(dir.path()).stdin(Stdio::null());
        let done = shell.output().unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        assert_eq!(crate::disk::read(&path("content"), 1 << 20).unwrap(), content());
    }
}
