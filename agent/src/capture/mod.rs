//! What is configured around the tenants, captured into memory: files of this host and objects of
//! Kubernetes, with keyed digests in place of secrets. Nothing is changed, and nothing is stored here.
//!
//! An unchanged configuration gives the same bytes, so equal digests say that nothing changed.

pub mod access;
pub mod diff;
mod exclude;
mod files;
mod helm;
pub mod item;
mod kubectl;
mod kubernetes;
pub mod lines;
mod objects;
mod pairs;
mod redact;
mod values;
pub mod walk;
mod words;

use tokio_util::sync::CancellationToken;

use crate::archive::keyed::DigestKey;
use crate::config::Configuration;
use crate::error::{Error, Kind, Result};
use item::Captured;

/// Whether there is anything to capture.
pub fn is_configured(config: &Configuration) -> bool {
    !config.files.is_empty() || !config.namespaces.is_empty()
}

/// Captures what the configuration names. At most 64 MiB are kept in memory.
///
/// # Errors
/// `Config` where it is too much or kubectl cannot be started; `Denied`, `NotFound` or `Unreachable` where
/// Kubernetes cannot be asked; `Interrupted`. Single files that cannot be captured are in
/// [`Captured::left_out`].
pub async fn capture(
    config: &Configuration,
    key: &DigestKey,
    cancel: &CancellationToken,
) -> Result<Captured> {
    let (paths, exclude) = (config.files.clone(), config.exclude.clone());
    let (own_key, stop) = (key.clone(), cancel.clone());
    let files = tokio::task::spawn_blocking(move || {
        let mut captured = Captured::default();
        files::capture(&paths, &exclude, &own_key, &mut captured, &stop).map(|()| captured)
    });
    let mut captured = files.await.unwrap_or_else(|e| {
        Err(Error::new(Kind::Internal, "reading the configuration panicked").because(e))
    })?;
    kubernetes::capture(config, key, &mut captured, cancel).await?;
    captured.items.retain(|item| !exclude::is_excluded(&config.exclude, &item.path));
    Ok(captured.sorted())
}
