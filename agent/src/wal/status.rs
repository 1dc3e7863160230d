//! `lifeboat wal status`: what can be replayed, what is missing, how far the repository is behind.

use serde::Serialize;

use super::archiver::{Archiver, archiver};
use super::room::{Advice, Level, Room, room, unlimited};
use crate::archive::manifest::SnapshotKind;
use crate::archive::signature::{SigningKey, TrustedKeys};
use crate::archive::wal::WalName;
use crate::archive::wal_name::NameTrust;
use crate::clock::{self, Timestamp};
use crate::config::Config;
use crate::error::{Error, Kind, Result};
use crate::inventory::Inventory;
use crate::inventory::gaps::missing;
use crate::inventory::lives::{self, lives};
use crate::inventory::reach::StoredWal;
use crate::inventory::take::{Wanted, Which, stored_wal};
use crate::names::wal::{SegmentBytes, TimelineId, WalFile};
use crate::names::{InstanceName, Lsn};
use crate::postgres::connect::PostgresOptions;
use crate::postgres::replication::{SlotState, slot_state};
use crate::postgres::session::{Session, column};
use crate::repository::Repository;
use crate::repository::snapshots::Trust;
use crate::repository::wal::coverage::TimelineWindows;
use crate::repository::wal::{Lineages, WalList};

/// What is stored, compared with the position of the server.
#[derive(Debug, Serialize)]
pub struct Status {
    /// The instance.
    pub instance: InstanceName,
    /// The time of this report.
    pub at: Timestamp,
    /// Oldest first.
    pub timelines: Vec<Timeline>,
    /// The first keys among the WAL that are ignored: Lifeboat did not write them.
    pub foreign: Vec<String>,
    /// How many more there are.
    pub foreign_more: u64,
    /// The position of the server; absent where it was not asked.
    pub server: Option<Server>,
    /// Why the server could not be queried.
    #[serde(skip)]
    pub server_error: Option<Error>,
    /// What a person must look at.
    pub problems: Vec<String>,
    /// What is worth knowing but no emergency.
    pub warnings: Vec<String>,
}

/// One timeline in the repository.
#[derive(Debug, Serialize)]
pub struct Timeline {
    /// Its windows, gaps and contradictions.
    #[serde(flatten)]
    pub windows: TimelineWindows,
    /// When its end was stored, by the store's clock.
    pub stored_at: Option<Timestamp>,
}

/// The server, and how far the repository is behind it.
#[derive(Debug, Serialize)]
pub struct Server {
    /// The timeline that it writes.
    pub timeline: TimelineId,
    /// How far it has flushed.
    pub flushed: Lsn,
    /// WAL that is not stored and would be lost if the server were lost now. Absent where nothing of its
    /// timeline is stored.
    pub behind_bytes: Option<u64>,
    /// Seconds since something was last stored: it is behind by at most that; 0 where nothing is missing.
    pub behind_seconds: Option<i64>,
    /// The agent's slot; absent where there is none.
    pub slot: Option<SlotState>,
    /// How much that slot keeps, of what it may keep.
    pub room: Option<Room>,
    /// The server's own archiving; absent where it is off.
    pub archiver: Option<Archiver>,
    /// The advice where slots keep WAL without a limit.
    #[serde(skip)]
    unlimited: Option<Advice>,
}

/// Reads the repository, and queries the server unless `offline`.
///
/// # Errors
/// Those of the store. A server that cannot be queried is in the report.
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
                status.problems.push(format!("the server cannot be queried: {}", e.what()));
                status.server_error = Some(e);
                None
            }
        },
    };
    // The server is queried before the list: what is stored meanwhile makes the lag smaller, never larger.
    let trust = trust(config)?;
    let (list, lineages) = list(&repository, &trust).await?;
    let names: Vec<WalName> = list.objects.iter().map(|object| object.name).collect();
    let wal = stored_wal(list, lineages, asked.as_ref().map(|(_, size)| *size));
    status.foreign_more = wal.foreign.more;
    status.foreign = wal.foreign.first.iter().map(|(key, _)| key.clone()).collect();
    let of_timeline = |windows: &TimelineWindows| Timeline {
        stored_at: wal.end_of(|id| id == windows.timeline).map(|(_, at)| at),
        windows: windows.clone(),
    };
    status.timelines = wal.windows.iter().map(of_timeline).collect();
    status.server = asked.map(|(server, _)| server);
    status.measure();
    status.judge_stored(&wal, bases(&repository, &trust).await.as_ref());
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

    fn judge_stored(&mut self, wal: &StoredWal, all: Option<&Inventory>) {
        let bases =
            || all.into_iter().flat_map(Inventory::believed).filter(|one| one.manifest.base().is_some());
        let missing = missing(wal, bases());
        self.problems.extend(missing.problems);
        self.warnings.extend(missing.warnings);
        let lives = lives(wal, bases());
        if lives.len() > 1 {
            self.problems.push(format!(
                "more than one server stores WAL as this instance: {}; if one of them is a copy, turn off archiving there, then take a base backup of production; until then restores need --timeline",
                lives::text(&lives)
            ));
        }
        for Timeline { windows, .. } in &self.timelines {
            let timeline = windows.timeline;
            self.problems.extend(windows.conflicts.iter().map(|range| {
                format!(
                    "timeline {timeline} is stored twice with different content from {} to {}: two servers stored WAL as this instance",
                    range.begin, range.end
                )
            }));
        }
        self.problems.extend(wal.foreign.text().map(|text| {
            format!("{text}; find out who can write there; if a signing key was replaced, keep the public half of the old one in signing.trusted_keys")
        }));
        if self.timelines.is_empty() {
            self.problems.push("no WAL is stored".to_owned());
        }
    }

    fn judge_server(&mut self, config: &Config, names: &[WalName]) {
        let Some(server) = &self.server else { return };
        if server.behind_bytes.is_none() && !self.timelines.is_empty() {
            self.problems
                .push(format!("no WAL of timeline {}, on which the server is, is stored", server.timeline));
        }
        let name = &config.wal.slot;
        match (&server.slot, &server.archiver) {
            (Some(slot), _) if config.wal.stream && !slot.active => {
                self.problems.push(format!("nothing streams through slot {name}: is lifeboat agent running?"));
            }
            (None, Some(_)) if config.wal.stream => self.warnings.push(format!(
                "WAL arrives only by archive_command, one whole segment at a time: lifeboat agent, which stores it within seconds, has not run (there is no slot {name}); start it, or set wal.stream = false if you do not want it"
            )),
            (None, None) if config.wal.stream => {
                self.problems.push(format!("there is no slot {name}: has lifeboat agent run?"));
            }
            (None, None) => self.problems.push("nothing archives WAL: wal.stream is false and archive_command is not set".to_owned()),
            _ => {}
        }
        let is_stored = |file: WalFile| {
            names.iter().any(|name| name.file == file) || !matches!(file, WalFile::Segment(_))
        };
        // Where WAL is streamed, another tool may archive elsewhere: that is not our business.
        let archiver = server.archiver.as_ref().filter(|_| server.slot.is_none());
        self.problems.extend(archiver.and_then(|archiver| archiver.problem(is_stored)));
        if let Some(room) = server.room.as_ref().filter(|room| room.level > Level::Fine) {
            self.problems.push(room.text(name));
        }
        let unlimited = server.unlimited.as_ref().filter(|_| config.wal.stream || server.slot.is_some());
        self.warnings.extend(unlimited.map(|advice| format!("{}; {}", advice.what, advice.next)));
    }
}

/// Whose signatures count here: the trusted keys, and this host's own.
fn trust(config: &Config) -> Result<Trust> {
    let mut trusted = TrustedKeys::parse(&config.signing.trusted_keys)?;
    match config.signing.key_file.as_deref().map(SigningKey::load) {
        Some(Ok(own)) => trusted = trusted.with(&own),
        Some(Err(e)) if trusted.is_empty() => return Err(e),
        _ => {}
    }
    Ok(Trust::Keys(trusted))
}

/// The WAL that counts, and how its timelines are related; empty before anything was stored.
async fn list(repository: &Repository, trust: &Trust) -> Result<(WalList, Lineages)> {
    let origin = match repository.origin().await {
        Ok(origin) => origin,
        Err(e) if e.kind() == Kind::NotFound => return Ok((WalList::default(), Lineages::default())),
        Err(e) => return Err(e),
    };
    let list = repository.wal(&NameTrust::new(&origin, trust.trusted()), false).await?;
    let lineages = repository.lineages(&list.lineages, &origin, trust).await?;
    Ok((list, lineages))
}

/// The base backups with trusted manifests; `None` where they cannot be read.
async fn bases(repository: &Repository, trust: &Trust) -> Option<Inventory> {
    let wanted = Wanted { snapshots: Which::Kind(SnapshotKind::Base), ..Wanted::default() };
    let found = Inventory::take(repository, trust, &wanted).await;
    found.inspect_err(|e| tracing::info!("the base backups cannot be read: {e:?}")).ok()
}

async fn ask(config: &Config) -> Result<(Server, SegmentBytes)> {
    let mut session = Session::maintenance(&PostgresOptions::from(&config.postgres)).await?;
    let sql = "SELECT (SELECT setting::bigint FROM pg_settings WHERE name = 'wal_segment_size'), \
               CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_flush_lsn() END::text, \
               CASE WHEN pg_is_in_recovery() THEN (SELECT lpad(upper(to_hex(timeline_id)), 8, '0') FROM pg_control_checkpoint()) \
                    ELSE left(pg_walfile_name(pg_current_wal_lsn()), 8) END";
    let row = session.row("ask for the WAL position", sql).await?;
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
