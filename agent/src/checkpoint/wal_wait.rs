//! The restore point of a checkpoint, and the wait for its WAL, as steps of the work.
//!
//! Every call makes a point of its own. What a killed call left is not used again: only what is looked at
//! around a point says what belongs to it, and a restore point that nobody names costs some bytes of WAL.

use std::time::Instant;

use super::dumps::INSTEAD;
use super::gates::{self, Finding};
use super::point::{self, Awaited, MadePoint};
use super::work::Work;
use crate::archive::evidence::predicate::Point;
use crate::archive::manifest::Origin;
use crate::archive::wal_name::NameTrust;
use crate::clock;
use crate::error::{Kind, Result};
use crate::names::Lsn;
use crate::names::wal::TimelineId;
use crate::postgres::server::ServerInfo;
use crate::postgres::session::Session;

/// How the wait for the WAL of the point ended.
pub(super) struct WalWait {
    /// The gate.
    pub(super) finding: Finding,
    /// How far WAL is stored.
    pub(super) stored: Option<Lsn>,
    /// How long it took, where the point is stored.
    pub(super) seconds: Option<f64>,
}

impl Work<'_> {
    /// Makes the restore point; `None` where none is to be made.
    pub(super) async fn point(&self, session: &mut Session) -> Result<(Option<MadePoint>, Instant)> {
        if self.no_point.is_some() {
            return Ok((None, clock::instant()));
        }
        self.progress.stage("making the restore point");
        let made = point::make(session, &point::new_name(&self.request.release.id)).await?;
        let since = clock::instant();
        point::push_out(session, &self.config.wal.slot).await?;
        Ok((Some(made), since))
    }

    /// Waits for the WAL of the point.
    pub(super) async fn wait(
        &self,
        since: Instant,
        made: &Option<MadePoint>,
        origin: &Origin,
    ) -> Result<WalWait> {
        let Some(made) = made else {
            let finding = Finding::not_required(self.no_point.unwrap_or(INSTEAD));
            return Ok(WalWait { finding, stored: None, seconds: None });
        };
        self.progress.stage("waiting for the WAL of the restore point");
        let trust = NameTrust::new(origin, self.trust.trusted());
        let awaited = Awaited {
            repository: &self.repository,
            trust: &trust,
            timeline: TimelineId(made.timeline),
            lsn: made.lsn,
            segment_bytes: made.segment_bytes,
        };
        let stored = match awaited.wait(self.until, &self.cancel).await {
            Err(e) if e.kind() == Kind::Interrupted => return Err(e),
            stored => stored,
        };
        let waited = since.elapsed();
        // A restart or a failover may have closed our session: another one asks.
        let now = match Session::maintenance(&self.postgres).await {
            Ok(mut other) => point::timeline_now(&mut other).await,
            Err(e) => Err(e),
        };
        let finding = match (&stored, &now) {
            (Err(e), _) | (_, Err(e)) => Finding::of_error(e),
            (Ok(stored), Ok(now)) => gates::wal(made.lsn, *stored, (made.timeline, *now), waited),
        };
        let stored = stored.ok().flatten();
        let seconds = stored.filter(|stored| *stored >= made.lsn).map(|_| waited.as_secs_f64());
        Ok(WalWait { finding, stored, seconds })
    }

    /// What the evidence says of the point.
    pub(super) fn predicate_point(
        &self,
        made: &MadePoint,
        server: &ServerInfo,
        stored: &Option<Lsn>,
        seconds: Option<f64>,
    ) -> Point {
        Point {
            name: made.name.clone(),
            lsn: made.lsn,
            timeline: made.timeline,
            time: made.time,
            system_identifier: server.system_identifier.clone().unwrap_or_default(),
            server_version: server.version.clone(),
            stored: *stored,
            stored_after_seconds: seconds,
        }
    }
}
