//! Stores WAL and fetches it: archive_command, restore_command, the stream.

pub mod ahead;
pub mod along;
pub mod archiver;
pub mod fetch;
mod fetched;
pub mod push;
mod pushed;
mod reader;
pub mod room;
pub mod source;
pub mod status;
pub mod stream;

use std::path::{Path, PathBuf};

use crate::archive::manifest::Origin;
use crate::archive::seal::Recipients;
use crate::archive::signature::{SigningKey, TrustedKeys};
use crate::archive::wal::WalSealer;
use crate::catalog::state::StateDir;
use crate::config::Config;
use crate::disk;
use crate::error::{Error, Kind, Result};
use crate::names::wal::SegmentName;
use crate::repository::Repository;
use crate::repository::wal::WalWriter;
use crate::repository::wal::file::is_segment;
use pushed::Pushed;

fn state_dir(config: &Config) -> PathBuf {
    StateDir::wal_dir_of(&config.state_dir, &config.instance)
}

/// The recipients and the signing key of this configuration.
fn keys(config: &Config) -> Result<(Recipients, SigningKey)> {
    let recipients = Recipients::load(&config.seal.recipients, config.seal.recipients_file.as_deref())?;
    let file = config.signing.key_file.as_deref().ok_or_else(|| {
        Error::new(Kind::Config, "signing.key_file is not set")
            .effect("nothing was stored: every restore would refuse unsigned WAL")
            .next("make a key with lifeboat init, or with ssh-keygen -t ed25519 -N ''")
    })?;
    Ok((recipients, SigningKey::load(file)?))
}

/// Where WAL of this cluster belongs. `lifeboat.json` and `instance.json` are compared with signed snapshots
/// when they are not those of the last call: a call for each segment cannot read manifests.
async fn bind(
    config: &Config,
    repository: &Repository,
    system_identifier: Option<&str>,
    signing: &SigningKey,
) -> Result<Origin> {
    let origin = match system_identifier {
        Some(_) => repository.bind(system_identifier).await?,
        None => repository.origin().await?,
    };
    let pushed = Pushed::open(config);
    if !pushed.knows(&origin) {
        let trusted = TrustedKeys::parse(&config.signing.trusted_keys)?.with(signing);
        repository.check_unaltered(&origin, trusted).await?;
        pushed.remember_origin(&origin)?;
    }
    Ok(origin)
}

fn writer(
    config: &Config,
    repository: Repository,
    origin: Origin,
    (recipients, signing): (Recipients, SigningKey),
) -> Result<WalWriter> {
    let zstd_level = config.backup.zstd_level;
    let trusted = TrustedKeys::parse(&config.signing.trusted_keys)?;
    Ok(WalWriter::new(repository, WalSealer { origin, recipients, signing, zstd_level }, trusted))
}

/// Whether the file of `segment` is in the directory of `path` and its first page is written: a file that was
/// only prepared for it has the header of another segment.
fn is_begun_beside(path: &Path, segment: SegmentName) -> bool {
    let file = disk::open(&path.with_file_name(segment.to_string()));
    file.is_ok_and(|file| is_segment(segment, file))
}
