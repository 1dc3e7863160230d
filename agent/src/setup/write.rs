//! The writing half of `init`: keys first, then the repository, the configuration last. So a
//! configuration never names a missing key. An `init` that fails removes what it wrote.

use std::path::{Path, PathBuf};

use super::{NewIdentity, Plan};
use crate::clock;
use crate::config::Config;
use crate::disk;
use crate::error::{Error, Kind, Result};
use crate::repository::Repository;
use crate::repository::promise::Promises;
use crate::store::{Store, StoreOptions};

/// Writes what is planned. On an error it removes the files written so far, so that the next try
/// starts from nothing.
pub async fn write(plan: &Plan) -> Result<()> {
    let mut written = Vec::new();
    let done = write_all(plan, &mut written).await;
    if done.is_err() {
        for path in written.iter().rev() {
            if let Err(error) = disk::remove_file(path) {
                tracing::warn!(?error, "init failed and could not remove a file that it had written");
            }
        }
    }
    done.map_err(|error: Error| error.effect("this init left nothing; running it again is safe"))
}

async fn write_all(plan: &Plan, written: &mut Vec<PathBuf>) -> Result<()> {
    disk::create_private_dir(&plan.config.state_dir)?;
    if let Some(NewIdentity { file, text: Some(text), .. }) = &plan.identity {
        write_new(file, text, written)?;
    }
    if let Some(text) = &plan.signing_text {
        write_new(&plan.signing_file, text, written)?;
    }
    for (file, text) in plan.evidence.to_write() {
        write_new(file, text, written)?;
    }
    repository(&plan.config).await?;
    write_new(&plan.config_file, &plan.text, written)
}

/// Creates the repository unless it exists; returns whether it was created.
pub async fn repository(config: &Config) -> Result<(Repository, bool)> {
    Store::create_local_root(&config.repository.url)?;
    let store = Store::open(&config.repository.url, &StoreOptions::from(config))?;
    let locked = match Promises::of(config).record(clock::now()) {
        Some(lock) => store.locked(lock),
        None => store.clone(),
    };
    let made = match Repository::init(&locked).await {
        // Several instances may share a repository: for the second one it already exists.
        Err(e) if matches!(e.kind(), Kind::AlreadyExists | Kind::Conflict) => false,
        made => made.map(|_| true)?,
    };
    Ok((Repository::open(store, config.instance.clone()).await?, made))
}

fn write_new(path: &Path, text: &str, written: &mut Vec<PathBuf>) -> Result<()> {
    if let Some(dir) = path.parent() {
        disk::create_private_dir(dir)?;
    }
    disk::write_new_durable(path, text.as_bytes())?;
    written.push(path.to_owned());
    Ok(())
}
