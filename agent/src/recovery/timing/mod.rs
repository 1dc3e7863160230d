//! How long a restore takes: what a plan says, from what earlier restores on this host took.
//!
//! A restore that ended well is noted with what it had to do ([`history`]); drills restore with the same
//! program, so each of them teaches the next plan. The time of a plan follows from all of them ([`model`]).

use serde::{Deserialize, Serialize};

use crate::clock::{self, Timestamp, span_text};
use crate::config::Config;
use crate::names::{TenantName, counted};

pub mod history;
pub mod model;

use history::History;

/// The ways to restore; each has its own speed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Way {
    /// A tenant from its dump.
    Dump,
    /// A tenant at a point in time.
    Point,
    /// A whole instance; its server is started, or not.
    Instance,
    /// The filestore alone.
    Files,
}

/// What a restore has to do, as far as its time depends on it. All of it is known before it begins.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Work {
    /// The way.
    pub way: Way,
    /// The tenant; of an instance, none.
    pub tenant: Option<TenantName>,
    /// Bytes that are loaded by SQL: of the dump, or of the tenant's files in the base backup.
    pub loaded_bytes: u64,
    /// Bytes of the filestore.
    pub file_bytes: u64,
    /// Files of the filestore.
    pub files: u64,
    /// Bytes of the base backup's files.
    pub base_bytes: u64,
    /// Bytes of WAL that are replayed; 0 if no server is started.
    pub wal_bytes: u64,
}

impl Work {
    /// That of a way, with nothing to do.
    pub fn of(way: Way, tenant: Option<&TenantName>) -> Work {
        let tenant = tenant.cloned();
        Work { way, tenant, loaded_bytes: 0, file_bytes: 0, files: 0, base_bytes: 0, wal_bytes: 0 }
    }

    /// How long it will take on this host.
    pub fn estimate(self, config: &Config) -> Estimate {
        let history = History::of(&config.state_dir, &config.instance);
        self.estimate_from(&history.read())
    }

    fn estimate_from(self, restores: &[Restore]) -> Estimate {
        let mut same: Vec<&Restore> = restores.iter().filter(|one| one.work.way == self.way).collect();
        same.sort_by_key(|one| std::cmp::Reverse(one.at));
        same.truncate(model::LOOKED_MAX);
        let seconds = model::seconds(&self, &same);
        Estimate { seconds: seconds.round().max(1.0) as u64, restores: same.len(), teaches: true, work: self }
    }
}

/// How long a restore will take.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Estimate {
    /// The time in seconds.
    pub seconds: u64,
    /// How many restores on this host it follows from; 0: from usual hardware, a rough guess.
    pub restores: usize,
    /// Whether its own time says something about other restores.
    #[serde(skip)]
    pub(super) teaches: bool,
    /// What there is to do.
    #[serde(skip)]
    pub work: Work,
}

impl Estimate {
    /// The same after a wait that has nothing to do with this host: until objects in an archive tier can be
    /// read.
    pub(super) fn after(mut self, wait_seconds: u64) -> Estimate {
        self.seconds += wait_seconds;
        self.teaches = wait_seconds == 0;
        self
    }

    /// The work is done: notes how long it took. Without the note, the next estimate is less exact: that is
    /// no reason to fail.
    pub fn took(&self, config: &Config, seconds: f64) {
        if !self.teaches {
            return;
        }
        let restore = Restore { at: clock::now(), work: self.work.clone(), seconds };
        if let Err(e) = History::of(&config.state_dir, &config.instance).add(&restore) {
            tracing::debug!("the time of this restore was not noted: {}", e.line());
        }
    }
}

impl std::fmt::Display for Estimate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let time = span_text(std::time::Duration::from_secs(self.seconds));
        match self.restores {
            0 => write!(f, "about {time}: a rough guess, since nothing was restored here before"),
            restores => {
                write!(f, "about {time}, as measured in {} on this host", counted(restores, "restore"))
            }
        }
    }
}

/// A restore that ended well.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Restore {
    /// When it ended.
    pub at: Timestamp,
    /// What it did.
    pub work: Work,
    /// How long it took.
    pub seconds: f64,
}
