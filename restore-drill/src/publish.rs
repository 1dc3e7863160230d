//! The files of a report, and the directory that they can be written to. `vault` writes them into
//! the repository.

use std::path::{Path, PathBuf};

use lifeboat::archive::digest::Sha256;
use lifeboat::archive::drill::{JSON, MARKDOWN, SIGNATURE, Stored};
use lifeboat::archive::manifest::Object;
use lifeboat::archive::signature::SigningKey;
use lifeboat::disk;
use lifeboat::error::{Error, Kind, Result};
use lifeboat::repository::Repository;

use crate::markdown;
use crate::report::Report;

/// A report as files, in the order in which they are written: `report.json` last, so that a report
/// is whole where that is.
#[derive(Clone, Debug)]
pub struct Files {
    /// Names and contents.
    pub files: Vec<(&'static str, Vec<u8>)>,
}

impl Files {
    /// Renders a report, notes in it what goes with it and where it belongs, and signs it where
    /// there is a key: the signature covers the report for people through its digest.
    ///
    /// # Errors
    /// [`Kind::Internal`] where it cannot be written as JSON or signed.
    pub fn of(
        report: &mut Report,
        repository: Option<&Repository>,
        key: Option<&SigningKey>,
    ) -> Result<Files> {
        let mut files = vec![(MARKDOWN, markdown::render(report).into_bytes())];
        let object = |(name, data): &(&str, Vec<u8>)| Object {
            name: (*name).to_owned(),
            bytes: data.len() as u64,
            sha256: Sha256::of(data),
            frames: Vec::new(),
        };
        report.stored = Some(Stored {
            repository: repository.map(|repository| repository.id().to_owned()),
            instance: repository.map(|repository| repository.instance().clone()),
            signed: key.is_some(),
            files: files.iter().map(object).collect(),
        });
        let json = json(report)?;
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
