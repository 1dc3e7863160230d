//! The name of a WAL object: which bytes it contains, and the signature that proves it.
//!
//! A listing alone, with the public keys that are trusted, shows which WAL is stored: nobody who can write to
//! the store can invent a name, or move an object to another file, instance or repository. Three lines are
//! signed; `sha256sum` prints the first two:
//!
//! ```text
//! <SHA-256 of lifeboat.json>  lifeboat.json
//! <SHA-256 of instance.json>  instances/<instance>/instance.json
//! <file>/<begin>-<end>-<plain>-<stored>
//! ```
//!
//! `lifeboat.json` contains the repository's ID and `instance.json` the system identifier. `NAMESPACE` is
//! used only for names: no signature over anything else counts here, and none of these counts elsewhere.
//!
//! Names made by older programs have no signature. Whether they count is decided where WAL is listed
//! (`repository::wal`).

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use base64ct::{Base64UrlUnpadded, Encoding};

use crate::archive::digest::Sha256;
use crate::archive::hex::{hex, unhex};
use crate::archive::manifest::Origin;
use crate::archive::seen_names::SeenNames;
use crate::archive::signature::{BARE_BYTES, SigningKey, TrustedKeys};
use crate::error::{Error, Kind, Result};
use crate::names::wal::WalFile;

/// The most content in one object; a longer segment is stored as several objects. So each is uploaded in one
/// create-only request, and memory is limited whatever `wal_segment_size` is.
pub const CONTENT_BYTES_MAX: usize = 16 << 20;
/// The purpose of these signatures.
const NAMESPACE: &str = "lifeboat-wal";
/// What every name ends with.
const SUFFIX: &str = ".zst.age";
/// Characters of a signature: base64url without padding.
const SIGNATURE_CHARS: usize = 86;

/// The first half of a SHA-256, as in names: 32 hex digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HalfDigest([u8; 16]);

impl HalfDigest {
    /// The digest of `data`.
    pub fn of(data: &[u8]) -> HalfDigest {
        HalfDigest::from(Sha256::of(data))
    }
}

impl From<Sha256> for HalfDigest {
    fn from(whole: Sha256) -> HalfDigest {
        let mut half = [0; 16];
        half.copy_from_slice(&whole.0[..16]);
        HalfDigest(half)
    }
}

impl fmt::Display for HalfDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex(&self.0))
    }
}

impl fmt::Debug for HalfDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The signature in a name, not checked yet.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NameSignature([u8; BARE_BYTES]);

impl fmt::Display for NameSignature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = [0; SIGNATURE_CHARS];
        f.write_str(Base64UrlUnpadded::encode(&self.0, &mut text).map_err(|_| fmt::Error)?)
    }
}

impl fmt::Debug for NameSignature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl NameSignature {
    fn parse(text: &str) -> Option<NameSignature> {
        let mut bytes = [0; BARE_BYTES];
        let decoded = Base64UrlUnpadded::decode(text, &mut bytes).ok()?.len();
        (decoded == BARE_BYTES).then_some(NameSignature(bytes))
    }
}

/// The name of a WAL object: `<file>/<begin>-<end>-<plain>-<stored>-<signature>.zst.age`. Sorts by file, then
/// by place in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WalName {
    /// The file.
    pub file: WalFile,
    /// First byte in the file.
    pub begin: u32,
    /// The byte after the last.
    pub end: u32,
    /// Digest of the content: shows without a key whether other bytes are the same.
    pub plain: HalfDigest,
    /// Digest of the stored object: shows without a key whether it is intact.
    pub stored: HalfDigest,
    /// The signature that proves all this; names of older programs have none.
    pub signature: Option<NameSignature>,
}

impl fmt::Display for WalName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write_claim(f)?;
        match &self.signature {
            Some(signature) => write!(f, "-{signature}{SUFFIX}"),
            None => f.write_str(SUFFIX),
        }
    }
}

impl FromStr for WalName {
    type Err = Error;
    fn from_str(text: &str) -> Result<WalName> {
        parse(text).filter(|name| name.to_string() == text).ok_or_else(|| {
            Error::new(Kind::Integrity, format!("{text:.300?} is not the name of a WAL object"))
        })
    }
}

fn parse(text: &str) -> Option<WalName> {
    let (file, rest) = text.split_once('/')?;
    // at most five: a signature may contain the separator, too
    let mut parts = rest.strip_suffix(SUFFIX)?.splitn(5, '-');
    let mut part = || parts.next();
    let number = |text: &str| u32::from_str_radix(text, 16).ok();
    let (begin, end) = (number(part()?)?, number(part()?)?);
    let (plain, stored) = (HalfDigest(unhex(part()?)?), HalfDigest(unhex(part()?)?));
    let signature = match part() {
        None => None,
        Some(text) => Some(NameSignature::parse(text)?),
    };
    let length = end.checked_sub(begin)? as usize;
    let file = file.parse().ok()?;
    (1..=CONTENT_BYTES_MAX).contains(&length).then_some(WalName {
        file,
        begin,
        end,
        plain,
        stored,
        signature,
    })
}

impl WalName {
    /// The claim: the name without the signature.
    fn write_claim(&self, out: &mut impl fmt::Write) -> fmt::Result {
        let WalName { file, begin, end, plain, stored, .. } = self;
        write!(out, "{file}/{begin:08x}-{end:08x}-{plain}-{stored}")
    }

    /// This name, signed for a place.
    pub fn sign(self, origin: &Origin, key: &SigningKey) -> Result<WalName> {
        let signature = key.sign_bare(NAMESPACE, statement(&place(origin), &self).as_bytes())?;
        Ok(WalName { signature: Some(NameSignature(signature)), ..self })
    }

    /// Whether all its bytes are within the range of `other`.
    pub fn lies_within(&self, other: &WalName) -> bool {
        self.file == other.file && self.begin >= other.begin && self.end <= other.end
    }

    /// Whether one of the two must be wrong: the same range with different content.
    pub fn contradicts(&self, other: &WalName) -> bool {
        (self.file, self.begin, self.end) == (other.file, other.begin, other.end) && self.plain != other.plain
    }
}

/// The first two lines of what is signed.
fn place(origin: &Origin) -> String {
    let Origin { repository_sha256, instance, instance_sha256, .. } = origin;
    format!("{repository_sha256}  lifeboat.json\n{instance_sha256}  instances/{instance}/instance.json\n")
}

fn statement(place: &str, name: &WalName) -> String {
    let mut text = String::with_capacity(place.len() + 120);
    text.push_str(place);
    let _ = name.write_claim(&mut text); // a String takes everything
    text.push('\n');
    text
}

/// Which names count in one place.
#[derive(Clone)]
pub struct NameTrust {
    place: String,
    trusted: Option<TrustedKeys>,
    seen: Option<Arc<SeenNames>>,
}

impl NameTrust {
    /// Names of this place that one of the keys signed; every name where a person turned the check off
    /// (`None`).
    pub fn new(origin: &Origin, trusted: Option<TrustedKeys>) -> NameTrust {
        NameTrust { place: place(origin), trusted, seen: None }
    }

    /// The same, where some names were checked before, for this place and with these keys.
    pub fn with_seen(self, seen: Option<Arc<SeenNames>>) -> NameTrust {
        NameTrust { seen, ..self }
    }

    /// Whether every name counts, signed or not.
    pub fn is_given_up(&self) -> bool {
        self.trusted.is_none()
    }

    /// Whether a trusted key signed this name for this place. About 50 µs per key, unless it was seen before.
    pub fn is_signed(&self, name: &WalName) -> bool {
        let Some(NameSignature(signature)) = &name.signature else { return false };
        let Some(trusted) = &self.trusted else { return false };
        let message = statement(&self.place, name);
        let check = || trusted.signed_bare(NAMESPACE, message.as_bytes(), signature);
        match &self.seen {
            None => check(),
            Some(seen) => {
                let HalfDigest(digest) = HalfDigest::of(&[message.as_bytes(), signature].concat());
                seen.is_signed(digest, check)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origin() -> Origin {
        Origin {
            repository: "r".into(),
            repository_sha256: Sha256::of(b"meta"),
            instance: "prod".parse().unwrap(),
            instance_sha256: Sha256::of(b"instance"),
        }
    }

    fn name(file: &str) -> WalName {
        let (plain, stored) = (HalfDigest::of(b"plain"), HalfDigest::of(b"stored"));
        WalName { file: file.parse().unwrap(), begin: 0, end: 9, plain, stored, signature: None }
    }

    const FILES: [&str; 4] = [
        "000000010000000200000003",
        "000000010000000200000003.partial",
        "000000010000000200000003.00000028.backup",
        "00000002.history",
    ];

    #[test]
    fn a_signed_name_reads_back_and_is_a_fine_file_name() {
        let key = SigningKey::generate("test").unwrap();
        // many, so that every character occurs in a signature
        for (at, file) in FILES.iter().cycle().take(200).enumerate() {
            let signed = WalName { end: at as u32 + 1, ..name(file) }.sign(&origin(), &key).unwrap();
            let text = signed.to_string();
            assert_eq!(text.parse::<WalName>().unwrap(), signed);
            let last = text.split_once('/').unwrap().1;
            assert_eq!(last.len(), 83 + 1 + SIGNATURE_CHARS + SUFFIX.len());
            assert!(last.len() + "#9223372036854775807".len() <= 255, "staged, too");
            assert!(last.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b)), "{last}");
        }
        assert_eq!(name(FILES[0]).to_string().parse::<WalName>().unwrap(), name(FILES[0]));
        let text = name(FILES[0]).sign(&origin(), &key).unwrap().to_string();
        let at = text.len() - SUFFIX.len();
        for bad in [format!("{}{SUFFIX}", &text[..at - 1]), format!("{}A{SUFFIX}", &text[..at])] {
            assert!(bad.parse::<WalName>().is_err(), "{bad}");
        }
        // other spellings of the same 64 bytes
        for last in ["B", "R", "h", "x"] {
            let other = format!("{}{last}{SUFFIX}", &text[..at - 1]);
            assert!(other.parse::<WalName>().is_err(), "{other}");
        }
    }

    #[test]
    fn a_name_is_true_in_its_place_by_a_trusted_key_and_nowhere_else() {
        let key = SigningKey::generate("test").unwrap();
        let keys = TrustedKeys::default().with(&key);
        let trust = NameTrust::new(&origin(), Some(keys.clone()));
        let signed = name(FILES[0]).sign(&origin(), &key).unwrap();
        assert!(trust.is_signed(&signed));
        assert!(!trust.is_signed(&name(FILES[0])));
        let x = HalfDigest::of(b"x");
        for other in [
            WalName { file: "000000010000000200000004".parse().unwrap(), ..signed },
            WalName { file: FILES[1].parse().unwrap(), ..signed },
            WalName { begin: 1, ..signed },
            WalName { end: 10, ..signed },
            WalName { plain: x, ..signed },
            WalName { stored: x, ..signed },
        ] {
            assert!(!trust.is_signed(&other), "{other}");
        }
        for elsewhere in [
            Origin { repository_sha256: Sha256::of(b"x"), ..origin() },
            Origin { instance: "test".parse().unwrap(), ..origin() },
            Origin { instance_sha256: Sha256::of(b"x"), ..origin() },
        ] {
            assert!(!NameTrust::new(&elsewhere, Some(keys.clone())).is_signed(&signed));
        }
        let other = TrustedKeys::default().with(&SigningKey::generate("other").unwrap());
        assert!(!NameTrust::new(&origin(), Some(other.clone())).is_signed(&signed));
        assert!(
            NameTrust::new(&origin(), Some(other.with(&key))).is_signed(&signed),
            "a key that was rotated"
        );
    }
}
