//! The reader of the configured repository's WAL.

use crate::archive::seal::Identities;
use crate::archive::wal::WalOpener;
use crate::config::Config;
use crate::error::Result;
use crate::repository::Repository;
use crate::repository::snapshots::Trust;
use crate::repository::wal::WalReader;

/// The reader of the configured repository's WAL.
pub(super) async fn reader(config: &Config, identities: Identities, trust: &Trust) -> Result<WalReader> {
    let repository = Repository::configured(config).await?;
    let origin = repository.origin().await?;
    Ok(WalReader::new(repository, WalOpener { origin, identities, trusted: trust.trusted() }))
}
