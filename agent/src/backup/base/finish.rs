//! What makes a copy a complete base backup: WAL, label and control file, the index, the layout.

use crate::archive::base::{
    CONTROL_FILE, ClusterLayout, Collation, Database, LABEL_FILE, LAYOUT_NAME, TABLESPACE_MAP_FILE,
};
use crate::archive::index::{self, Entry, Header, IndexWriter, Line};
use crate::archive::wal_records;
use crate::backup::base::context::Context;
use crate::backup::base::reader::BaseReader;
use crate::backup::base::tally::Copied;
use crate::catalog::known_base::StagedKnownBase;
use crate::error::{Error, Kind, Result};
use crate::names::{Lsn, SnapshotId};
use crate::postgres::base::BaseEnd;
use crate::repository::pack_worker::PackWorker;

/// A base backup without its manifest.
pub struct Taken {
    /// The files.
    pub copied: Copied,
    /// The full backup first, this one last.
    pub chain: Vec<SnapshotId>,
    /// Why this is a full backup although a parent was expected.
    pub full_because: Option<String>,
    /// Why an incremental one read everything, where that is so.
    pub read_all_because: Option<String>,
    /// Why the times of files were not trusted although the configuration says so.
    pub times_not_trusted_because: Option<String>,
    /// OID and directory of tablespaces.
    pub tablespaces: Vec<(u32, String)>,
    /// The cluster's.
    pub system_identifier: u64,
    /// Where replay begins.
    pub start_lsn: Lsn,
    /// What the server reported at the end.
    pub end: BaseEnd,
    /// `pg_control`, as it was after everything else.
    pub control: Vec<u8>,
    /// Databases that were created by copying files during the backup.
    pub copies: Vec<wal_records::Copied>,
    /// Files that only this backup has, its WAL above all.
    pub extra_files: u64,
    /// Their sizes added up.
    pub extra_bytes: u64,
    /// What a person should know although nothing failed.
    pub notes: Vec<String>,
}

impl Taken {
    /// Stores the files that only this backup has; `wal` gives the segments from start to stop. Blocking.
    pub fn finish(
        &mut self,
        context: &Context,
        wal: impl FnOnce(&mut BaseReader<'_>) -> Result<Vec<Entry>>,
    ) -> Result<()> {
        let own = self.chain.len() as u32 - 1;
        let pace = context.pace();
        let mut reader = BaseReader::new(PackWorker::new(context.snapshot.clone())?, &pace, own, None);
        let now = self.end.stopped.as_nanosecond() as i64;
        let mut extra = vec![
            reader.text(LABEL_FILE, now, self.end.label.as_bytes())?,
            reader.text(CONTROL_FILE, now, &self.control)?,
        ];
        if !self.end.tablespace_map.is_empty() {
            extra.push(reader.text(TABLESPACE_MAP_FILE, now, self.end.tablespace_map.as_bytes())?);
        }
        extra.extend(wal(&mut reader)?);
        reader.finish()?;
        extra.sort_by(|a, b| a.path.cmp(&b.path));
        self.extra_files = extra.len() as u64;
        self.extra_bytes = extra.iter().map(|entry| entry.bytes).sum();
        let header = Header::new(true, self.chain.clone());
        let mut index = IndexWriter::new(context.snapshot.sealed_writer(index::NAME)?, &header)?;
        merge(&self.copied.staged, extra, &mut |entry| index.write(&Line::File(entry)))?;
        index.into_inner().finish()?;
        self.layout(context)
    }

    fn layout(&mut self, context: &Context) -> Result<()> {
        let (sizes, sorting) = (&self.copied.database_bytes, &context.server.sorting);
        let database = |(oid, name, tablespace): &(u32, String, u32)| Database {
            oid: *oid,
            name: name.clone(),
            tablespace: *tablespace,
            bytes: sizes.get(oid).copied().unwrap_or(0),
            collation: sorting.databases.iter().find(|known| known.oid == *oid).map(|known| Collation {
                provider: known.provider.clone(),
                locale: known.locale.clone(),
                version: known.version.clone(),
            }),
        };
        let layout = ClusterLayout {
            directories: self.copied.directories.clone(),
            databases: context.server.databases.iter().map(database).collect(),
            settings: context.server.settings.clone(),
        };
        let text = serde_json::to_vec_pretty(&layout)
            .map_err(|e| Error::new(Kind::Internal, "cannot write the layout").because(e))?;
        context.snapshot.put_sealed(LAYOUT_NAME, &text)
    }
}

/// The copied files and the extra ones, in order.
fn merge(
    staged: &StagedKnownBase,
    extra: Vec<Entry>,
    write: &mut dyn FnMut(Entry) -> Result<()>,
) -> Result<()> {
    let mut extra = extra.into_iter().peekable();
    for entry in staged.entries()? {
        let entry = entry?;
        while let Some(before) = extra.next_if(|extra| extra.path < entry.path) {
            write(before)?;
        }
        write(entry)?;
    }
    extra.try_for_each(write)
}
