//! Fetching WAL: every object checked, whole files put together.

use std::sync::Arc;

use crate::archive::wal::{STORED_BYTES_MAX, WalName, WalOpener};
use crate::error::Result;
use crate::repository::wal::put::blocking;
use crate::repository::{Repository, layout};

/// Reads WAL of one instance. Cheap to clone.
#[derive(Clone)]
pub struct WalReader {
    repository: Repository,
    opener: Arc<WalOpener>,
}

impl WalReader {
    /// A reader; the opener's origin is that of `repository` ([`Repository::origin`]).
    pub fn new(repository: Repository, opener: WalOpener) -> WalReader {
        WalReader { repository, opener: Arc::new(opener) }
    }

    /// Where it reads.
    pub fn repository(&self) -> &Repository {
        &self.repository
    }

    /// The content of one object, all of it checked; see [`WalOpener::open`].
    ///
    /// # Errors
    /// `NotFound` only where the store says so; `Integrity`, `Identity`, `Signature`.
    pub async fn get(&self, name: WalName) -> Result<Vec<u8>> {
        let key = layout::wal_object(self.repository.instance(), &name);
        let stored = self.repository.store().get(&key, STORED_BYTES_MAX).await?;
        let opener = self.opener.clone();
        blocking(move || opener.open(&name, &stored)).await
    }
}
