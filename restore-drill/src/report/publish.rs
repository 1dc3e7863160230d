//! The files of a report, and writing them to a directory. `vault` writes them to the repository.

use std::path::{Path, PathBuf};

use lifeboat::archive::digest::Sha256;
use lifeboat::archive::drill::{self, HTML, JSON, JUNIT, MARKDOWN, SIGNATURE, Stored};
use lifeboat::archive::manifest::Object;
use lifeboat::archive::signature::SigningKey;
use lifeboat::disk;
use lifeboat::error::Result;
use lifeboat::repository::Repository;

use super::{Report, html, junit, markdown};

/// A report as files: for people and for programs that show test results, and `report.json`, which contains
/// the digests of the others. `report.json` is signed and written last, so a report with it is complete.
pub struct Files<'a> {
    /// The files that `report.json` names.
    pub others: Vec<(&'static str, Vec<u8>)>,
    /// `report.json`.
    pub json: Vec<u8>,
    /// The key that signs it.
    pub key: Option<&'a SigningKey>,
}

impl<'a> Files<'a> {
    /// Renders a report, and notes in it its other files and its place in the repository.
    ///
    /// # Errors
    /// `Internal` if it cannot be written as JSON.
    pub fn of(
        report: &mut Report,
        repository: Option<&Repository>,
        key: Option<&'a SigningKey>,
    ) -> Result<Files<'a>> {
        let rendered = [
            (MARKDOWN, markdown::render(report)),
            (HTML, html::page(report)),
            (JUNIT, junit::render(report)),
        ];
        let others: Vec<_> = rendered.into_iter().map(|(name, text)| (name, text.into_bytes())).collect();
        report.stored = Some(Stored {
            repository: repository.map(|repository| repository.id().to_owned()),
            instance: repository.map(|repository| repository.instance().clone()),
            signed: key.is_some(),
            files: others.iter().map(|(name, bytes)| object(name, bytes)).collect(),
        });
        let json = drill::write(report.subjects(), report)?;
        Ok(Files { others, json, key })
    }

    /// Writes them to `<parent>/<drill>/`, durably and readable only for this account; returns that
    /// directory.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn write_to(&self, parent: &Path, drill: &str) -> Result<PathBuf> {
        let dir = parent.join(drill);
        disk::create_private_dir(&dir)?;
        for (name, bytes) in &self.others {
            disk::write_new_durable(&dir.join(name), bytes)?;
        }
        if let Some(key) = self.key {
            disk::write_new_durable(&dir.join(SIGNATURE), key.sign(&self.json)?.as_bytes())?;
        }
        disk::write_new_durable(&dir.join(JSON), &self.json)?;
        Ok(dir)
    }
}

fn object(name: &str, bytes: &[u8]) -> Object {
    let (name, sha256) = (name.to_owned(), Sha256::of(bytes));
    Object { name, bytes: bytes.len() as u64, sha256, frames: Vec::new() }
}
