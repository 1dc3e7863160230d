//! The watch: a look at each tenant, one after the other, again and again until its time is over.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde::Serialize;
use tokio_util::sync::CancellationToken;

use crate::clock::{self, Timestamp};
use crate::config::Config;
use crate::error::Result;
use crate::names::{ReleaseId, TenantName};
use crate::postgres::PostgresOptions;
use crate::release::watch::judge::{TenantLook, Verdict};
use crate::release::watch::look::Watched;

/// A look takes at most this part of the time: the pause after it is so many times as long.
const PAUSE_FACTOR: u32 = 3;
/// The shortest pause.
const PAUSE_MIN: Duration = Duration::from_millis(100);
/// So many looks in a row that say "roll back" end the watch.
const SURE_AFTER: u32 = 2;

/// What is watched.
#[derive(Clone, Debug)]
pub struct WatchRequest {
    /// The release.
    pub release: ReleaseId,
    /// The tenants.
    pub tenants: Vec<TenantName>,
    /// When the release began, by the server's clock.
    pub since: Timestamp,
    /// How long after that the watch ends.
    pub length: Duration,
    /// The shortest time between the beginnings of two looks.
    pub every: Duration,
}

/// One look at all tenants.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Look {
    /// The release.
    pub release: ReleaseId,
    /// When the release began.
    pub since: Timestamp,
    /// When the look began, by the server's clock where that could be read.
    pub at: Timestamp,
    /// How much time since the release it covers.
    pub covers_seconds: u64,
    /// Which look it is, from 1.
    pub number: u32,
    /// The worst of the tenants.
    pub verdict: Verdict,
    /// Each tenant.
    pub tenants: BTreeMap<TenantName, TenantLook>,
}

/// Watches; `each` gets every look. Returns the last one, which read everything, unless several in a row said
/// "roll back": then the watch ends early.
///
/// # Errors
/// `Interrupted`; whatever `each` returns.
pub async fn watch(
    config: &Config,
    request: &WatchRequest,
    mut each: impl FnMut(&Look) -> Result<()>,
    stop: &CancellationToken,
) -> Result<Look> {
    let options = PostgresOptions::from(&config.postgres).stopped_by(stop);
    let new = |tenant| Watched::new(&options, &config.watch, tenant, request.since, request.length);
    let mut tenants: Vec<Watched<'_>> = request.tenants.iter().map(new).collect();
    let (mut number, mut sure) = (0, 0);
    let mut server = ServerClock { at: clock::now(), read: clock::instant() };
    loop {
        number += 1;
        let begun = clock::instant();
        let left = left(request, server.now());
        let is_last = left.is_zero();
        let mut look = Look {
            release: request.release.clone(),
            since: request.since,
            at: server.now(),
            covers_seconds: 0,
            number,
            verdict: Verdict::Continue,
            tenants: BTreeMap::new(),
        };
        for (tenant, watched) in request.tenants.iter().zip(&mut tenants) {
            let (found, at) = watched.look(is_last).await?;
            look.verdict = look.verdict.max(found.verdict());
            if let Some(at) = at {
                server = ServerClock { at, read: clock::instant() };
                look.at = at;
            }
            look.tenants.insert(tenant.clone(), found);
        }
        let covers = Duration::try_from(look.at.duration_since(request.since)).unwrap_or_default();
        look.covers_seconds = covers.min(request.length).as_secs();
        each(&look)?;
        sure = if look.verdict == Verdict::RollBack { sure + 1 } else { 0 };
        // If this host's clock was ahead of the server's, the first look is not the last one.
        if (is_last && covers >= request.length) || sure >= SURE_AFTER {
            return Ok(look);
        }
        let took = begun.elapsed();
        let pause = request.every.saturating_sub(took).max(took * PAUSE_FACTOR);
        clock::sleep(pause.min(self::left(request, server.now())).max(PAUSE_MIN)).await;
    }
}

/// The server's clock as it was last read; before that, this host's.
struct ServerClock {
    at: Timestamp,
    read: Instant,
}

impl ServerClock {
    fn now(&self) -> Timestamp {
        self.at + clock::instant().saturating_duration_since(self.read)
    }
}

/// How long the watch still takes.
fn left(request: &WatchRequest, now: Timestamp) -> Duration {
    let passed = Duration::try_from(now.duration_since(request.since)).unwrap_or_default();
    request.length.saturating_sub(passed)
}
