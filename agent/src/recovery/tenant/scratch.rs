//! The scratch directory: its place, its record, and its removal. It contains fragments of every tenant,
//! so it is private and always removed; the one of a killed run is removed by the next run.
//!
//! Its name cannot be guessed, and it is recorded only in the state directory, where nobody else can
//! write: what others put into a work directory has no effect.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::clock;
use crate::config::Config;
use crate::disk;
use crate::disk::beneath::Dir;
use crate::error::{Error, Kind, Result};
use crate::names::random_hex;
use crate::postgres::server_stop::stop_now;
use crate::recovery::workplace::{Workplace, check_parent, parent, records};

/// The record in the state directory: the path of a running restore's scratch directory.
const RECORD: &str = "scratch";
/// Used by root: its own directories are closed to the user that runs the server.
const ROOT_PARENT: &str = "/var/tmp";
/// The prefix of every scratch directory's name.
const NAME_PREFIX: &str = "lifeboat-scratch-";
/// A running restore_command may still write after its server has ended.
const REMOVE_TRIES: u32 = 20;
const REMOVE_PAUSE: Duration = Duration::from_millis(250);
/// Largest record that is read.
const RECORD_BYTES_MAX: u64 = 8192;

/// An existing scratch directory.
pub struct Scratch {
    dir: PathBuf,
    record: PathBuf,
}

/// The path of the data directory of a new scratch cluster; nothing is there yet.
pub fn place(config: &Config) -> PathBuf {
    let above = match (&config.restore.work_dir, rustix::process::geteuid().is_root()) {
        (None, true) => PathBuf::from(ROOT_PARENT),
        _ => parent(config),
    };
    above.join(format!("{NAME_PREFIX}{}", random_hex(8))).join("data")
}

/// Checks that the user that runs the server can reach the scratch directory.
///
/// # Errors
/// `Refused`, naming the directory that is closed to it.
pub fn check_way(data_dir: &Path, owner: Option<(u32, u32)>) -> Result<()> {
    let Some((uid, gid)) = owner else { return Ok(()) };
    for dir in data_dir.ancestors() {
        let Some(meta) = disk::metadata(dir)?.filter(|meta| meta.is_dir()) else { continue };
        let bit = match (meta.uid() == uid, meta.gid() == gid) {
            (true, _) => 0o100,
            (_, true) => 0o010,
            _ => 0o001,
        };
        if meta.mode() & bit == 0 {
            let what = format!("user {uid}, which runs the scratch cluster, cannot enter {}", dir.display());
            return Err(Error::new(Kind::Refused, what)
                .effect("nothing was changed")
                .next("set restore.work_dir to a directory that it can enter, or restore as that user"));
        }
    }
    Ok(())
}

impl Scratch {
    /// Creates the directory around `data_dir`; its record is durable before the directory exists.
    pub fn make(data_dir: &Path, work: &Workplace, owner: Option<(u32, u32)>) -> Result<Scratch> {
        let dir = data_dir.parent().unwrap_or(data_dir).to_owned();
        let record = work.scratch();
        disk::replace_durable(&record, dir.as_os_str().as_encoded_bytes())?;
        let above = dir.parent().unwrap_or(Path::new("/"));
        disk::create_private_dir(above)?;
        check_parent(above, work.records(), owner.map(|(uid, _)| uid))?;
        let made = Dir::open(above).and_then(|above| above.make_dir(dir.file_name().unwrap_or_default()));
        made.and_then(|made| made.give(0o700, owner))
            .map_err(|e| Error::file("create directory", &dir, e))?;
        Ok(Scratch { dir, record })
    }

    /// Stops the server in it and removes it.
    pub async fn destroy(self) -> Result<()> {
        let Scratch { dir, record } = self;
        destroy(&dir).await.map_err(|e| {
            e.effect(format!("the scratch cluster, which contains fragments of every tenant, is still in {}", dir.display()))
                .next("the next restore of a tenant to a point in time removes it; or stop its server and remove it by hand")
        })?;
        disk::remove_file(&record)
    }
}

async fn destroy(dir: &Path) -> Result<()> {
    stop_now(&dir.join("data")).await?;
    for _ in 1..REMOVE_TRIES {
        if disk::remove_tree(dir).is_ok() {
            return Ok(());
        }
        clock::sleep(REMOVE_PAUSE).await;
    }
    disk::remove_tree(dir)
}

/// Removes what killed runs left: their servers, scratch directories with the spool in them, and dumps.
/// Call it before a plan, which would otherwise count their space as used.
pub async fn clean(config: &Config) -> Result<()> {
    for entry in disk::read_dir(&records(config))?.unwrap_or_default() {
        let record = entry.path();
        if record.extension().is_none_or(|extension| extension != RECORD) {
            continue;
        }
        // A running restore holds the lock.
        let Some(_lock) = disk::try_lock(&record.with_extension("lock"))? else { continue };
        let dir = match disk::read_text(&record, RECORD_BYTES_MAX) {
            Ok(text) => PathBuf::from(text),
            Err(e) if e.kind() == Kind::NotFound => continue, // its run has just ended
            Err(e) => return Err(e),
        };
        // Whatever the record says, only scratch directories are ever removed.
        if dir.file_name().is_some_and(|name| name.to_string_lossy().starts_with(NAME_PREFIX)) {
            Scratch { dir, record: record.clone() }.destroy().await?;
        }
        Workplace::remove_recorded(&record)?;
    }
    Ok(())
}
