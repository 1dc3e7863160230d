//! Checks whether the repository holds every file that the dumped database names. The names come sorted from
//! the database, the files sorted from the next known filestore: one merge compares them.

use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::archive::index::{IndexReader, Line};
use crate::archive::path::escape;
use crate::disk;
use crate::error::{Error, Kind, Result};

/// Names of missing files that are listed one by one.
pub const MISSING_TOLD_MAX: usize = 1000;

/// The names in the database at its point, one JSON line each, in a private file.
pub struct Names {
    path: PathBuf,
    out: Option<BufWriter<File>>,
    count: u64,
}

#[derive(Serialize, Deserialize)]
struct Name {
    fname: String,
    bytes: Option<u64>,
}

impl Names {
    /// Creates the file.
    pub fn create(path: PathBuf) -> Result<Names> {
        let out = BufWriter::new(disk::create_new(&path, 0o600)?);
        Ok(Names { path, out: Some(out), count: 0 })
    }

    /// Adds one; they come sorted by bytes.
    pub fn add(&mut self, store_fname: String, bytes: Option<u64>) -> Result<()> {
        self.count += 1;
        let Some(out) = &mut self.out else { return Ok(()) };
        let name = Name { fname: store_fname, bytes };
        serde_json::to_writer(&mut *out, &name)
            .map_err(std::io::Error::from)
            .and_then(|()| out.write_all(b"\n"))
            .map_err(|e| Error::file("write", &self.path, e))
    }

    /// Ends the file.
    pub fn end(&mut self) -> Result<()> {
        match self.out.take().map(BufWriter::into_inner) {
            Some(Err(e)) => Err(Error::file("write", &self.path, e.into_error())),
            _ => Ok(()),
        }
    }

    /// How many there are.
    pub fn count(&self) -> u64 {
        self.count
    }
}

impl Drop for Names {
    fn drop(&mut self) {
        if let Err(e) = disk::remove_file(&self.path) {
            tracing::warn!("{e:?}");
        }
    }
}

/// A file that the database names and the repository does not hold, or only damaged.
#[derive(Debug, PartialEq, Eq)]
pub struct Missing {
    /// As the database names it.
    pub store_fname: String,
    /// What is wrong with the stored file; `None` where none is stored.
    pub flaw: Option<String>,
}

/// Compares; returns the first missing files and how many there are. Blocking. `index` is a zstd stream of a
/// complete index. An empty file may be absent: Odoo reads it as empty all the same.
pub fn missing(names: &Names, index: &Path) -> Result<(Vec<Missing>, u64)> {
    let bad = |e: std::io::Error| Error::file("read", index, e);
    let decoder = zstd::Decoder::new(disk::open(index)?).map_err(bad)?;
    let index_name = index.display().to_string();
    let mut files = IndexReader::new(&index_name, BufReader::with_capacity(256 << 10, decoder))?;
    let mut file = files.next().transpose()?;
    let mut found = Vec::new();
    let mut count = 0;
    let mut odd = Vec::new();
    for line in BufReader::new(disk::open(&names.path)?).lines() {
        let line = line.map_err(|e| Error::file("read", &names.path, e))?;
        let name: Name = serde_json::from_str(&line).map_err(|e| {
            Error::new(Kind::Internal, format!("{} is damaged", names.path.display())).because(e)
        })?;
        if escape(name.fname.as_bytes()) != name.fname {
            odd.push(name); // sorted differently; no name of Odoo's own looks like this
            continue;
        }
        while file.as_ref().is_some_and(|line| line.path() < name.fname.as_str()) {
            file = files.next().transpose()?;
        }
        let held = match &file {
            Some(Line::File(entry)) if entry.path == name.fname => Some(entry.flaw.clone()),
            _ => None,
        };
        note(held, name, &mut found, &mut count);
    }
    for name in odd {
        note(None, name, &mut found, &mut count);
    }
    Ok((found, count))
}

fn note(held: Option<Option<String>>, name: Name, found: &mut Vec<Missing>, count: &mut u64) {
    let flaw = match held {
        Some(None) => return,
        Some(Some(flaw)) => Some(flaw),
        None if name.bytes == Some(0) => return,
        None => None,
    };
    *count += 1;
    if found.len() < MISSING_TOLD_MAX {
        found.push(Missing { store_fname: name.fname, flaw });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::archive::digest::{FileDigest, Sha256};
    use crate::archive::index::{Entry, Header, Part};
    use crate::catalog::known::KnownWriter;

    #[test]
    fn absent_and_flawed_files_are_missing_and_empty_ones_are_not() {
        let dir = tempfile::tempdir().unwrap();
        let header = Header::new(true, vec!["20261120T015812Z-filestore-4f3a9c1e".parse().unwrap()]);
        let mut writer = KnownWriter::create(&dir.path().join("known"), &header).unwrap();
        for (path, flaw) in [("aa/1", None), ("bb/2", Some("bad".to_owned())), ("dd/4", None)] {
            let part = Part { snapshot: 0, pack: 0, frame: 0, at: 0, offset: 0, bytes: 0 };
            let digest = FileDigest::Sha256(Sha256::of(b""));
            let (path, parts) = (path.into(), vec![part]);
            let entry =
                Entry { path, bytes: 0, mode: 0, mtime_ns: 0, digest, flaw, tenants: Vec::new(), parts };
            writer.write(&Line::File(entry)).unwrap();
        }
        let staged = writer.end().unwrap();
        let mut names = Names::create(dir.path().join("names")).unwrap();
        for (name, bytes) in
            [("../x", 1), ("aa/1", 3), ("bb/2", 3), ("cc/3", 3), ("ce/0", 0), ("d\nd", 1), ("dd/4", 3)]
        {
            names.add(name.into(), Some(bytes)).unwrap();
        }
        names.end().unwrap();
        let (found, count) = missing(&names, staged.staged()).unwrap();
        let found: Vec<_> = found.iter().map(|m| (m.store_fname.as_str(), m.flaw.as_deref())).collect();
        assert_eq!(found, [("../x", None), ("bb/2", Some("bad")), ("cc/3", None), ("d\nd", None)]);
        assert_eq!(count, 4);
    }
}
