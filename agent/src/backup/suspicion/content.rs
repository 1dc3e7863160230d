//! The baseline of a tenant's last backup, without what is in it, for the next backup to compare with: this
//! host cannot open the one that it stored.

use std::path::{Path, PathBuf};

use crate::archive::path::escape;
use crate::catalog::suspicion::Finding;
use crate::disk;
use crate::error::{Error, Kind, Result};
use crate::names::TenantName;
use crate::odoo::baseline::Baseline;
use crate::odoo::changes::{About, Weight, changes};

/// Largest record that is read.
const BYTES_MAX: u64 = 64 << 20;
const LEVEL: i32 = 3;
/// Most findings of one backup; each is a sentence in the report and in `lifeboat status`.
const FINDINGS_MAX: usize = 20;

/// The file of a tenant.
pub(super) fn file(dir: &Path, tenant: &TenantName) -> PathBuf {
    dir.join(format!("{}.baseline.zst", escape(tenant.as_str().as_bytes())))
}

/// The record in this file; `None` if there is none.
///
/// # Errors
/// If it cannot be read or is damaged.
pub(super) fn read(file: &Path) -> Result<Option<Baseline>> {
    let bytes = match disk::read(file, BYTES_MAX) {
        Err(e) if e.kind() == Kind::NotFound => return Ok(None),
        bytes => bytes?,
    };
    let damaged = || Error::new(Kind::Io, format!("{} is damaged", file.display()));
    let stream = zstd::Decoder::new(bytes.as_slice()).map_err(|e| damaged().because(e))?;
    Baseline::read(stream).map(Some).map_err(|e| damaged().because(e))
}

/// Replaces the file, durably.
///
/// # Errors
/// If it cannot be written.
pub(super) fn keep(file: &Path, baseline: &Baseline) -> Result<()> {
    let failed =
        |e: std::io::Error| Error::new(Kind::Internal, "cannot write the record of a baseline").because(e);
    let text = serde_json::to_vec(baseline).map_err(|e| failed(e.into()))?;
    disk::replace_durable(file, &zstd::encode_all(text.as_slice(), LEVEL).map_err(failed)?)
}

/// What is lost since then. Documents by day and modules are compared with the numbers, row by row.
pub(super) fn lost(before: &Baseline, now: &Baseline) -> Vec<Finding> {
    let all = changes(before, now).into_iter();
    let lost = all.filter(|change| change.weight == Weight::Lost && change.about != About::Documents);
    lost.take(FINDINGS_MAX).map(|change| Finding::Lost { what: change.what, says: change.says }).collect()
}
