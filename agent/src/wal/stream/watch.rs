//! Watches the stream and its slot, also while nothing streams; raises alarms before the slot fills the
//! server's disk, and writes a record for `lifeboat status`.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::observed::{Observed, SLOT, STALLED};
use crate::catalog::stream::{EVERY, StreamRecord};
use crate::clock;
use crate::config::Config;
use crate::error::{Error, Kind, Result};
use crate::postgres::connect::PostgresOptions;
use crate::postgres::replication::slot_state;
use crate::postgres::session::Session;
use crate::wal::room::{Level, RUNBOOK, room};

/// How long one check may take.
const LOOK_LIMIT: Duration = Duration::from_secs(30);

/// Checks until `cancel`.
pub async fn watch(config: &Config, observed: &Observed, cancel: &CancellationToken) {
    let mut watch =
        Watch { config, observed, session: None, slot: Level::Fine, stalled: Level::Fine, slot_text: None };
    loop {
        tokio::select! {
            () = cancel.cancelled() => return,
            () = clock::sleep(EVERY) => {}
        }
        tokio::select! {
            () = cancel.cancelled() => return,
            () = watch.look() => {}
        }
    }
}

struct Watch<'a> {
    config: &'a Config,
    observed: &'a Observed,
    session: Option<Session>,
    slot: Level,
    stalled: Level,
    /// What is wrong with the slot, as of the last successful check.
    slot_text: Option<String>,
}

impl Watch<'_> {
    async fn look(&mut self) {
        let looked = tokio::time::timeout(LOOK_LIMIT, self.look_at_slot()).await;
        if let Ok(Err(e)) | Err(e) = looked.map_err(|_| Error::new(Kind::Postgres, "no answer in time")) {
            self.session = None;
            tracing::debug!("the state of the slot cannot be read: {e:?}");
        }
        let stalled = self.observed.stalled(self.config.wal.stall_max);
        self.tell_stalled(stalled.as_deref());
        let problems = stalled.into_iter().chain(self.slot_text.clone()).collect();
        let stored = self.observed.last_stored();
        let record = StreamRecord {
            at: clock::now(),
            stored: stored.map(|(lsn, _)| lsn),
            stored_at: stored.map(|(_, at)| at),
            problems,
        };
        if let Err(e) = record.write(self.config) {
            tracing::warn!("the state of the stream could not be written for lifeboat status: {e:?}");
        }
    }

    async fn look_at_slot(&mut self) -> Result<()> {
        let session = match &mut self.session {
            Some(session) => session,
            none => none.insert(Session::maintenance(&PostgresOptions::from(&self.config.postgres)).await?),
        };
        let name = &self.config.wal.slot;
        let Some(slot) = slot_state(session, name).await? else { return Ok(()) };
        let room = room(session, &slot, self.config.wal.slot_warn_percent).await?;
        let waited_for = self.observed.is_waited_for();
        self.observed.slot(&slot, &room);
        match (waited_for, slot.waited_for) {
            (false, true) => tracing::info!("commits wait for this repository: all WAL is stored at once"),
            (true, false) => tracing::info!("commits no longer wait for this repository"),
            _ => {}
        }
        let text = room.text(name);
        match (room.level, room.level.cmp(&self.slot)) {
            // its text names the runbook already
            (Level::Lost, std::cmp::Ordering::Greater) => tracing::error!("{text}"),
            (Level::Warning, std::cmp::Ordering::Greater) => tracing::warn!("{text}; see {RUNBOOK}"),
            (_, std::cmp::Ordering::Greater) => tracing::error!("{text}; see {RUNBOOK}"),
            (Level::Fine, std::cmp::Ordering::Less) => tracing::warn!("resolved: {text}"),
            (_, std::cmp::Ordering::Less) => tracing::warn!("better, but not resolved: {text}"),
            _ => {}
        }
        self.slot = room.level;
        self.slot_text = (room.level > Level::Fine).then_some(text);
        self.observed.alarm(SLOT, room.level);
        Ok(())
    }

    fn tell_stalled(&mut self, why: Option<&str>) {
        let level = if why.is_some() { Level::Critical } else { Level::Fine };
        match why {
            Some(why) if self.stalled == Level::Fine => {
                tracing::error!("{why}; the slot keeps the WAL; see {RUNBOOK}")
            }
            None if self.stalled > Level::Fine => tracing::warn!("resolved: WAL is stored again"),
            _ => {}
        }
        self.stalled = level;
        self.observed.alarm(STALLED, level);
    }
}
