//! The files of a report, and the directory that they can be written to. `vault` writes them into
//! the repository.

use std::path::{Path, PathBuf};

use lifeboat::archive::signature::SigningKey;
use lifeboat::disk;
use lifeboat::error::{Error, Kind, Result};

use crate::markdown;
use crate::report::Report;

/// The report for machines; it is what is signed.
pub const JSON: &str = "report.json";
/// Its signature, as `ssh-keygen -Y verify -n lifeboat` reads it.
pub const SIGNATURE: &str = "report.json.sig";
/// The report for people.
pub const MARKDOWN: &str = "report.md";

/// A report as files, in the order in which they are written: `report.json` last, so that a report
/// is whole where that is.
#[derive(Clone, Debug)]
pub struct Files {
    /// Names and contents.
    pub files: Vec<(&'static str, Vec<u8>)>,
}

impl Files {
    /// Renders a report, and signs it where there is a key.
    ///
    /// # Errors
    /// [`Kind::Internal`] where it cannot be written as JSON or signed.
    pub fn of(report: &Report, key: Option<&SigningKey>) -> Result<Files> {
        let json = json(report)?;
        let mut files = vec![(MARKDOWN, markdown::render(report).into_bytes())];
        if let Some(key) = key {
            files.push((SIGNATURE, key.sign(&json)?.into_bytes()));
        }
        files.push((JSON, json));
        Ok(Files { files })
    }

    /// Writes them to `<parent>/<drill>/`, durably and private to this account; that directory.
    ///
    /// # Errors
    /// Of the file system.
    pub fn write_to(&self, parent: &Path, drill: &str) -> Result<PathBuf> {
        let dir = parent.join(drill);
        disk::create_private_dir(&dir)?;
        for (name, data) in &self.files {
            disk::write_new_durable(&dir.join(name), data)?;
        }
        Ok(dir)
    }
}

/// A report as the bytes of `report.json`.
///
/// # Errors
/// [`Kind::Internal`].
pub fn json(report: &Report) -> Result<Vec<u8>> {
    let mut json = serde_json::to_vec_pretty(report)
        .map_err(|e| Error::new(Kind::Internal, "cannot write the report as JSON").because(e))?;
    json.push(b'\n');
    Ok(json)
}
