//! The scratch directory: where it lies, its record, and its end. Fragments of every tenant come
//! to lie in it: it is private, and goes whatever happens; that of a killed run goes with the next.
//!
//! Its name cannot be guessed, and it is recorded in the state directory only, where nobody else can write: what others
//! put into a work directory decides nothing.

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

/// In the state directory: where the scratch directory of a running restore lies.
const RECORD: &str = "scratch";
/// Root's own directories are closed to the user that runs the server.
const ROOT_PARENT: &str = "/var/tmp";
/// How every scratch directory is called.
const NAME_PREFIX: &str = "lifeboat-scratch-";
/// A restore_command that was under way may still write when its server has ended.
const REMOVE_TRIES: u32 = 20;
const REMOVE_PAUSE: Duration = Duration::from_millis(250);
/// Largest record that is read.
const RECORD_BYTES_MAX: u64 = 8192;

/// A scratch directory that exists.
pub struct Scratch {
    dir: PathBuf,
    record: PathBuf,
}

/// Where the data directory of a new scratch cluster will lie; nothing is there yet.
pub fn place(config: &Config) -> PathBuf {
    let above = match (&config.restore.work_dir, rustix::process::geteuid().is_root()) {
        (None, true) => PathBuf::from(ROOT_PARENT),
        _ => parent(config),
    };
    above.join(format!("{NAME_PREFIX}{}", random_hex(8))).join("data")
}

/// Whether the user that runs the server can get to the scratch directory.
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
            let what = format!("user {uid}, who runs the scratch cluster, cannot enter {}", dir.display());
            return Err(Error::new(Kind::Refused, what)
                .effect("nothing was changed")
                .next("set restore.work_dir to a directory that it can enter, or restore as that user"));
        }
    }
    Ok(())
}

impl Scratch {
    /// Makes the directory around `data_dir`; its record is durable before it is there.
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

    /// Ends the server in it and removes it.
    pub async fn destroy(self) -> Result<()> {
        let Scratch { dir, record } = self;
        destroy(&dir).await.map_err(|e| {
            e.effect(format!("the scratch cluster with fragments of every tenant stays in {}", dir.display()))
                .next("the next restore of a tenant to a point in time removes it; or end its server and remove it by hand")
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

/// Removes what killed runs left: their servers, scratch directories with the spool in them, and dumps. Before a plan,
/// which would count their room as taken.
pub async fn clean(config: &Config) -> Result<()> {
    for entry in disk::read_dir(&records(config))?.unwrap_or_default() {
        let record = entry.path();
        if record.extension().is_none_or(|extension| extension != RECORD) {
            continue;
        }
        // Whoever is at work there holds the lock.
        let Some(_lock) = disk::try_lock(&record.with_extension("lock"))? else { continue };
        let dir = match disk::read_text(&record, RECORD_BYTES_MAX) {
            Ok(text) => PathBuf::from(text),
            Err(e) if e.kind() == Kind::NotFound => continue, // its run ended just now
            Err(e) => return Err(e),
        };
        // Whatever the record says, nothing else is ever removed.
        if dir.file_name().is_some_and(|name| name.to_string_lossy().starts_with(NAME_PREFIX)) {
            Scratch { dir, record: record.clone() }.destroy().await?;
        }
        Workplace::remove_recorded(&record)?;
    }
    Ok(())
}
