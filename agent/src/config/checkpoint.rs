//! The section of the release checkpoint.

use std::path::PathBuf;

use super::read::Reader;
use crate::error::Result;

/// The release checkpoint.
#[derive(Clone, Debug, PartialEq)]
pub struct Checkpoint {
    /// The private key that signs evidence.
    pub key_file: Option<PathBuf>,
    /// Files of the public keys whose evidence is believed.
    pub trusted_key_files: Vec<PathBuf>,
}

pub(super) fn checkpoint(read: &Reader<'_>) -> Result<Checkpoint> {
    Ok(Checkpoint {
        key_file: read.path("checkpoint.key_file")?,
        trusted_key_files: read.paths("checkpoint.trusted_key_files")?,
    })
}
