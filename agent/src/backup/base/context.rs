//! What both kinds of base backup need: files and protocol.

use std::sync::{Arc, OnceLock};

use crate::backup::base::reader::PageCheck;
use crate::backup::job::Job;
use crate::backup::pace::Pace;
use crate::names::{Lsn, SnapshotId};
use crate::postgres::base::BaseServer;
use crate::postgres::page::PAGE_BYTES;
use crate::repository::writer::SnapshotWriter;

/// One base backup.
pub struct Context {
    /// The run.
    pub job: Arc<Job>,
    /// What is being written.
    pub snapshot: Arc<SnapshotWriter>,
    /// What the server said.
    pub server: BaseServer,
    /// Whether a full backup was requested, although a parent is known.
    pub full: bool,
    /// What the repository holds, sorted.
    pub snapshots: Vec<SnapshotId>,
    /// A file whose content changed although its times did not: set once it is found, which ends the copy.
    pub not_as_its_times: OnceLock<String>,
}

impl Context {
    /// How fast files may be read.
    pub fn pace(&self) -> Pace {
        Pace::new(self.job.backup.read_bytes_per_second_max, self.job.cancel.clone())
    }

    /// How pages are checked, where they can be.
    pub fn pages(&self, start_lsn: Lsn) -> Option<PageCheck> {
        let known = self.server.block_bytes == PAGE_BYTES as u64;
        let check = PageCheck { start_lsn, segment_blocks: self.server.segment_blocks };
        (self.server.data_checksums && known).then_some(check)
    }

    /// What the server shows people and its log.
    pub fn label(&self) -> String {
        format!("lifeboat {}", self.snapshot.id())
    }
}
