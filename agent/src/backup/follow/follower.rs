//! The loop: it receives events, stores the files that wait, and scans everything now and then. It runs one
//! scan or one batch at a time, and receives events meanwhile.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use super::Followed;
use super::batch::{self, Fate, Settled, Storing};
use super::scan::{self, Scan};
use super::tree::Name;
use super::waiting::{self, Waiting};
use super::watching::{Change, Watching};
use crate::catalog::held::Held;
use crate::clock::{self, Timestamp};
use crate::config::Config;
use crate::disk;
use crate::disk::watch::Event;
use crate::error::{Error, Kind, Result};
use crate::names::TenantName;

/// Files that arrive within this time after the first go into the same batch.
const SETTLE: Duration = Duration::from_secs(1);
/// The least time between two scans.
const SCANS_APART: Duration = Duration::from_secs(1);
/// Where not everything is watched: at least so long, ...
const UNWATCHED_SCANS_APART: Duration = Duration::from_secs(10);
/// ... and so many times as long as a scan takes: 5 % of one core at most.
const UNWATCHED_SCAN_SHARE: u32 = 20;
/// How often the state is reported.
const TELL_EVERY: Duration = Duration::from_secs(2);
/// After a batch that failed: doubled each time.
const BACKOFF_MIN: Duration = Duration::from_secs(1);
const BACKOFF_MAX: Duration = Duration::from_secs(30);
/// How long the list of what the repository holds is used without reading it again.
const LOOK_AGAIN: Duration = Duration::from_secs(24 * 3600);
/// How long a batch in progress may take to end when it is stopped.
const STOP_LIMIT: Duration = Duration::from_secs(10);

/// Why the loop ended.
pub enum FollowEnd {
    /// It was stopped.
    Stopped,
    /// It is time to ask the repository again what it holds.
    LookAgain,
}

enum FollowResult {
    Scanned(Box<Result<Scan>>, Duration),
    Stored(Vec<Settled>, Result<()>),
}

type Job = AbortOnDropHandle<(Held, FollowResult)>;

/// Follows the filestores with one opened repository.
pub struct Follower<'a> {
    storing: Arc<Storing>,
    watching: Watching,
    waiting: &'a mut Waiting,
    tenants: Vec<Arc<TenantName>>,
    /// What is being stored: how many of each tenant, and since when they wait.
    on_their_way: HashMap<Arc<TenantName>, (u64, Timestamp)>,
    /// What the repository holds; the work in progress has it.
    held: Option<Held>,
    interval: Duration,
    scan_interval: Duration,
    /// When the next scan and the next batch may begin.
    scan_at: Instant,
    batch_at: Instant,
    backoff: Duration,
    /// When the last scan began that saw everything.
    scanned: Option<Timestamp>,
    /// Whether every directory is watched, and nothing was missed since.
    all_watched: bool,
    /// How many directories were not watched, as last reported.
    told_unwatched: u64,
    told_at: Instant,
}

impl<'a> Follower<'a> {
    /// One that has not scanned yet.
    pub fn new(
        config: &Config,
        (storing, held): (Arc<Storing>, Held),
        waiting: &'a mut Waiting,
    ) -> Result<Follower<'a>> {
        let now = clock::instant();
        Ok(Follower {
            storing,
            watching: Watching::new()?,
            waiting,
            tenants: Vec::new(),
            on_their_way: HashMap::new(),
            held: Some(held),
            interval: config.agent.follow_interval,
            scan_interval: config.agent.follow_scan,
            scan_at: now,
            batch_at: now,
            backoff: BACKOFF_MIN,
            scanned: None,
            all_watched: false,
            told_unwatched: 0,
            told_at: now,
        })
    }

    /// Runs until it is stopped, or has to look again.
    ///
    /// # Errors
    /// The error of a scan or of the watch; failures of the store are retried here.
    pub async fn run(mut self, tell: impl Fn(&[Followed]), cancel: &CancellationToken) -> Result<FollowEnd> {
        let begun = clock::instant();
        let mut job: Option<Job> = None;
        loop {
            if job.is_none() {
                if begun.elapsed() >= LOOK_AGAIN {
                    return Ok(FollowEnd::LookAgain);
                }
                job = self.next_job();
            }
            let nap = self.nap(job.is_some());
            tokio::select! {
                () = cancel.cancelled() => {
                    // It reads no further file, and it is better to store what it has packed.
                    if let Some(job) = job {
                        let _ = tokio::time::timeout(STOP_LIMIT, job).await; // stopped either way
                    }
                    return Ok(FollowEnd::Stopped);
                }
                done = async { match &mut job { Some(job) => job.await, None => std::future::pending().await } } => {
                    job = None;
                    let (held, done) = done.map_err(|e| Error::new(Kind::Internal, "the thread that follows filestores panicked").because(e))?;
                    self.held = Some(held);
                    self.settle(done)?;
                }
                events = self.watching.events() => for event in events? { self.hear(event, job.is_some()) },
                () = clock::sleep(nap) => {}
            }
            if self.told_at.elapsed() >= TELL_EVERY {
                self.told_at = clock::instant();
                tell(&self.standing());
            }
        }
    }

    /// When the next batch is to begin.
    fn batch_due(&self) -> Option<Instant> {
        let first = self.waiting.first_due()?;
        let calm = self.backoff == BACKOFF_MIN;
        match calm && (self.waiting.is_crowded() || self.waiting.count() >= batch::FILES_MAX) {
            true => Some(first),
            false => Some(self.batch_at.max(first + SETTLE.min(self.interval))),
        }
    }

    fn nap(&self, working: bool) -> Duration {
        let now = clock::instant();
        let next = match working {
            true => None,
            false => self.batch_due().into_iter().chain([self.scan_at]).min(),
        };
        next.map_or(TELL_EVERY, |next| next.saturating_duration_since(now).min(TELL_EVERY))
    }

    fn next_job(&mut self) -> Option<Job> {
        let now = clock::instant();
        // Files that wait go first, except before the first scan: that one adds the watches.
        if self.scanned.is_some() && self.batch_due().is_some_and(|due| due <= now) {
            self.on_their_way = self.waiting.by_tenant();
            let files = self.waiting.take(now, batch::FILES_MAX);
            let (storing, mut held) = (self.storing.clone(), self.held.take()?);
            self.batch_at = now + self.interval;
            return Some(AbortOnDropHandle::new(tokio::spawn(async move {
                let (files, outcome) = batch::store(storing, &mut held, files).await;
                (held, FollowResult::Stored(files, outcome))
            })));
        }
        if self.scan_at > now {
            return None;
        }
        self.scan_at = now + self.scan_interval;
        let (tree, adder) = (self.storing.tree.clone(), self.watching.adder());
        let mut held = self.held.take()?;
        Some(AbortOnDropHandle::new(tokio::spawn(async move {
            let scan = scan::scan(&mut held, &tree, &adder).await;
            (held, FollowResult::Scanned(Box::new(scan), now.elapsed()))
        })))
    }

    fn settle(&mut self, done: FollowResult) -> Result<()> {
        match done {
            FollowResult::Scanned(scan, took) => self.scanned((*scan)?, took),
            FollowResult::Stored(files, outcome) => self.stored(files, outcome),
        }
        Ok(())
    }

    fn scanned(&mut self, scan: Scan, took: Duration) {
        let Scan { begun, survey, missing, more } = scan;
        for problem in &survey.problems {
            tracing::warn!("a filestore is watched only in part: {problem:?}");
        }
        let unplaced = self.watching.placed(survey.places);
        self.tenants = survey.tenants.into_keys().collect();
        let remote = disk::is_remote(self.storing.tree.root());
        self.all_watched = survey.unwatched == 0 && !remote && survey.problems.is_empty();
        if survey.problems.is_empty() && !more {
            self.scanned = Some(begun);
        } else {
            self.scanned.get_or_insert(Timestamp::UNIX_EPOCH);
        }
        let apart = UNWATCHED_SCANS_APART.max(took * UNWATCHED_SCAN_SHARE).min(self.scan_interval);
        if survey.unwatched > 0 || remote {
            self.scan_at = self.scan_at.min(clock::instant() + apart);
        }
        if survey.unwatched > 0 && self.told_unwatched == 0 {
            tracing::warn!(
                "{} directories of the filestores are not watched: the kernel's limit fs.inotify.max_user_watches is reached. \
                 New files there are found by a scan every {}; raise the limit (sysctl) and start the agent again",
                survey.unwatched,
                clock::span_text(apart)
            );
        }
        self.told_unwatched = survey.unwatched;
        for name in missing {
            self.see(name, false);
        }
        if more {
            self.scan_soon();
        }
        for event in unplaced {
            self.hear(event, false);
        }
    }

    fn stored(&mut self, files: Vec<Settled>, outcome: Result<()>) {
        let now = clock::instant();
        self.on_their_way.clear();
        for (name, seen, fate) in files {
            let unreadable = match fate {
                Some(Fate::Held) => continue,
                Some(Fate::Vanished) => {
                    tracing::debug!("{} of {} was deleted before it was stored", name.path, name.tenant);
                    continue;
                }
                None => {
                    self.waiting.put_back(name, seen);
                    continue;
                }
                Some(Fate::NotYet) if self.waiting.try_again(name.clone(), seen, now) => continue,
                Some(Fate::NotYet) => "the SHA-1 of its content is not the one in its name".to_owned(),
                Some(Fate::Unreadable(why)) => why,
            };
            tracing::warn!(
                "{} of {} was not stored as it came; the next backup will try: {unreadable}",
                name.path,
                name.tenant
            );
            if let Some(looks) = self.looks(&name)() {
                self.waiting.note_odd(name, looks);
            }
        }
        if self.waiting.full && self.waiting.count() < waiting::FILES_MAX / 2 {
            self.waiting.full = false;
            self.scan_soon(); // finds the files for which there was no room
        }
        match outcome {
            Ok(()) if self.backoff > BACKOFF_MIN => {
                tracing::info!("new files are stored again; {} are waiting", self.waiting.count());
                self.backoff = BACKOFF_MIN;
            }
            Ok(()) => {}
            Err(e) => {
                let (wait, count) = (clock::span_text(self.backoff), self.waiting.count());
                tracing::warn!(
                    "{count} new files are waiting and could not be stored; trying again in {wait}: {e:?}"
                );
                self.batch_at = now + self.backoff;
                self.backoff = (self.backoff * 2).min(BACKOFF_MAX);
            }
        }
    }

    /// Size and time of a file, when they are asked for.
    fn looks(&self, name: &Name) -> impl FnOnce() -> Option<(u64, i64)> + use<> {
        let (tree, name) = (self.storing.tree.clone(), name.clone());
        move || {
            let meta = tree.look(&name)?;
            Some((meta.len(), crate::backup::file_reader::mtime_ns(&meta)))
        }
    }

    /// Handles a file that may be new. `told`: an event of the watch reported it just now.
    fn see(&mut self, name: Name, told: bool) {
        let looks = self.looks(&name);
        if self.waiting.is_odd(&name, looks) {
            return;
        }
        let (tree, file) = (self.storing.tree.clone(), name.clone());
        let now = (clock::now(), clock::instant());
        self.waiting.add(name, now, told, || Some(tree.open(&file).ok()?.0));
    }

    fn scan_soon(&mut self) {
        self.scan_at = self.scan_at.min(clock::instant() + SCANS_APART);
    }

    fn hear(&mut self, event: Event, working: bool) {
        match self.watching.hear(event, working, &self.storing.tree) {
            Change::Nothing => {}
            Change::Written(name) => self.see(name, true),
            Change::FolderCreated(names) => names.into_iter().for_each(|name| self.see(name, true)),
            Change::Unclear => self.scan_soon(),
            Change::Overflow => {
                tracing::info!("too many files came at once to watch each of them: scanning");
                self.all_watched = false;
                self.scan_soon();
            }
            Change::TenantRemoved(tenant) => {
                self.tenants.retain(|known| known.as_str() != tenant);
                self.scan_soon();
            }
        }
    }

    /// The state of each tenant; empty before the first scan.
    fn standing(&self) -> Vec<Followed> {
        let Some(scanned) = self.scanned.filter(|at| *at > Timestamp::UNIX_EPOCH) else { return Vec::new() };
        let waiting = self.waiting.by_tenant();
        let seen = if self.all_watched { clock::now() } else { scanned };
        let followed = |tenant: &Arc<TenantName>| {
            let both = waiting.get(tenant).into_iter().chain(self.on_their_way.get(tenant));
            let (count, since) = both.fold((0, seen), |(n, first), (m, since)| (n + m, first.min(*since)));
            Followed { tenant: tenant.as_ref().clone(), until: since, waiting: count }
        };
        self.tenants.iter().map(followed).collect()
    }
}

/// The bounds must be consistent.
const _: () = assert!(batch::FILES_MAX < waiting::FILES_MAX);
