//! The state directory of one instance: `<state_dir>/<instance>/`, private, locked while a
//! backup runs.

use std::fs::File;
use std::path::{Path, PathBuf};

use crate::catalog::verified::Verified;
use crate::disk;
use crate::error::{Error, Kind, Result};
use crate::names::{InstanceName, TenantName, random_hex};

const RUNS_FILE: &str = "runs.sqlite";
const HELD_FILE: &str = "held.sqlite";
const PROVEN_FILE: &str = "proven.sqlite";
const DOUBT_FILE: &str = "base.doubt.json";
const SUSPICION_DIR: &str = "suspicion";
/// Of [`crate::catalog::last_checkpoint`].
pub(super) const LAST_CHECKPOINT_FILE: &str = "last-checkpoint.json";

/// The opened, locked directory.
pub struct StateDir {
    dir: PathBuf,
    holder: String,
    last_steps: &'static str,
    _lock: disk::FileLock,
}

impl StateDir {
    /// Creates what is missing and takes the lock.
    ///
    /// # Errors
    /// `Busy` while another process of this host works on the instance.
    pub fn open(state_dir: &Path, instance: &InstanceName) -> Result<StateDir> {
        StateDir::locked(state_dir, instance, ["lock", "last-steps"], || {
            Error::new(Kind::Busy, format!("another lifeboat is working on instance {instance} on this host"))
                .effect("nothing was stored by this run; the other one continues")
                .safe("running again later is safe")
                .next("wait for it to end; find it with ps -C lifeboat")
        })
    }

    /// The same for `lifeboat agent`, with a lock of its own: backups can run at the same time.
    ///
    /// # Errors
    /// `Busy` while another agent of this host works on the instance.
    pub fn open_for_agent(state_dir: &Path, instance: &InstanceName) -> Result<StateDir> {
        StateDir::locked(state_dir, instance, ["agent.lock", "agent-last-steps"], || {
            Error::new(
                Kind::Busy,
                format!("another lifeboat agent is running for instance {instance} on this host"),
            )
            .next("find it with systemctl status lifeboat-agent or ps -C lifeboat")
        })
    }

    /// The same for a release checkpoint: it runs beside backups and beside the agent.
    ///
    /// # Errors
    /// `Busy` while another checkpoint of this host works on the instance.
    pub fn open_for_checkpoint(state_dir: &Path, instance: &InstanceName) -> Result<StateDir> {
        StateDir::locked(state_dir, instance, ["checkpoint.lock", "checkpoint-last-steps"], || {
            Error::new(
                Kind::Busy,
                format!("another checkpoint is being made for instance {instance} on this host"),
            )
            .safe("running again later is safe")
            .next("wait for it to end; find it with ps -C lifeboat")
        })
    }

    /// The same for the capture of the configuration, with a lock of its own: a checkpoint must not wait for
    /// a backup.
    ///
    /// # Errors
    /// `Busy` while another process of this host stores the configuration.
    pub fn open_for_configuration(state_dir: &Path, instance: &InstanceName) -> Result<StateDir> {
        StateDir::locked(state_dir, instance, ["configuration.lock", "configuration-last-steps"], || {
            let what =
                format!("another lifeboat is storing the configuration of instance {instance} on this host");
            Error::new(Kind::Busy, what)
                .effect("nothing was stored by this run; the other one continues")
                .safe("running again later is safe")
                .next("wait for it to end; find it with ps -C lifeboat")
        })
    }

    fn locked(
        state_dir: &Path,
        instance: &InstanceName,
        [lock, last_steps]: [&'static str; 2],
        busy: impl FnOnce() -> Error,
    ) -> Result<StateDir> {
        let dir = state_dir.join(instance.as_str());
        disk::create_private_dir(&dir.join("filestore"))?;
        let lock = dir.join(lock);
        let lock = disk::try_lock(&lock)?
            .ok_or_else(|| busy().because(format!("it holds the lock {}", lock.display())))?;
        let holder_file = dir.join("holder");
        let holder = match disk::read_text(&holder_file, 1000) {
            Ok(holder) if holder.trim().len() == 32 => holder.trim().to_owned(),
            Ok(_) => Self::new_holder(&holder_file)?,
            // absent, or damaged: not UTF-8
            Err(e) if matches!(e.kind(), Kind::NotFound | Kind::Config) => Self::new_holder(&holder_file)?,
            Err(e) => return Err(e),
        };
        Ok(StateDir { dir, holder, last_steps, _lock: lock })
    }

    /// What checks of this host have found in `repository`, its identifier.
    ///
    /// # Errors
    /// As [`Verified::read`].
    pub fn verified(&self, instance: &InstanceName, repository: &str) -> Result<Verified> {
        Verified::read(self.dir.parent().unwrap_or(&self.dir), instance, repository)
    }

    fn new_holder(file: &Path) -> Result<String> {
        let holder = random_hex(16);
        disk::replace_durable(file, holder.as_bytes())?;
        Ok(holder)
    }

    /// Where manifests are kept while they are being stored; the agent, which runs at the same time as
    /// backups, has its own place.
    pub fn last_steps_dir(&self) -> Result<PathBuf> {
        let dir = self.dir.join(self.last_steps);
        disk::create_private_dir(&dir)?;
        Ok(dir)
    }

    /// Random ID of this directory, for the repository's lease.
    pub fn holder(&self) -> &str {
        &self.holder
    }

    /// The record of scheduled runs.
    pub fn runs_file(&self) -> PathBuf {
        self.dir.join(RUNS_FILE)
    }

    /// The same of a directory that is not opened.
    pub fn runs_file_of(state_dir: &Path, instance: &InstanceName) -> PathBuf {
        state_dir.join(instance.as_str()).join(RUNS_FILE)
    }

    /// The part of a directory that is not opened that belongs to WAL: it has its own locks, so that a backup
    /// and the archiving of WAL never wait for each other.
    pub fn wal_dir_of(state_dir: &Path, instance: &InstanceName) -> PathBuf {
        state_dir.join(instance.as_str()).join("wal")
    }

    /// Where the known filestore of a tenant is kept.
    pub fn known_file(&self, tenant: &TenantName) -> PathBuf {
        let name = crate::archive::path::escape(tenant.as_str().as_bytes());
        self.dir.join("filestore").join(format!("{name}.known.zst"))
    }

    /// The file that records which earlier backups hold files that the source has lost.
    pub fn lost_file(&self, tenant: &TenantName) -> PathBuf {
        self.known_file(tenant).with_extension("lost.json")
    }

    /// What [`StateDir::held_file`] is for a directory that is not opened.
    pub fn held_file_of(state_dir: &Path, instance: &InstanceName) -> PathBuf {
        state_dir.join(instance.as_str()).join(HELD_FILE)
    }

    /// The tenants that have a known filestore.
    ///
    /// # Errors
    /// Where the directory cannot be listed.
    pub fn tenants_with_known_filestore(&self) -> Result<Vec<TenantName>> {
        tenants_below(&self.dir)
    }

    /// The same of a directory that is not opened.
    ///
    /// # Errors
    /// Where the directory cannot be listed.
    pub fn tenants_known(state_dir: &Path, instance: &InstanceName) -> Result<Vec<TenantName>> {
        tenants_below(&state_dir.join(instance.as_str()))
    }

    /// The catalog of what the repository holds of the filestores, for following.
    pub fn held_file(&self) -> PathBuf {
        self.dir.join(HELD_FILE)
    }

    /// The catalog of stored objects that were read and found to be right.
    pub fn proven_file(&self) -> PathBuf {
        self.dir.join(PROVEN_FILE)
    }

    /// Where the known base backup is kept.
    pub fn known_base_file(&self) -> PathBuf {
        self.dir.join("base.known.zst")
    }

    /// The file that records why base backups do not trust the times of files.
    pub fn doubt_file(&self) -> PathBuf {
        self.dir.join(DOUBT_FILE)
    }

    /// The same of a directory that is not opened.
    pub fn doubt_file_of(state_dir: &Path, instance: &InstanceName) -> PathBuf {
        state_dir.join(instance.as_str()).join(DOUBT_FILE)
    }

    /// The records of suspicious backups, and the numbers that the next backup is compared with.
    pub fn suspicion_dir(&self) -> PathBuf {
        self.dir.join(SUSPICION_DIR)
    }

    /// The same of a directory that is not opened.
    pub fn suspicion_dir_of(state_dir: &Path, instance: &InstanceName) -> PathBuf {
        state_dir.join(instance.as_str()).join(SUSPICION_DIR)
    }

    /// What was read of the repository, of a directory that is not opened: manifests, and names of WAL.
    pub fn known_repository_files_of(state_dir: &Path, instance: &InstanceName) -> [PathBuf; 2] {
        ["manifests.zst", "wal-names"].map(|name| state_dir.join(instance.as_str()).join(name))
    }

    /// What `lifeboat fleet` saw of an instance, of a directory that is not opened. `place` tells
    /// repositories apart.
    pub fn seen_file_of(state_dir: &Path, instance: &InstanceName, place: &str) -> PathBuf {
        state_dir.join(instance.as_str()).join(format!("seen-{place}.zst"))
    }

    /// The record of the last release checkpoint of this host.
    pub fn last_checkpoint_file(&self) -> PathBuf {
        self.dir.join(LAST_CHECKPOINT_FILE)
    }

    /// A private file for data that need not outlive this run; an earlier one is removed.
    pub fn scratch_file(&self, name: &str) -> Result<PathBuf> {
        let path = self.dir.join(format!("{name}.tmp"));
        disk::remove_file(&path)?;
        Ok(path)
    }

    /// A private file without a name: it disappears with the process, however that ends.
    pub fn unnamed_file(&self) -> Result<File> {
        let path = self.scratch_file("unnamed")?;
        let file = disk::create_new(&path, 0o600)?;
        disk::remove_file(&path)?;
        Ok(file)
    }
}

fn tenants_below(dir: &Path) -> Result<Vec<TenantName>> {
    let entries = disk::read_dir(&dir.join("filestore"))?.unwrap_or_default();
    let names = entries.iter().filter_map(|entry| entry.file_name().into_string().ok());
    let tenant = |name: String| {
        let bytes = crate::archive::path::unescape(name.strip_suffix(".known.zst")?).ok()?;
        String::from_utf8(bytes).ok()?.parse().ok()
    };
    Ok(names.filter_map(tenant).collect())
}
