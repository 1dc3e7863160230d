//! The keys of evidence: ECDSA on P-256, the private one as PKCS#8 in PEM, the public one as SPKI in PEM.
//! OpenSSL and most verifiers take both as they are. Ed25519, which signs archives, is refused by many.

use std::path::Path;

use p256::ecdsa::signature::{Signer, Verifier};
use p256::ecdsa::{DerSignature, SigningKey, VerifyingKey};
use p256::pkcs8::{DecodePrivateKey, DecodePublicKey, EncodePrivateKey, EncodePublicKey, LineEnding};

use crate::archive::digest::Sha256;
use crate::config;
use crate::disk;
use crate::error::{Error, Kind, Result};

/// Largest key file that is read.
const FILE_BYTES_MAX: u64 = 64 << 10;
/// How many random numbers are tried for a key: one in four billion is not a key.
const TRIES_MAX: u32 = 8;
/// How a key is made by hand.
const MAKE: &str = "make one with: openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out FILE";

/// A private key that signs evidence.
pub struct EvidenceKey {
    key: SigningKey,
    public: EvidencePublicKey,
}

impl EvidenceKey {
    /// Makes a new key.
    ///
    /// # Errors
    /// `Io` where the operating system gives no random bytes.
    pub fn generate() -> Result<EvidenceKey> {
        for _ in 0..TRIES_MAX {
            let mut seed = [0u8; 32];
            getrandom::fill(&mut seed).map_err(|e| {
                Error::new(Kind::Io, "the operating system gives no random bytes").because(e.to_string())
            })?;
            if let Ok(key) = SigningKey::from_slice(&seed) {
                return EvidenceKey::new(key);
            }
        }
        Err(Error::new(Kind::Internal, "cannot make an evidence key"))
    }

    /// Reads a private key that others cannot read.
    ///
    /// # Errors
    /// `Config` where others can read it, or where it is not a P-256 key; that of the file.
    pub fn load(path: &Path) -> Result<EvidenceKey> {
        let text = disk::read_secret_text("evidence key", path, FILE_BYTES_MAX)?;
        let key = SigningKey::from_pkcs8_pem(text.trim()).map_err(|e| {
            let what = format!("{} is not a P-256 private key in PEM (PKCS#8)", path.display());
            // OpenSSL's older form says EC PRIVATE KEY.
            let next = match text.contains("EC PRIVATE KEY") {
                true => "convert it: openssl pkcs8 -topk8 -nocrypt -in OLD -out NEW",
                false => MAKE,
            };
            Error::new(Kind::Config, what).because(e.to_string()).next(next)
        })?;
        EvidenceKey::new(key)
    }

    /// The key of a configuration.
    ///
    /// # Errors
    /// `Config` where it names none; those of [`EvidenceKey::load`].
    pub fn configured(config: &config::Checkpoint) -> Result<EvidenceKey> {
        match &config.key_file {
            Some(file) => EvidenceKey::load(file),
            None => Err(Error::new(Kind::Config, "checkpoint.key_file is not set")
                .effect("evidence cannot be signed")
                .next(
                    "set it to the file of a new key, then run lifeboat init --if-missing: docs/evidence.md",
                )),
        }
    }

    fn new(key: SigningKey) -> Result<EvidenceKey> {
        let public = EvidencePublicKey::new(*key.verifying_key())?;
        Ok(EvidenceKey { key, public })
    }

    /// The public half.
    pub fn public(&self) -> &EvidencePublicKey {
        &self.public
    }

    /// The private key as a file's content. Secret.
    pub fn to_pem(&self) -> Result<String> {
        self.key
            .to_pkcs8_pem(LineEnding::LF)
            .map(|text| text.to_string())
            .map_err(|e| Error::new(Kind::Internal, "cannot write the evidence key").because(e.to_string()))
    }

    /// A signature over `message` in ASN.1 DER. The same message gives the same signature (RFC 6979).
    pub fn sign(&self, message: &[u8]) -> Result<Vec<u8>> {
        let signature: DerSignature = self
            .key
            .try_sign(message)
            .map_err(|e| Error::new(Kind::Internal, "cannot sign evidence").because(e.to_string()))?;
        Ok(signature.as_bytes().to_vec())
    }
}

/// A public key that verifies evidence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EvidencePublicKey {
    key: VerifyingKey,
    id: String,
}

impl EvidencePublicKey {
    fn new(key: VerifyingKey) -> Result<EvidencePublicKey> {
        let der = key
            .to_public_key_der()
            .map_err(|e| Error::new(Kind::Internal, "cannot write the public key").because(e.to_string()))?;
        Ok(EvidencePublicKey { key, id: Sha256::of(der.as_bytes()).to_string() })
    }

    /// Reads a public key.
    ///
    /// # Errors
    /// `Config` where there is none, or it is not a P-256 key; that of the file.
    pub fn load(path: &Path) -> Result<EvidencePublicKey> {
        // Not `NotFound`: for `evidence require` that means that there is no evidence.
        let text = disk::read_text(path, FILE_BYTES_MAX).map_err(|e| match e.kind() {
            Kind::NotFound => e.with_kind(Kind::Config),
            _ => e,
        })?;
        EvidencePublicKey::parse(&text)
            .map_err(|e| e.context(format!("read the public key {}", path.display())))
    }

    /// The key in a PEM text.
    ///
    /// # Errors
    /// `Config` where it is not one.
    pub fn parse(text: &str) -> Result<EvidencePublicKey> {
        let key = VerifyingKey::from_public_key_pem(text.trim()).map_err(|e| {
            let error = Error::new(Kind::Config, "this is not a P-256 public key in PEM (SPKI)")
                .because(e.to_string());
            match text.contains("PRIVATE KEY") {
                true => error.next("give the public half: openssl pkey -in KEY -pubout"),
                false => error,
            }
        })?;
        EvidencePublicKey::new(key)
    }

    /// Its ID: SHA-256 of its SPKI in DER, as hex digits. `openssl pkey -pubin -in FILE -outform DER |
    /// sha256sum` prints the same.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// As a file's content.
    pub fn to_pem(&self) -> Result<String> {
        self.key
            .to_public_key_pem(LineEnding::LF)
            .map_err(|e| Error::new(Kind::Internal, "cannot write the public key").because(e.to_string()))
    }

    /// Whether it made this DER signature over `message`.
    pub fn signed(&self, message: &[u8], signature: &[u8]) -> bool {
        DerSignature::from_bytes(signature)
            .is_ok_and(|signature| self.key.verify(message, &signature).is_ok())
    }
}

/// The keys whose evidence is believed.
#[derive(Clone, Debug, Default)]
pub struct TrustedEvidenceKeys(Vec<EvidencePublicKey>);

impl TrustedEvidenceKeys {
    /// Exactly these.
    pub fn new(keys: impl IntoIterator<Item = EvidencePublicKey>) -> TrustedEvidenceKeys {
        TrustedEvidenceKeys(keys.into_iter().collect())
    }

    /// Those in these files.
    ///
    /// # Errors
    /// As [`EvidencePublicKey::load`].
    pub fn load(files: &[impl AsRef<Path>]) -> Result<TrustedEvidenceKeys> {
        let keys = files.iter().map(|file| EvidencePublicKey::load(file.as_ref()));
        Ok(TrustedEvidenceKeys(keys.collect::<Result<_>>()?))
    }

    /// Those of a configuration; a host that has the private key trusts its public half.
    ///
    /// # Errors
    /// `Config` where there are none; that of the files.
    pub fn configured(config: &config::Checkpoint) -> Result<TrustedEvidenceKeys> {
        let mut keys = TrustedEvidenceKeys::load(&config.trusted_key_files)?;
        if let Some(file) = &config.key_file {
            keys = keys.with(EvidenceKey::load(file)?.public());
        }
        if keys.0.is_empty() {
            return Err(Error::new(Kind::Config, "checkpoint.trusted_key_files is empty")
                .effect("no evidence can be believed: a forged one could not be told from a real one")
                .next("name the file of the public key there, or pass it with --key"));
        }
        Ok(keys)
    }

    /// These and one more.
    pub fn with(mut self, key: &EvidencePublicKey) -> TrustedEvidenceKeys {
        if self.find(key.id()).is_none() {
            self.0.push(key.clone());
        }
        self
    }

    /// The key of this ID.
    pub fn find(&self, id: &str) -> Option<&EvidencePublicKey> {
        self.0.iter().find(|key| key.id == id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_key_is_written_and_read_and_signs_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        let key = EvidenceKey::generate().unwrap();
        disk::write_new_durable(&path("key"), key.to_pem().unwrap().as_bytes()).unwrap();
        disk::write_new_durable(&path("pub"), key.public().to_pem().unwrap().as_bytes()).unwrap();
        let again = EvidenceKey::load(&path("key")).unwrap();
        let public = EvidencePublicKey::load(&path("pub")).unwrap();
        assert_eq!((again.public(), key.public()), (&public, &public));
        assert_eq!(public.id().len(), 64);
        let signature = again.sign(b"text").unwrap();
        assert_eq!(signature, key.sign(b"text").unwrap(), "the same every time");
        assert!(public.signed(b"text", &signature));
        assert!(!public.signed(b"Text", &signature) && !public.signed(b"text", b"garbage"));
        assert!(!EvidenceKey::generate().unwrap().public().signed(b"text", &signature));
        let trusted = TrustedEvidenceKeys::default().with(&public).with(&public);
        assert_eq!((trusted.0.len(), trusted.find(public.id()), trusted.find("")), (1, Some(&public), None));
    }

    #[test]
    fn a_file_that_is_not_a_key_says_what_to_do() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        let pem = EvidenceKey::generate().unwrap().to_pem().unwrap();
        disk::write_new_durable(&path("key"), pem.as_bytes()).unwrap();
        let error = EvidencePublicKey::load(&path("key")).unwrap_err();
        assert!(error.next_text().unwrap().contains("-pubout"), "{error:?}");
        assert_eq!(EvidencePublicKey::load(&path("none")).unwrap_err().kind(), Kind::Config);
        std::fs::set_permissions(path("key"), PermissionsExt::from_mode(0o644)).unwrap();
        assert_eq!(EvidenceKey::load(&path("key")).err().unwrap().kind(), Kind::Config);
        disk::write_new_durable(&path("old"), b"-----BEGIN EC PRIVATE KEY-----\n").unwrap();
        let error = EvidenceKey::load(&path("old")).err().unwrap();
        assert!(error.next_text().unwrap().contains("pkcs8 -topk8"), "{error:?}");
        assert_eq!(EvidenceKey::load(&path("none")).err().unwrap().kind(), Kind::NotFound);
    }
}
