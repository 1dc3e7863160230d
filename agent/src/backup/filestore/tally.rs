//! Writes both indexes in order, and counts what they contain.

use std::collections::BTreeSet;
use std::path::Path;

use super::item::Handled;
use super::sample::Sampled;
use super::{Base, Changes, Synced, compact};
use crate::archive::index::{self, Header, IndexWriter, Line};
use crate::archive::manifest::FilestoreFacts;
use crate::catalog::known::{Known, KnownWriter};
use crate::error::Result;
use crate::names::SnapshotId;
use crate::odoo::blob::is_blob_path;
use crate::repository::writer::{SealedWriter, SnapshotWriter};

/// Problems that are listed one by one.
const PROBLEMS_TOLD_MAX: usize = 1000;

/// Writes both indexes and counts.
pub(super) struct Tally<'a> {
    index: IndexWriter<SealedWriter<'a>>,
    known: KnownWriter,
    used: Vec<u64>,
    /// Size of the files that use each.
    alive: Vec<u64>,
    files: u64,
    bytes: u64,
    new_files: u64,
    /// Of these, known files that are stored again.
    again_files: u64,
    new_bytes: u64,
    /// Known blobs that are still there, and those that are gone: Odoo's lists of new files come and go.
    kept_blobs: u64,
    gone_blobs: u64,
    problems: Vec<String>,
    problem_files: u64,
}

impl<'a> Tally<'a> {
    pub(super) fn begin(
        snapshot: &'a SnapshotWriter,
        known_file: &Path,
        header: &Header,
    ) -> Result<Tally<'a>> {
        Ok(Tally {
            index: IndexWriter::new(snapshot.sealed_writer(index::NAME)?, header)?,
            known: KnownWriter::create(known_file, &Header::new(true, header.snapshots.clone()))?,
            used: vec![0; header.snapshots.len()],
            alive: vec![0; header.snapshots.len()],
            files: 0,
            bytes: 0,
            new_files: 0,
            again_files: 0,
            new_bytes: 0,
            kept_blobs: 0,
            gone_blobs: 0,
            problems: Vec::new(),
            problem_files: 0,
        })
    }

    pub(super) fn add(&mut self, batch: Vec<Handled>, complete: bool) -> Result<()> {
        for done in batch {
            let (entry, new, again) = match done {
                Handled::Keep(entry) => (entry, false, false),
                Handled::New(entry) => (entry, true, false),
                Handled::Again(entry) => (entry, true, true),
                Handled::Removed(path) => {
                    self.removed(path, complete)?;
                    continue;
                }
                Handled::Nothing => continue,
                Handled::Problem { text, removes } => {
                    self.problem(text);
                    if let Some(path) = removes {
                        self.removed(path, complete)?;
                    }
                    continue;
                }
            };
            self.files += 1;
            self.bytes += entry.bytes;
            self.new_files += u64::from(new);
            self.again_files += u64::from(again);
            self.kept_blobs += u64::from((!new || again) && is_blob_path(entry.path.as_bytes()));
            self.new_bytes += if new { entry.bytes } else { 0 };
            for part in &entry.parts {
                self.used[part.snapshot as usize] += 1;
            }
            let of: BTreeSet<u32> = entry.parts.iter().map(|part| part.snapshot).collect();
            for number in of {
                self.alive[number as usize] += entry.bytes;
            }
            if let Some(flaw) = &entry.flaw {
                self.problem(format!("{}: {flaw}", entry.path));
            }
            let line = Line::File(entry);
            self.known.write(&line)?;
            if new || complete {
                self.index.write(&line)?;
            }
        }
        Ok(())
    }

    fn removed(&mut self, path: String, complete: bool) -> Result<()> {
        self.gone_blobs += u64::from(is_blob_path(path.as_bytes()));
        if complete { Ok(()) } else { self.index.write(&Line::Removed(path)) }
    }

    fn problem(&mut self, text: String) {
        self.problem_files += 1;
        if self.problems.len() < PROBLEMS_TOLD_MAX {
            self.problems.push(text);
        }
    }

    pub(super) fn finish(self, snapshot: &SnapshotWriter, base: Base, sampled: Sampled) -> Result<Synced> {
        let (kept, gone) = (self.kept_blobs, self.gone_blobs);
        let changes = Changes { kept, gone, new_files: self.new_files - self.again_files, sampled };
        self.index.into_inner().finish()?;
        let staged = self.known.end()?;
        let sources: Vec<SnapshotId> = base
            .table
            .iter()
            .zip(&self.used)
            .filter(|(_, used)| **used > 0)
            .map(|(id, _)| id.clone())
            .collect();
        let mut held = compact::held(&base.held, &base.table, &self.alive, (snapshot.id(), self.new_bytes));
        held.retain(|id, _| sources.contains(id));
        let facts = FilestoreFacts {
            complete: base.complete,
            index_chain: base.chain.clone(),
            sources: sources.clone(),
            files: self.files,
            bytes: self.bytes,
            new_files: self.new_files,
            full_because: base.full_because,
            problems: self.problems,
            problem_files: self.problem_files,
        };
        let known = Known {
            known: 1,
            repository: snapshot.repository().id().to_owned(),
            snapshot: snapshot.id().clone(),
            chain: base.chain,
            sources,
            held,
        };
        Ok(Synced { facts, parent: base.parent, staged, known, plain_bytes: self.new_bytes, changes })
    }
}
