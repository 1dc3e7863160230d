//! One signed record: a small object that counts when the signature beside it is by a trusted key.
//!
//! The signature is stored first, then, create-only, the record: whoever sees the record can see its
//! signature. On reading, the signature comes first as well: a record that no trusted key signed is not read,
//! because it may have any size.

use bytes::Bytes;

use crate::archive::drill;
use crate::archive::signature::{SIGNATURE_BYTES_MAX, SigningKey, TrustedKeys};
use crate::error::{Kind, Result};
use crate::repository::unproven::Held;
use crate::repository::{Repository, layout};
use crate::store::Store;

/// Where a record is stored.
pub struct Record<'a> {
    /// What it is called in errors.
    pub name: &'a str,
    /// The key of the record.
    pub key: String,
    /// The key of its signature.
    pub signature_key: String,
    /// How large the record may be.
    pub bytes_max: u64,
}

/// A record whose signature was checked.
pub struct Signed {
    /// The record.
    pub record: Held,
    /// The size of its signature.
    pub signature_bytes: u64,
    /// Whether the signature has exactly the bytes that were written: it may verify with others.
    pub as_written: bool,
}

impl Repository {
    /// Where the report of a drill is stored.
    pub fn drill_record(&self, drill: &str) -> Record<'static> {
        let key = |name| layout::drill(self.instance(), drill, name);
        Record {
            name: drill::JSON,
            key: key(drill::JSON),
            signature_key: key(drill::SIGNATURE),
            bytes_max: drill::BYTES_MAX,
        }
    }
}

impl Record<'_> {
    /// Signs `bytes` and stores both.
    ///
    /// # Errors
    /// `AlreadyExists` where there is another record or signature; that of the store.
    pub async fn write(&self, store: &Store, bytes: Vec<u8>, signing: &SigningKey) -> Result<()> {
        let signature = signing.sign(&bytes)?;
        store.put_new(&self.signature_key, signature.into_bytes()).await?;
        store.put_new(&self.key, bytes).await
    }

    /// Finishes a [`Record::write`] of `bytes` that was interrupted: stores the record where only its
    /// signature is stored; false where nothing was to do.
    ///
    /// # Errors
    /// `Signature` where the stored signature is not by a key of `trusted` or not over `bytes`; that of the
    /// store.
    pub async fn finish(
        &self,
        repository: &Repository,
        bytes: Vec<u8>,
        trusted: &TrustedKeys,
    ) -> Result<bool> {
        let Some(signature) = self.signature(repository).await? else { return Ok(false) };
        if repository.store().head(&self.key).await?.is_some() {
            return Ok(false);
        }
        trusted.verify(self.name, &bytes, &signature)?;
        match repository.store().put_new(&self.key, bytes).await {
            Err(e) if e.kind() == Kind::AlreadyExists => Ok(false),
            stored => stored.map(|()| true),
        }
    }

    /// The record; `None` where it exists but has no signature.
    ///
    /// # Errors
    /// `NotFound` where there is no record, whatever its signature; `Signature` where the signature is not by
    /// a key of `trusted` or not over this record; `Integrity` where one of them is too large; that of the
    /// store.
    pub async fn read(&self, repository: &Repository, trusted: &TrustedKeys) -> Result<Option<Signed>> {
        let mut signature = self.signature(repository).await?;
        if signature.is_none() {
            self.exists(repository).await?;
            signature = self.signature(repository).await?; // both may have been stored since the first try
        }
        let Some(signature) = signature else { return Ok(None) };
        if let Err(e) = trusted.recognise(self.name, &signature) {
            self.exists(repository).await?;
            return Err(e);
        }
        let record = repository.get_unproven(&self.key, self.bytes_max).await?;
        trusted.verify(self.name, &record, &signature)?;
        let as_written = TrustedKeys::is_as_written(&signature);
        Ok(Some(Signed { record, signature_bytes: signature.len() as u64, as_written }))
    }

    async fn signature(&self, repository: &Repository) -> Result<Option<Bytes>> {
        match repository.store().get(&self.signature_key, SIGNATURE_BYTES_MAX).await {
            Ok(signature) => Ok(Some(signature)),
            Err(e) if e.kind() == Kind::NotFound => Ok(None),
            Err(e) => Err(e),
        }
    }

    async fn exists(&self, repository: &Repository) -> Result<()> {
        repository.store().get_range(&self.key, 0..1).await.map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::StoreOptions;

    #[tokio::test]
    async fn only_a_record_with_its_own_signature_of_a_trusted_key_is_read() {
        let dir = tempfile::tempdir().unwrap();
        crate::disk::create_private_dir(&dir.path().join("repo")).unwrap();
        let store = Store::open(dir.path().join("repo").to_str().unwrap(), &StoreOptions::default()).unwrap();
        Repository::init(&store).await.unwrap();
        let repository = Repository::open(store.clone(), "prod".parse().unwrap()).await.unwrap();
        let keys = ["ours", "theirs"].map(|name| SigningKey::generate(name).unwrap());
        let trusted = TrustedKeys::parse([keys[0].public_text().unwrap().as_str()]).unwrap();
        let record = |name| Record {
            name,
            key: format!("instances/prod/{name}"),
            signature_key: format!("instances/prod/{name}.sig"),
            bytes_max: 100,
        };
        let kind = async |name| record(name).read(&repository, &trusted).await.map(drop).unwrap_err().kind();

        record("a").write(&store, b"text".to_vec(), &keys[0]).await.unwrap();
        let read = record("a").read(&repository, &trusted).await.unwrap().unwrap();
        assert_eq!((&*read.record, read.signature_bytes > 0), (&b"text"[..], true));
        let again = record("a").write(&store, b"other".to_vec(), &keys[0]).await.unwrap_err();
        assert_eq!(again.kind(), Kind::AlreadyExists);

        store.put_new("instances/prod/bare", b"text".to_vec()).await.unwrap();
        assert!(record("bare").read(&repository, &trusted).await.unwrap().is_none());
        record("strange").write(&store, b"text".to_vec(), &keys[1]).await.unwrap();
        assert_eq!(kind("strange").await, Kind::Signature);
        record("large").write(&store, vec![0; 101], &keys[0]).await.unwrap();
        assert_eq!(kind("large").await, Kind::Integrity);
        // a signature alone is not a record, whoever made it
        for (name, key) in [("ours", &keys[0]), ("theirs", &keys[1])] {
            let signature = key.sign(b"text").unwrap();
            store.put_new(&format!("instances/prod/{name}.sig"), signature.into_bytes()).await.unwrap();
            assert_eq!(kind(name).await, Kind::NotFound);
        }
        // a signature over other bytes
        store.put_new("instances/prod/ours", b"Text".to_vec()).await.unwrap();
        assert_eq!(kind("ours").await, Kind::Signature);
    }
}
