//! What was captured: files and objects with their content, in memory, and their limits.

use std::path::Path;

use tokio_util::sync::CancellationToken;

use crate::archive::keyed::DigestKey;
use crate::archive::manifest::{ConfigEntry, ConfigFacts, ENTRIES_MAX, NotCaptured};
use crate::archive::pack::EXTENT_BYTES;
use crate::error::{Error, Kind, Result};

/// Largest file or object; a larger one is reported.
pub(super) const ITEM_BYTES_MAX: u64 = EXTENT_BYTES as u64;
/// All of a capture is held in memory until it is stored.
const CAPTURE_BYTES_MAX: u64 = 64 << 20;
/// The folders of a snapshot.
pub const FILES: &str = "files";
/// Objects that `kubectl apply` takes.
pub const KUBERNETES: &str = "kubernetes";
/// Names and keyed digests of Secrets.
pub const SECRETS: &str = "secrets";
/// Values of Helm releases.
pub const HELM: &str = "helm";
/// What was attached.
pub const ARTIFACTS: &str = "artifacts";

/// One file or object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    /// Its escaped path in the snapshot.
    pub path: String,
    /// Its content, without secrets.
    pub content: Vec<u8>,
    /// Permission bits.
    pub mode: u32,
    /// Modification time in nanoseconds since 1970.
    pub mtime_ns: i64,
}

/// Everything that was captured.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Captured {
    /// Sorted by path.
    pub items: Vec<Item>,
    /// What could not be captured, sorted by path.
    pub left_out: Vec<NotCaptured>,
    bytes: u64,
}

impl Captured {
    /// Adds one item.
    ///
    /// # Errors
    /// `Config` where all of it is more than a capture may be.
    pub(super) fn add(&mut self, item: Item) -> Result<()> {
        self.bytes += item.content.len() as u64;
        if self.items.len() >= ENTRIES_MAX || self.bytes > CAPTURE_BYTES_MAX {
            let most = CAPTURE_BYTES_MAX >> 20;
            let what =
                format!("the configuration is more than {ENTRIES_MAX} files and objects, or {most} MiB");
            return Err(Error::new(Kind::Config, what)
                .because(format!("the limit was reached at {}", item.path))
                .effect("nothing was stored")
                .next("leave out what is not configuration with configuration.exclude; attach large files with --attach"));
        }
        self.items.push(item);
        Ok(())
    }

    /// Notes what is missing.
    pub(super) fn leave_out(&mut self, path: String, why: impl Into<String>) {
        self.left_out.push(NotCaptured { path, why: why.into() });
    }

    /// Puts everything in order; a path that was named twice is kept once.
    pub(super) fn sorted(mut self) -> Captured {
        self.items.sort_by(|a, b| a.path.cmp(&b.path));
        self.items.dedup_by(|a, b| a.path == b.path);
        self.left_out.sort_by(|a, b| a.path.cmp(&b.path));
        self.left_out.dedup_by(|a, b| a.path == b.path);
        self
    }

    /// The facts of a manifest, without artifacts.
    pub fn facts(&self, key: &DigestKey) -> ConfigFacts {
        let entry = |item: &Item| ConfigEntry {
            path: item.path.clone(),
            digest: key.of_file(&item.path, &item.content),
        };
        let entries: Vec<ConfigEntry> = self.items.iter().map(entry).collect();
        let files = self.items.iter().filter(|item| folder(&item.path) == FILES).count() as u64;
        ConfigFacts {
            digest_key: key.id(),
            files,
            objects: self.items.len() as u64 - files,
            sha256: ConfigFacts::digest_of(&entries, &self.left_out),
            entries,
            left_out: self.left_out.clone(),
            artifacts: Vec::new(),
        }
    }
}

/// The first part of a path.
pub fn folder(path: &str) -> &str {
    path.split('/').next().unwrap_or_default()
}

/// The escaped path of a host's file in a snapshot: `files/etc/odoo/odoo.conf`.
pub(super) fn path_of(path: &Path) -> String {
    let relative = path.strip_prefix("/").unwrap_or(path);
    let escaped = crate::archive::path::escape(relative.as_os_str().as_encoded_bytes());
    format!("{FILES}/{escaped}")
}

/// The error of a capture that was stopped.
///
/// # Errors
/// `Interrupted`, once it is cancelled.
pub(super) fn stop_if_cancelled(cancel: &CancellationToken) -> Result<()> {
    match cancel.is_cancelled() {
        true => Err(Error::new(Kind::Interrupted, "the capture of the configuration was stopped")
            .effect("nothing was stored")
            .safe("running again is safe")),
        false => Ok(()),
    }
}
