//! Ed25519 signatures in OpenSSH's format: `ssh-keygen -Y verify` checks them without Lifeboat.

use std::path::Path;

use ssh_key::{Algorithm, HashAlg, LineEnding, PrivateKey, PublicKey, Signature, SshSig};

use crate::archive::digest::Sha256;
use crate::disk;
use crate::error::{Error, Kind, Result};

/// The purpose of a signature; `ssh-keygen -Y verify -n` needs the same word.
pub const NAMESPACE: &str = "lifeboat";
const KEY_BYTES_MAX: u64 = 64 << 10;
/// Length of an Ed25519 signature.
pub const BARE_BYTES: usize = 64;
/// Largest signature that is read.
pub const SIGNATURE_BYTES_MAX: u64 = 16 << 10;

/// The agent's private signing key; debug output shows only the public half.
pub struct SigningKey(PrivateKey);

impl SigningKey {
    /// Makes a new key; `comment` says whom it belongs to.
    pub fn generate(comment: &str) -> Result<SigningKey> {
        let mut seed = [0u8; 32];
        getrandom::fill(&mut seed).map_err(|e| {
            Error::new(Kind::Io, "the operating system gives no random bytes").because(e.to_string())
        })?;
        let pair = ssh_key::private::Ed25519Keypair::from_seed(&seed);
        PrivateKey::new(pair.into(), comment)
            .map(SigningKey)
            .map_err(|e| Error::new(Kind::Internal, "cannot make a signing key").because(e))
    }

    /// Reads an unencrypted OpenSSH Ed25519 key that others cannot read.
    pub fn load(path: &Path) -> Result<SigningKey> {
        let data = disk::read_secret("signing key", path, KEY_BYTES_MAX)?;
        let key = PrivateKey::from_openssh(&data).map_err(|e| {
            Error::new(Kind::Config, format!("{} is not an OpenSSH private key", path.display())).because(e)
        })?;
        if key.is_encrypted() || key.algorithm() != Algorithm::Ed25519 {
            return Err(Error::new(
                Kind::Config,
                format!("{} must be an Ed25519 key without a passphrase", path.display()),
            )
            .next("make one with ssh-keygen -t ed25519 -N '', readable only by the agent's user"));
        }
        Ok(SigningKey(key))
    }

    /// The private key as a file's content. Secret.
    pub fn to_openssh(&self) -> Result<String> {
        self.0
            .to_openssh(LineEnding::LF)
            .map(|text| text.to_string())
            .map_err(|e| Error::new(Kind::Internal, "cannot write the signing key").because(e))
    }

    /// The public half, `ssh-ed25519 AAAA… comment`, as in `signing.trusted_keys`.
    pub fn public_text(&self) -> Result<String> {
        self.0
            .public_key()
            .to_openssh()
            .map_err(|e| Error::new(Kind::Internal, "cannot write the public key").because(e))
    }

    /// The secret half, to derive keys for other purposes from. Secret.
    pub(super) fn seed(&self) -> Result<[u8; 32]> {
        let pair = self.0.key_data().ed25519();
        pair.map(|pair| pair.private.to_bytes())
            .ok_or_else(|| Error::new(Kind::Internal, "the signing key is not an Ed25519 key"))
    }

    /// An armored signature over `message`.
    pub fn sign(&self, message: &[u8]) -> Result<String> {
        self.0
            .sign(NAMESPACE, HashAlg::Sha512, message)
            .and_then(|signature| signature.to_pem(LineEnding::LF))
            .map_err(|e| Error::new(Kind::Internal, "cannot sign").because(e))
    }

    /// The 64 bytes of an OpenSSH signature over `message` without its envelope, for a name; docs/format.md
    /// shows how `ssh-keygen` checks it. `namespace` separates it from signatures over other things.
    pub fn sign_bare(&self, namespace: &str, message: &[u8]) -> Result<[u8; BARE_BYTES]> {
        let signed = self.0.sign(namespace, HashAlg::Sha512, message);
        let bytes = signed.map(|signature| signature.signature_bytes().try_into());
        match bytes {
            Ok(Ok(bytes)) => Ok(bytes),
            Ok(Err(_)) => Err(Error::new(Kind::Internal, "a signature does not have 64 bytes")),
            Err(e) => Err(Error::new(Kind::Internal, "cannot sign").because(e)),
        }
    }
}

/// The keys whose signatures count.
#[derive(Clone, Default)]
pub struct TrustedKeys(Vec<PublicKey>);

impl TrustedKeys {
    /// Reads `ssh-ed25519 AAAA… comment` lines.
    pub fn parse(lines: impl IntoIterator<Item: AsRef<str>>) -> Result<TrustedKeys> {
        let keys = lines.into_iter().map(|line| {
            let line = line.as_ref();
            let key = PublicKey::from_openssh(line.trim()).map_err(|e| {
                Error::new(Kind::Config, format!("{line:?} is not an OpenSSH public key")).because(e)
            })?;
            if key.algorithm() != Algorithm::Ed25519 {
                return Err(Error::new(Kind::Config, format!("{line:?} is not an Ed25519 key")));
            }
            Ok(key)
        });
        Ok(TrustedKeys(keys.collect::<Result<_>>()?))
    }

    /// These keys and that of `own`, whose holder always trusts its signatures.
    pub fn with(mut self, own: &SigningKey) -> TrustedKeys {
        if !self.0.iter().any(|key| key.key_data() == own.0.public_key().key_data()) {
            self.0.push(own.0.public_key().clone());
        }
        self
    }

    /// Whether one of the keys made this bare signature over `message`; see [`SigningKey::sign_bare`]. About
    /// 50 µs per key.
    pub fn signed_bare(&self, namespace: &str, message: &[u8], signature: &[u8; BARE_BYTES]) -> bool {
        let Ok(signature) = Signature::new(Algorithm::Ed25519, signature.as_slice()) else { return false };
        self.0.iter().any(|key| {
            let parsed = SshSig::new(key.key_data().clone(), namespace, HashAlg::Sha512, signature.clone());
            parsed.is_ok_and(|parsed| key.verify(namespace, message, &parsed).is_ok())
        })
    }

    /// A digest of all keys: another one means that others are trusted.
    pub fn digest(&self) -> Sha256 {
        let mut keys: Vec<String> =
            self.0.iter().map(|key| key.fingerprint(HashAlg::Sha256).to_string()).collect();
        keys.sort();
        Sha256::of(keys.join("\n").as_bytes())
    }

    /// Whether no key is trusted.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Checks an armored signature over `message`. `name` is the signed object's, for errors.
    ///
    /// # Errors
    /// `Signature`: malformed, over other bytes, or by a key that is not trusted (the error has its
    /// fingerprint).
    pub fn verify(&self, name: &str, message: &[u8], signature: &[u8]) -> Result<()> {
        let (key, parsed) = self.signer(name, signature)?;
        key.verify(NAMESPACE, message, &parsed).map_err(|_| {
            Error::new(Kind::Signature, format!("the signature of {name} does not match its content"))
        })
    }

    /// Whether a signature claims to be by a trusted key. This proves nothing yet, but where it does not, the
    /// signed object need not be read.
    ///
    /// # Errors
    /// `Signature`, as [`TrustedKeys::verify`].
    pub fn recognise(&self, name: &str, signature: &[u8]) -> Result<()> {
        self.signer(name, signature).map(drop)
    }

    /// Whether a signature that verifies has exactly the bytes that [`SigningKey::sign`] wrote: the armor
    /// leaves room for others (white space, unused bits, the version) that mean the same.
    pub fn is_as_written(signature: &[u8]) -> bool {
        let written = SshSig::from_pem(signature).and_then(|parsed| {
            let (key, made) = (parsed.public_key().clone(), parsed.signature().clone());
            SshSig::new(key, parsed.namespace(), parsed.hash_alg(), made)?.to_pem(LineEnding::LF)
        });
        written.is_ok_and(|written| written.as_bytes() == signature)
    }

    fn signer(&self, name: &str, signature: &[u8]) -> Result<(&PublicKey, SshSig)> {
        let fail = |what: String| Err(Error::new(Kind::Signature, what));
        let Ok(parsed) = SshSig::from_pem(signature) else {
            return fail(format!("the signature of {name} is malformed"));
        };
        match self.0.iter().find(|key| key.key_data() == parsed.public_key()) {
            Some(key) => Ok((key, parsed)),
            None => {
                let print = parsed.public_key().fingerprint(HashAlg::Sha256);
                fail(format!("{name} is signed by {print}, which is not in signing.trusted_keys"))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn altered_bytes_unknown_keys_and_garbage_are_refused() {
        let key = SigningKey::generate("test").unwrap();
        let trusted = TrustedKeys::parse([key.public_text().unwrap().as_str()]).unwrap();
        let signature = key.sign(b"manifest").unwrap();
        trusted.verify("m", b"manifest", signature.as_bytes()).unwrap();
        assert!(trusted.verify("m", b"manifesT", signature.as_bytes()).is_err());
        let other = SigningKey::generate("other").unwrap().sign(b"manifest").unwrap();
        let error = trusted.verify("m", b"manifest", other.as_bytes()).unwrap_err();
        assert!(error.what().contains("SHA256:"), "{error}");
        assert!(trusted.verify("m", b"manifest", b"garbage").is_err());
        assert!(TrustedKeys::default().verify("m", b"manifest", signature.as_bytes()).is_err());
        let bare = key.sign_bare("lifeboat-wal", b"name").unwrap();
        assert!(trusted.signed_bare("lifeboat-wal", b"name", &bare));
        assert!(!trusted.signed_bare("lifeboat-wal", b"namE", &bare));
        assert!(!trusted.signed_bare(NAMESPACE, b"name", &bare), "signed for another purpose");
        let other = SigningKey::generate("other").unwrap();
        let theirs = other.sign_bare("lifeboat-wal", b"name").unwrap();
        assert!(!trusted.signed_bare("lifeboat-wal", b"name", &theirs));
        assert!(trusted.with(&other).signed_bare("lifeboat-wal", b"name", &theirs));
    }

    #[test]
    fn a_signature_that_was_touched_is_not_as_it_was_written_even_where_it_verifies() {
        let key = SigningKey::generate("test").unwrap();
        let trusted = TrustedKeys::parse([key.public_text().unwrap().as_str()]).unwrap();
        let signature = key.sign(b"manifest").unwrap().into_bytes();
        assert!(TrustedKeys::is_as_written(&signature));
        let mut still_verify = 0;
        for bit in 0..signature.len() * 8 {
            let mut touched = signature.clone();
            touched[bit / 8] ^= 1 << (bit % 8);
            if trusted.verify("m", b"manifest", &touched).is_ok() {
                assert!(!TrustedKeys::is_as_written(&touched), "bit {bit}");
                still_verify += 1;
            }
        }
        assert!(still_verify > 0, "then this is not needed");
    }

    #[test]
    fn a_key_file_open_to_others_is_refused() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key");
        let key = SigningKey::generate("test").unwrap();
        disk::write_new_durable(&path, key.to_openssh().unwrap().as_bytes()).unwrap();
        assert_eq!(SigningKey::load(&path).unwrap().public_text().unwrap(), key.public_text().unwrap());
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
        assert_eq!(SigningKey::load(&path).err().unwrap().kind(), Kind::Config);
    }
}
