//! Where a base backup comes from: the data directory, where it can be read here, or the server.

use crate::backup::base::files;
use crate::backup::job::{Job, on_blocking_thread};
use crate::config::BaseSource;
use crate::error::{Error, Result};
use crate::postgres::base::{ServerFiles, may_start, server_files};
use crate::postgres::session::Session;

/// The way in.
pub enum Source {
    /// We read the files.
    Files(ServerFiles),
    /// The server sends them.
    Protocol {
        /// Why the files are not read, unless the configuration says so.
        why: Option<String>,
    },
}

/// As configured; with `auto`, the files where they can be read.
pub async fn choose(job: &Job, session: &mut Session) -> Result<Source> {
    match job.backup.base_source {
        BaseSource::Files => Ok(Source::Files(server_files(session).await?)),
        BaseSource::Protocol => Ok(Source::Protocol { why: None }),
        BaseSource::Auto => match readable(job, session).await {
            Ok(files) => Ok(Source::Files(files)),
            Err(e) => Ok(Source::Protocol { why: Some(said(&e)) }),
        },
    }
}

/// The files, where everything is as it must be to read them.
async fn readable(job: &Job, session: &mut Session) -> Result<ServerFiles> {
    let files = server_files(session).await?;
    may_start(session).await?;
    let (data_dir, identifier) = (files.data_directory.clone(), job.system_identifier.clone());
    on_blocking_thread(move || files::control(identifier.as_deref(), &data_dir)).await?;
    Ok(files)
}

/// What an error says, in one line.
fn said(e: &Error) -> String {
    [vec![e.what().to_owned()], e.causes()].concat().join(": ")
}
