//! Prepares what production's archiver finds in a directory that becomes production.

use std::io::Result as IoResult;
use std::path::Path;

use crate::archive::base::CONTROL_FILE;
use crate::disk::beneath::Dir;
use crate::error::{Error, Result};
use crate::names::wal::{SegmentName, WalFile};
use crate::postgres::control::{self, CONTROL_BYTES};

/// The directory of WAL.
const WAL_DIR: &str = "pg_wal";
/// The directory in it that says which files are archived and which are still to be.
const STATUS_DIR: &str = "archive_status";

/// Its timeline began while nothing was archived. An archive without a timeline's history cannot be
/// recovered along that timeline, so the history is marked for production's archiver, which archives it at
/// its first start. Segments of older timelines are not archived: the last one here differs from what
/// production wrote.
pub(super) fn settle_archive(dir: &Dir, owner: Option<(u32, u32)>) -> Result<()> {
    let bytes = dir.read(Path::new(CONTROL_FILE), CONTROL_BYTES as u64)?;
    let Some(control) = control::parse(&bytes) else { return Ok(()) };
    let failed = |e| Error::file("open", &dir.path().join(WAL_DIR), e);
    let wal = dir.dir(Path::new(WAL_DIR)).map_err(failed)?;
    let status = wal.dir(Path::new(STATUS_DIR)).map_err(failed)?;
    let history = WalFile::History(control.timeline).to_string();
    for entry in wal.entries().map_err(failed)? {
        let Ok(name) = entry.name.into_string() else { continue };
        let is_older = name.parse::<SegmentName>().is_ok_and(|name| name.timeline != control.timeline);
        if name == history {
            mark(&status, &name, "ready", owner).map_err(failed)?;
        } else if is_older {
            mark(&status, &name, "done", owner).map_err(failed)?;
        }
    }
    Ok(())
}

/// Marks a file that has no mark yet as archived or to be archived.
fn mark(status: &Dir, name: &str, state: &str, owner: Option<(u32, u32)>) -> IoResult<()> {
    for known in ["ready", "done"] {
        if status.look(Path::new(&format!("{name}.{known}")))?.is_some() {
            return Ok(());
        }
    }
    status.create_owned(Path::new(&format!("{name}.{state}")), owner)
}
