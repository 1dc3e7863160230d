//! Keyed digests: HMAC-SHA-256 (RFC 2104) under a key derived from the signing key. They show that something
//! changed, and nobody without the key can guess what it is.
//!
//! A digest covers its place (a path, a name) as well: equal values in two places have different digests.

use std::fmt;
use std::str::FromStr;

use hmac::{Hmac, Mac};
use serde::{Deserialize, Serialize};

use crate::archive::digest::Sha256;
use crate::archive::hex::hex;
use crate::archive::signature::SigningKey;
use crate::error::{Error, Result};

/// The purpose of the key, part of its derivation. Another text gives other digests.
const LABEL: &[u8] = b"lifeboat-configuration-digests-v1";
/// How a digest begins that stands in place of a secret.
pub const PLACEHOLDER: &str = "lifeboat-hmac-sha256:";
/// Hex digits of a key's ID.
const ID_DIGITS: usize = 16;

/// A keyed digest, written as 64 lower-case hex digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct KeyedDigest(Sha256);

impl KeyedDigest {
    /// What stands in place of a secret: [`PLACEHOLDER`] and the digest.
    pub fn placeholder(self) -> String {
        format!("{PLACEHOLDER}{self}")
    }
}

impl fmt::Display for KeyedDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl FromStr for KeyedDigest {
    type Err = Error;
    fn from_str(text: &str) -> Result<KeyedDigest> {
        text.parse().map(KeyedDigest)
    }
}

/// The key of the digests of one host. Secret; its debug output shows only its ID.
#[derive(Clone)]
pub struct DigestKey([u8; 32]);

impl fmt::Debug for DigestKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DigestKey({})", self.id())
    }
}

impl DigestKey {
    /// The key that belongs to this signing key: always the same.
    ///
    /// # Errors
    /// `Internal` where it is no Ed25519 key.
    pub fn of(signing: &SigningKey) -> Result<DigestKey> {
        Ok(DigestKey(mac(&signing.seed()?, &[LABEL])))
    }

    /// Which key it is: digests of other keys cannot be compared with its own. Says nothing about the key.
    pub fn id(&self) -> String {
        hex(&mac(&self.0, &[b"id"]))[..ID_DIGITS].to_owned()
    }

    /// The digest of a file at this path.
    pub fn of_file(&self, path: &str, content: &[u8]) -> KeyedDigest {
        self.digest(&[b"file", path.as_bytes(), content])
    }

    /// The digest of a secret: the value of `name` in the file at this path.
    pub fn of_secret(&self, path: &str, name: &str, value: &[u8]) -> KeyedDigest {
        self.digest(&[b"secret", path.as_bytes(), name.as_bytes(), value])
    }

    fn digest(&self, parts: &[&[u8]]) -> KeyedDigest {
        KeyedDigest(Sha256(mac(&self.0, parts)))
    }
}

/// HMAC over the parts, each with its length before it: `["ab", "c"]` differs from `["a", "bc"]`.
fn mac(key: &[u8], parts: &[&[u8]]) -> [u8; 32] {
    let mut mac = Hmac::<sha2::Sha256>::new_from_slice(key).expect("HMAC takes a key of any length");
    for part in parts {
        mac.update(&(part.len() as u64).to_be_bytes());
        mac.update(part);
    }
    mac.finalize().into_bytes().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_derived_and_its_digests_cover_the_place() {
        let signing = SigningKey::generate("test").unwrap();
        let key = DigestKey::of(&signing).unwrap();
        assert_eq!(key.id(), DigestKey::of(&signing).unwrap().id());
        let other = DigestKey::of(&SigningKey::generate("other").unwrap()).unwrap();
        assert_ne!(key.id(), other.id());
        let digest = key.of_secret("files/odoo.conf", "db_password", b"x");
        assert_eq!(digest, key.of_secret("files/odoo.conf", "db_password", b"x"));
        for different in [
            key.of_secret("files/odoo.conf", "db_password", b"y"),
            key.of_secret("files/odoo.conf", "admin_passwd", b"x"),
            key.of_secret("files/odoo.confd", "b_password", b"x"),
            key.of_file("files/odoo.conf", b"x"),
            other.of_secret("files/odoo.conf", "db_password", b"x"),
        ] {
            assert_ne!(digest, different);
        }
        assert!(!format!("{key:?}").contains(&hex(&key.0)));
        assert_eq!(digest.to_string().parse::<KeyedDigest>().unwrap(), digest);
    }
}
