//! One agent a host and instance; beside backups, which have a lock of their own.

use crate::config::Config;
use crate::disk;
use crate::error::{Error, Kind, Result};
use crate::names::random_hex;

/// Held until dropped, or until the process is gone.
pub struct AgentLock {
    holder: String,
    _lock: disk::FileLock,
}

impl AgentLock {
    /// Takes it.
    ///
    /// # Errors
    /// `Busy` while another agent of this host streams WAL of the instance.
    pub fn take(config: &Config) -> Result<AgentLock> {
        let dir = super::super::state_dir(config);
        disk::create_private_dir(&dir)?;
        let lock = disk::try_lock(&dir.join("lock"))?.ok_or_else(|| {
            Error::new(
                Kind::Busy,
                format!("another lifeboat agent streams WAL of instance {} on this host", config.instance),
            )
            .because(format!("it holds the lock {}", dir.join("lock").display()))
            .effect("this one did nothing; the other one goes on")
            .next("ps -C lifeboat shows it")
        })?;
        let file = dir.join("holder");
        let known = disk::read_text(&file, 1000).ok().filter(|text| text.len() == 32);
        let holder = match known {
            Some(holder) => holder,
            None => {
                let holder = random_hex(16);
                disk::replace_durable(&file, holder.as_bytes())?;
                holder
            }
        };
        Ok(AgentLock { holder, _lock: lock })
    }

    /// Random id of the state directory, for the lease.
    pub fn holder(&self) -> &str {
        &self.holder
    }
}
