//! A new file of the directory, private and durable.

use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::Path;

use serde::Serialize;

use crate::disk;
use crate::error::{Error, Kind, Result};

const FILE_MODE: u32 = 0o600;

/// A value that cannot be JSON, which is a bug.
pub fn not_json(e: serde_json::Error) -> Error {
    Error::new(Kind::Internal, "cannot write a document as JSON").because(e)
}

/// A new file.
pub struct Out<'d> {
    file: BufWriter<File>,
    dir: &'d Path,
    name: String,
}

impl<'d> Out<'d> {
    /// Creates it.
    pub fn new(dir: &'d Path, name: &str) -> Result<Out<'d>> {
        let file = BufWriter::new(disk::create_new(&dir.join(name), FILE_MODE)?);
        Ok(Out { file, dir, name: name.to_owned() })
    }

    /// Writes text.
    pub fn text(&mut self, text: &str) -> Result<()> {
        let written = self.file.write_all(text.as_bytes());
        written.map_err(|e| Error::file("write", &self.dir.join(&self.name), e))
    }

    /// Writes a value as one line.
    pub fn json(&mut self, value: &impl Serialize) -> Result<()> {
        let line = serde_json::to_string(value).map_err(not_json)?;
        self.text(&(line + "\n"))
    }

    /// Syncs it.
    pub fn finish(mut self) -> Result<()> {
        let path = self.dir.join(&self.name);
        let flushed = self.file.flush().and_then(|()| self.file.get_ref().sync_all());
        flushed.map_err(|e| Error::file("write", &path, e))
    }
}
