//! Whether the agent runs and its slot is safe; without an agent, whether the server's own archiving works.

use super::gates::Finding;
use crate::catalog::stream::StreamRecord;
use crate::clock;
use crate::config::Config;
use crate::error::Result;
use crate::postgres::connect::PostgresOptions;
use crate::postgres::replication::slot_state;
use crate::postgres::session::Session;
use crate::wal::archiver::archiver;
use crate::wal::room::{Level, room};

/// Looks.
///
/// # Errors
/// Those of the server: then nothing is known.
pub async fn look(config: &Config, postgres: &PostgresOptions) -> Result<Finding> {
    let mut session = Session::maintenance(postgres).await?;
    let found = look_with(config, &mut session).await;
    session.close().await;
    found
}

async fn look_with(config: &Config, session: &mut Session) -> Result<Finding> {
    let slot_name = &config.wal.slot;
    if !config.wal.stream {
        return Ok(match archiver(session).await? {
            None => Finding::failed("wal.stream is false, and the server archives no WAL"),
            Some(archiver) => match archiver.problem(|_| true) {
                Some(problem) => Finding::failed(problem),
                None => Finding::passed("the server archives its WAL (archive_command)"),
            },
        });
    }
    let Some(slot) = slot_state(session, slot_name).await? else {
        return Ok(Finding::failed(format!(
            "there is no replication slot {slot_name}: lifeboat agent does not stream"
        )));
    };
    let room = room(session, &slot, config.wal.slot_warn_percent).await?;
    if room.level >= Level::Critical {
        return Ok(Finding::failed(room.text(slot_name)));
    }
    if !slot.active {
        return Ok(Finding::failed(format!(
            "nobody streams through replication slot {slot_name}: start lifeboat agent"
        )));
    }
    let record = StreamRecord::read(config)?;
    let problems = record.map_or(Vec::new(), |record| record.problems(config, clock::now()));
    Ok(match problems.first() {
        Some(problem) => Finding::failed(problem.clone()),
        None => Finding::passed(format!("lifeboat agent streams; {}", room.text(slot_name))),
    })
}
