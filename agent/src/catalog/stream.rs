//! The last state of the agent's WAL stream on this host: its record for `lifeboat status`.

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::catalog::state::StateDir;
use crate::clock::{self, Timestamp};
use crate::config::Config;
use crate::disk;
use crate::error::{Error, Kind, Result};
use crate::names::Lsn;

/// How often the agent checks, and writes its record.
pub const EVERY: Duration = Duration::from_secs(5);
const RECORD_BYTES_MAX: u64 = 64 << 10;

/// The last state that the agent of this host recorded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StreamRecord {
    /// When it was recorded.
    pub at: Timestamp,
    /// Up to where WAL is stored; `None` where that agent has stored nothing yet.
    pub stored: Option<Lsn>,
    /// When that WAL was stored.
    pub stored_at: Option<Timestamp>,
    /// What a person must look at, in sentences.
    pub problems: Vec<String>,
}

impl StreamRecord {
    /// The record of this host; `None` where no agent has streamed here.
    pub fn read(config: &Config) -> Result<Option<StreamRecord>> {
        let file = file(config);
        if disk::metadata(&file)?.is_none() {
            return Ok(None);
        }
        let text = disk::read_text(&file, RECORD_BYTES_MAX)?;
        serde_json::from_str(&text).map(Some).map_err(|e| {
            Error::new(Kind::Io, format!("{} cannot be read", file.display()))
                .because(e)
                .next("remove it: the agent writes a new one")
        })
    }

    /// Writes it in place of the previous one.
    pub fn write(&self, config: &Config) -> Result<()> {
        let text = serde_json::to_vec_pretty(self)
            .map_err(|e| Error::new(Kind::Internal, "cannot write JSON").because(e))?;
        disk::create_private_dir(&dir(config))?;
        disk::replace_durable(&file(config), &text)
    }

    /// Everything that a person must look at: its problems, or that the record is old.
    pub fn problems(&self, config: &Config, now: Timestamp) -> Vec<String> {
        let quiet = Duration::try_from(now.duration_since(self.at)).unwrap_or_default();
        if quiet <= config.wal.stall_max + EVERY {
            return self.problems.clone();
        }
        let text = format!(
            "no report from lifeboat agent on this host since {}: WAL is not streamed",
            clock::text(self.at)
        );
        vec![text]
    }
}

fn file(config: &Config) -> PathBuf {
    dir(config).join("stream.json")
}

fn dir(config: &Config) -> PathBuf {
    StateDir::wal_dir_of(&config.state_dir, &config.instance)
}
