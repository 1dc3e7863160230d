//! `lifeboat wal status`: what can be replayed, what is missing, how far the repository is behind.

use std::collections::BTreeMap;

use serde::Serialize;

use super::archiver::{Archiver, archiver};
use super::room::{Advice, Level, Room, room, unlimited};
use crate::archive::manifest::SnapshotKind;
use crate::archive::wal::WalName;
use crate::clock::{self, Timestamp};
use crate::config::Config;
use crate::error::{Error, Result};
use crate::inventory::Inventory;
use crate::inventory::gaps::gaps;
use crate::inventory::lives::{self, lives};
use crate::inventory::reach::StoredWal;
use crate::inventory::take::{Wanted, Which};
use crate::names::wal::{SegmentBytes, TimelineId, WalFile};
use crate::names::{InstanceName, Lsn};
use crate::postgres::connect::PostgresOptions;
use crate::postgres::replication::{SlotState, slot_state};
use crate::postgres::session::{Session, column};
use crate::repository::Repository;
use crate::repository::snapshots::Trust;
use crate::repository::wal::coverage::{TimelineWindows, segment_bytes, windows};

/// What is stored, and beside it where the server stands.
#[derive(Debug, Serialize)]
pub struct Status {
    /// Whose.
    pub instance: InstanceName,
    /// When it was looked.
    pub at: Timestamp,
    /// Oldest first.
    pub timelines: Vec<Timeline>,
    /// Keys among the WAL that nobody of ours wrote.
    pub foreign: Vec<String>,
    /// How many more there are.
    pub foreign_more: u64,
    /// Where the server stands; absent where it was not asked.
    pub server: Option<Server>,
    /// Why the server could not be asked.
    #[serde(skip)]
    pub server_error: Option<Error>,
    /// What a person must look at.
    pub problems: Vec<String>,
    /// What is worth knowing, and no emergency.
    pub warnings: Vec<String>,
}

/// One timeline in the repository.
#[derive(Debug, Serialize)]
pub struct Timeline {
    /// Its windows, gaps and contradictions.
    #[serde(flatten)]
    pub windows: TimelineWindows,
    /// When its newest object was stored, by the store's clock.
    pub stored_at: Option<Timestamp>,
}

/// The server, and how far the repository is behind it.
#[derive(Debug, Serialize)]
pub struct Server {
    /// The timeline that it writes.
    pub timeline: TimelineId,
    /// How far it has flushed.
    pub flushed: Lsn,
    /// WAL that is not stored: what would be lost with the server now. Absent where nothing of its
    /// timeline is stored.
    pub behind_bytes: Option<u64>,
    /// Since when, at most: seconds since something was stored; 0 where nothing is missing.
    pub behind_seconds: Option<i64>,
    /// The agent's slot; absent where there is none.
    pub slot: Option<SlotState>,
    /// How much of what it may keep that slot keeps.
    pub room: Option<Room>,
    /// The server's own archiving; absent where it does none.
    pub archiver: Option<Archiver>,
    /// The advice where slots keep WAL without a limit.
    #[serde(skip)]
    unlimited: Option<Advice>,
}

/// Looks into the repository, and asks the server unless `offline`.
///
/// # Errors
/// Those of the store. A server that cannot be asked is in the report.
pub async fn status(config: &Config, offline: bool) -> Result<Status> {
    let repository = Repository::configured(config).await?;
    let mut status = Status {
        instance: config.instance.clone(),
        at: clock::now(),
        timelines: Vec::new(),
        foreign: Vec::new(),
        foreign_more: 0,
        server: None,
        server_error: None,
        problems: Vec::new(),
        warnings: Vec::new(),
    };
    let asked = match offline {
        true => None,
        false => match ask(config).await {
            Ok(asked) => Some(asked),
            Err(e) => {
                status.problems.push(format!("the server could not be asked: {}", e.what()));
                status.server_error = Some(e);
                None
            }
        },
    };
    // Asked before it is listed: what is stored meanwhile makes the distance smaller, never larger.
    let (mut names, mut newest) = (Vec::<WalName>::new(), BTreeMap::<TimelineId, Timestamp>::new());
    for timeline in repository.wal_timelines().await? {
        let list = repository.wal_of_timeline(timeline).await?;
        status.foreign.extend(list.foreign);
        status.foreign_more += list.foreign_more;
        newest.extend(list.objects.iter().map(|object| object.stored_at).max().map(|at| (timeline, at)));
        names.extend(list.objects.iter().map(|object| object.name));
    }
    let size = asked.as_ref().map_or_else(|| segment_bytes(&names), |(_, size)| *size);
    let found = windows(&names, size);
    status.timelines = found
        .into_iter()
        .map(|windows| Timeline { stored_at: newest.get(&windows.timeline).copied(), windows })
        .collect();
    status.server = asked.map(|(server, _)| server);
    status.measure();
    let inventory = inventory(config, &repository).await;
    status.judge_stored(inventory.as_ref());
    status.judge_server(config, &names);
    Ok(status)
}

impl Status {
    fn measure(&mut self) {
        let Some(server) = &mut self.server else { return };
        let stored = self.timelines.iter().find(|timeline| timeline.windows.timeline == server.timeline);
        let Some((stored, last)) = stored.and_then(|stored| Some((stored, stored.windows.ranges.last()?)))
        else {
            return;
        };
        let behind = server.flushed.0.saturating_sub(last.end.0);
        server.behind_bytes = Some(behind);
        let since = stored.stored_at.map(|at| self.at.duration_since(at).as_secs().max(0));
        server.behind_seconds = if behind == 0 { Some(0) } else { since };
    }

    fn judge_stored(&mut self, inventory: Option<&Inventory>) {
        let wal =
            inventory.and_then(|inventory| inventory.wal.found().cloned()).unwrap_or_else(|| StoredWal {
                windows: self.timelines.iter().map(|timeline| timeline.windows.clone()).collect(),
                ..StoredWal::default()
            });
        let bases =
            || inventory.into_iter().flat_map(Inventory::believed).filter(|one| one.manifest.base.is_some());
        for gap in gaps(&wal) {
            let text = gap.text();
            match gap.is_past(bases().filter_map(|one| one.manifest.base.as_ref())) {
                true => self.warnings.push(format!("{text}; a later base backup begins after it")),
                false => self.problems.push(format!("{text}; take a base backup, if there is none after it")),
            }
        }
        let lives = lives(&wal, bases());
        if lives.len() > 1 {
            self.problems.push(format!(
                "more than one server goes on as this instance: {}; a copy with archiving on? Turn it off there; until production has a new base backup, restores ask for --timeline",
                lives::text(&lives)
            ));
        }
        for Timeline { windows, .. } in &self.timelines {
            let timeline = windows.timeline;
            self.problems.extend(windows.conflicts.iter().map(|range| {
                format!(
                    "timeline {timeline} has two contents for {} to {}: two servers wrote as one",
                    range.begin, range.end
                )
            }));
        }
        if !self.foreign.is_empty() {
            let count = self.foreign.len() as u64 + self.foreign_more;
            let text = format!("{count} keys among the WAL are not ours, first {}", self.foreign[0]);
            self.problems.push(text);
        }
        if self.timelines.is_empty() {
            self.problems.push("no WAL is stored".to_owned());
        }
    }

    fn judge_server(&mut self, config: &Config, names: &[WalName]) {
        let Some(server) = &self.server else { return };
        if server.behind_bytes.is_none() && !self.timelines.is_empty() {
            self.problems.push(format!("nothing of the server's timeline {} is stored", server.timeline));
        }
        let name = &config.wal.slot;
        match (&server.slot, &server.archiver) {
            (Some(slot), _) if config.wal.stream && !slot.active => {
                self.problems.push(format!("nobody streams through slot {name}: is lifeboat agent running?"));
            }
            (None, Some(_)) if config.wal.stream => self.warnings.push(format!(
                "WAL comes by archive_command alone, a whole segment at a time: lifeboat agent, which would store it within seconds, has not run (there is no slot {name}); wal.stream = false says that it is not meant to"
            )),
            (None, None) if config.wal.stream => {
                self.problems.push(format!("there is no slot {name}: has lifeboat agent run?"));
            }
            (None, None) => self.problems.push("nothing archives WAL: wal.stream is false, and archive_command is not set".to_owned()),
            _ => {}
        }
        let is_stored = |file: WalFile| {
            names.iter().any(|name| name.file == file) || !matches!(file, WalFile::Segment(_))
        };
        // Beside the stream another tool may archive elsewhere: that is none of our business.
        let archiver = server.archiver.as_ref().filter(|_| server.slot.is_none());
        self.problems.extend(archiver.and_then(|archiver| archiver.problem(is_stored)));
        if let Some(room) = server.room.as_ref().filter(|room| room.level > Level::Fine) {
            self.problems.push(room.text(name));
        }
        let unlimited = server.unlimited.as_ref().filter(|_| config.wal.stream || server.slot.is_some());
        self.warnings.extend(unlimited.map(|advice| format!("{}; {}", advice.what, advice.next)));
    }
}

/// Base backups that are believed, and how timelines hang together; `None` where that cannot be looked at.
async fn inventory(config: &Config, repository: &Repository) -> Option<Inventory> {
    let snapshots = Which::Kind(SnapshotKind::Base);
    let wanted = Wanted { snapshots, wal: true, ..Wanted::default() };
    let found = async {
        let trust = Trust::keys(&config.signing.trusted_keys)?;
        Inventory::take(repository, &trust, &wanted).await
    };
    found.await.inspect_err(|e| tracing::info!("base backups cannot be looked at: {e:?}")).ok()
}

async fn ask(config: &Config) -> Result<(Server, SegmentBytes)> {
    let mut session = Session::maintenance(&PostgresOptions::from(&config.postgres)).await?;
    let sql = "SELECT (SELECT setting::bigint FROM pg_settings WHERE name = 'wal_segment_size'), \
               CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_flush_lsn() END::text, \
               CASE WHEN pg_is_in_recovery() THEN (SELECT lpad(upper(to_hex(timeline_id)), 8, '0') FROM pg_control_checkpoint()) \
                    ELSE left(pg_walfile_name(pg_current_wal_lsn()), 8) END";
    let row = session.row("ask where the WAL stands", sql).await?;
    let size = SegmentBytes::try_from(u64::try_from(column::<i64>(&row, 0)?).unwrap_or(0))?;
    let slot = slot_state(&mut session, &config.wal.slot).await?;
    let room = match &slot {
        Some(slot) => Some(room(&mut session, slot, config.wal.slot_warn_percent).await?),
        None => None,
    };
    let server = Server {
        timeline: column::<String>(&row, 2)?.parse()?,
        flushed: column::<String>(&row, 1)?.parse()?,
        behind_bytes: None,
        behind_seconds: None,
        unlimited: match &room {
            Some(room) => room.unlimited(&config.wal.slot),
            None => unlimited(&mut session, &config.wal.slot).await?,
        },
        slot,
        room,
        archiver: archiver(&mut session).await?,
    };
    session.close().await;
    Ok((server, size))
}
