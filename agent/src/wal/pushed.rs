//! Which files a push took with it, so that PostgreSQL's own call for them need not store them
//! again. All of it can be lost: the repository then tells the same.

use std::io::Write;
use std::path::PathBuf;

use super::push::Source;
use crate::archive::digest::Hashing;
use crate::config::Config;
use crate::disk;
use crate::error::{Error, Result};
use crate::repository::wal::Content;

/// One small file for each, named as the WAL file, holding the digest of what was stored.
pub struct Pushed {
    dir: PathBuf,
}

impl Pushed {
    /// That of one repository: what is stored in one is not stored in another.
    pub fn open(config: &Config, repository_id: &str) -> Pushed {
        Pushed { dir: super::state_dir(config).join(format!("pushed-{repository_id}")) }
    }

    /// Whether exactly this content was stored already.
    pub fn holds(&self, source: &Source) -> bool {
        let told = disk::read_text(&self.file(source), 100).ok();
        told.is_some_and(|told| digest(source.content.as_ref()).is_ok_and(|digest| digest == told))
    }

    /// [`Pushed::holds`], and forgets it.
    pub fn take(&self, source: &Source) -> bool {
        let held = self.holds(source);
        if held && let Err(e) = disk::remove_file(&self.file(source)) {
            tracing::info!("{} stays noted as pushed: {e:?}", source.file);
        }
        held
    }

    /// Remembers that this is durable in the repository. Not durably: a note that a crash lost or
    /// tore fits nothing, and syncing it would take as long as storing the segment.
    pub fn remember(&self, source: &Source) -> Result<()> {
        disk::create_private_dir(&self.dir)?;
        let path = self.file(source);
        let digest = digest(source.content.as_ref())?;
        disk::open_or_create(&path)?.write_all(digest.as_bytes()).map_err(|e| Error::file("write", &path, e))
    }

    fn file(&self, source: &Source) -> PathBuf {
        self.dir.join(source.file.to_string())
    }
}

fn digest(content: &dyn Content) -> Result<String> {
    let mut hashing = Hashing::new(std::io::sink());
    for begin in (0..content.bytes()).step_by(1 << 20) {
        let piece = content.range(begin..content.bytes().min(begin + (1 << 20)))?;
        let _ = Write::write(&mut hashing, &piece); // a sink takes everything
    }
    Ok(hashing.finish().1.to_string())
}
