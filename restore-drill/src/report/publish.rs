//! The files of a report, and writing them to a directory. `vault` writes them to the repository.

use std::path::{Path, PathBuf};

use lifeboat::archive::digest::Sha256;
use lifeboat::archive::drill::{JSON, MARKDOWN, SIGNATURE, Stored};
use lifeboat::archive::manifest::Object;
use lifeboat::archive::signature::SigningKey;
use lifeboat::disk;
use lifeboat::error::{Error, Kind, Result};
use lifeboat::repository::Repository;

use super::{Report, markdown};

/// A report as files: `report.md` for people, and `report.json`, which contains the digest of the former.
/// `report.json` is signed and written last, so a report with it is complete.
pub struct Files<'a> {
    /// `report.md`.
    pub markdown: Vec<u8>,
    /// `report.json`.
    pub json: Vec<u8>,
    /// The key that signs it.
    pub key: Option<&'a SigningKey>,
}

impl<'a> Files<'a> {
    /// Renders a report, and notes in it its other files and its place in the repository.
    ///
    /// # Errors
    /// [`Kind::Internal`] if it cannot be written as JSON.
    pub fn of(
        report: &mut Report,
        repository: Option<&Repository>,
        key: Option<&'a SigningKey>,
    ) -> Result<Files<'a>> {
        let markdown = markdown::render(report).into_bytes();
        report.stored = Some(Stored {
            repository: repository.map(|repository| repository.id().to_owned()),
            instance: repository.map(|repository| repository.instance().clone()),
            signed: key.is_some(),
            files: vec![Object {
                name: MARKDOWN.to_owned(),
                bytes: markdown.len() as u64,
                sha256: Sha256::of(&markdown),
                frames: Vec::new(),
            }],
        });
        let mut json = serde_json::to_vec_pretty(report)
            .map_err(|e| Error::new(Kind::Internal, "cannot write the report as JSON").because(e))?;
        json.push(b'\n');
        Ok(Files { markdown, json, key })
    }

    /// Writes them to `<parent>/<drill>/`, durably and readable only for this account; returns that
    /// directory.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn write_to(&self, parent: &Path, drill: &str) -> Result<PathBuf> {
        let dir = parent.join(drill);
        disk::create_private_dir(&dir)?;
        disk::write_new_durable(&dir.join(MARKDOWN), &self.markdown)?;
        if let Some(key) = self.key {
            disk::write_new_durable(&dir.join(SIGNATURE), key.sign(&self.json)?.as_bytes())?;
        }
        disk::write_new_durable(&dir.join(JSON), &self.json)?;
        Ok(dir)
    }
}
