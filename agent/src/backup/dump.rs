//! `pg_dump` of one database, streamed into packs without a temporary file, and read back by PostgreSQL's own
//! reader on the way. Three things must be right before it counts: the end of the stream, pg_dump's exit code
//! with its standard error, and the result of that reader.

use std::io::{Read, Write};
use std::sync::Arc;

use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

use crate::archive::manifest::{DUMP_PATH, GLOBALS_PATH};
use crate::backup::job::{Job, on_blocking_thread};
use crate::backup::pace::Pace;
use crate::backup::stream::{self, Streamed};
use crate::error::{Error, Kind, Result};
use crate::names::TenantName;
use crate::postgres::dump::DumpChild;
use crate::postgres::globals::GlobalsDump;
use crate::postgres::readback::ReadBack;
use crate::postgres::snapshot::Exported;
use crate::postgres::tools::Tools;
use crate::repository::writer::SnapshotWriter;

/// A complete dump, in packs; nothing is published yet.
pub struct Dumped {
    /// Size and digest.
    pub streamed: Streamed,
    /// What pg_dump printed although it succeeded.
    pub warnings: Vec<String>,
}

/// Dumps `tenant` as the exported snapshot sees it.
pub async fn dump(
    job: &Job,
    tools: &Tools,
    snapshot: &Arc<SnapshotWriter>,
    tenant: &TenantName,
    exported: &Exported,
    cancel: &CancellationToken,
) -> Result<Dumped> {
    let mut child = DumpChild::start(tools, &job.postgres, tenant.as_str(), Some(exported))?;
    let mut input =
        ChildOutput { runtime: Handle::current(), output: child.take_stdout()?, cancel: cancel.clone() };
    let readback = if job.backup.dump_readback { Some(ReadBack::start(tools)?) } else { None };
    let mut tee = Tee { runtime: Handle::current(), readback };
    let pace = Pace::new(job.backup.read_bytes_per_second_max, cancel.clone());
    let (writer, progress) = (snapshot.clone(), job.progress.clone());
    // Half of the workers: the filestore is read at the same time, and pg_dump itself needs a core.
    let workers = (job.backup.workers / 2).max(1);
    let stored = on_blocking_thread(move || {
        stream::store(&writer, DUMP_PATH, &mut input, &mut tee, workers, &pace, &progress).map(|s| (s, tee))
    })
    .await;
    let (streamed, tee) = match stored {
        Ok(stored) => stored,
        Err(e) => {
            child.cancel().await;
            return Err(e);
        }
    };
    let end = child.finish().await?;
    if let Some(readback) = tee.readback {
        readback.finish().await?;
    }
    Ok(Dumped { streamed, warnings: end.warnings })
}

/// Dumps roles and tablespaces.
pub async fn globals(
    job: &Job,
    tools: &Tools,
    snapshot: &Arc<SnapshotWriter>,
) -> Result<(Streamed, Vec<String>)> {
    let GlobalsDump { text, notes, .. } = GlobalsDump::take(tools, &job.postgres).await?;
    let pace = Pace::new(None, job.cancel.clone());
    let (writer, progress) = (snapshot.clone(), job.progress.clone());
    let streamed = on_blocking_thread(move || {
        stream::store(&writer, GLOBALS_PATH, &mut text.as_slice(), &mut std::io::sink(), 1, &pace, &progress)
    })
    .await?;
    Ok((streamed, notes))
}

struct ChildOutput<R> {
    runtime: Handle,
    output: R,
    cancel: CancellationToken,
}

impl<R: AsyncRead + Unpin> Read for ChildOutput<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let (output, cancel) = (&mut self.output, &self.cancel);
        self.runtime.block_on(async {
            tokio::select! {
                biased;
                () = cancel.cancelled() => {
                    Err(std::io::Error::other(Error::new(Kind::Interrupted, "the dump was stopped")))
                }
                n = output.read(buffer) => n,
            }
        })
    }
}

struct Tee {
    runtime: Handle,
    readback: Option<ReadBack>,
}

impl Write for Tee {
    fn write(&mut self, data: &[u8]) -> std::io::Result<usize> {
        if let Some(readback) = &mut self.readback {
            self.runtime.block_on(readback.write(data)).map_err(std::io::Error::other)?;
        }
        Ok(data.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
