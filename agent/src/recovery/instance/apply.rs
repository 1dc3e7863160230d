//! Applying the plan: directories and links, files, recovery settings, everything synced;
//! `pg_control` last of all, so that no server starts on less.

use std::io::Write;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Serialize;
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

use crate::archive::base::CONTROL_FILE;
use crate::archive::path::unescape;
use crate::clock;
use crate::disk;
use crate::error::{Error, Kind, Result};
use crate::postgres::control;
use crate::postgres::server_command;
use crate::progress::Progress;
use crate::recovery::instance::aside::{self, CONF_FILE, HBA_FILE};
use crate::recovery::instance::delta;
use crate::recovery::instance::extract::{Extract, Extracted, extract};
use crate::recovery::instance::plan::{InstancePlan, Prepared};
use crate::recovery::instance::settings::{self, HBA_TEXT};
use crate::recovery::instance::{MARKER_FILE, Marker, Replaces};

/// Tells PostgreSQL to recover to a target.
const SIGNAL_FILE: &str = "recovery.signal";

/// PostgreSQL's own rule: a group may look, nobody else, and nothing is setuid or setgid.
const DIR_MODES: u32 = 0o750;
const FILE_MODES: u32 = 0o640;

/// The mode of a file, whatever the backup says.
pub(super) fn file_mode(mode: u16) -> u32 {
    u32::from(mode) & FILE_MODES | 0o600
}

/// What was restored.
#[derive(Debug, Serialize)]
pub struct Restored {
    /// The plan that was applied.
    pub plan: InstancePlan,
    /// Stored bytes that were fetched.
    pub fetched_bytes: u64,
    /// Files that came out of the old data directory.
    pub copied_files: u64,
    /// Their sizes added up.
    pub copied_bytes: u64,
    /// Commands that put the old state back, where one was replaced.
    pub undo: Option<String>,
    /// The command that starts a server on it.
    pub start: String,
    /// How long it took.
    pub seconds: f64,
}

/// Restores what was planned. When this returns, all is durable and a server can be started.
///
/// # Errors
/// Whatever failed; the directory says that it is incomplete, no server starts on it, and the same
/// restore goes on there.
pub async fn apply(
    prepared: &Arc<Prepared>,
    progress: &Progress,
    cancel: &CancellationToken,
) -> Result<Restored> {
    let begun = clock::instant();
    let (of, progress, cancel) = (prepared.clone(), progress.clone(), cancel.clone());
    let bin_dir = prepared.bin_dir.clone();
    let dir = prepared.plan.making_dir().to_owned();
    let undone = match prepared.plan.replaced {
        Some(_) => format!("; {} is as it was", prepared.plan.data_dir.display()),
        None => String::new(),
    };
    let done = tokio::task::spawn_blocking(move || of.run(&progress, &cancel))
        .await
        .unwrap_or_else(|e| Err(Error::new(Kind::Internal, "restoring the instance panicked").because(e)));
    let plan = prepared.plan.clone();
    let done = done.map_err(|e: Error| {
        e.effect(format!("{} is incomplete, and no server starts on it{undone}", dir.display()))
            .safe("running the same restore again continues there")
    })?;
    let undo = plan.replaced.as_ref().map(|replaced| replaced.undo(&plan.data_dir));
    let Done { fetched_bytes, copied_files, copied_bytes } = done;
    let seconds = begun.elapsed().as_secs_f64();
    let start = server_command::pg_ctl(bin_dir.as_deref(), &plan.data_dir, "start");
    Ok(Restored { plan, fetched_bytes, copied_files, copied_bytes, undo, start, seconds })
}

/// What it took.
#[derive(Default)]
struct Done {
    fetched_bytes: u64,
    copied_files: u64,
    copied_bytes: u64,
}

impl Prepared {
    fn owner_pair(&self) -> Option<(u32, u32)> {
        self.owner.map(|owner| (owner.uid, owner.gid))
    }

    fn run(&self, progress: &Progress, cancel: &CancellationToken) -> Result<Done> {
        let plan = &self.plan;
        if plan.replaced.as_ref().is_some_and(|replaced| replaced.is_done) {
            self.settle(&plan.data_dir)?;
            return Ok(Done::default());
        }
        let dir = plan.making_dir();
        progress.stage("directories");
        self.make_directories()?;
        progress.stage("files");
        let Extracted { control, fetched_bytes, copied_files, copied_bytes } = extract(&Extract {
            repository: &self.repository,
            runtime: &Handle::current(),
            manifests: &self.manifests,
            identities: &self.identities,
            wanted: &self.wanted,
            dir,
            old: plan.replaced.as_ref().map(|_| plan.data_dir.as_path()),
            owner: self.owner,
            workers: self.workers,
            progress,
            cancel,
        })?;
        self.check_control(&control)?;
        self.make_sparse()?;
        progress.stage("recovery settings");
        self.write_settings(&control)?;
        progress.stage("sync");
        disk::sync_file_system(dir)?;
        for tablespace in &plan.tablespaces {
            disk::sync_file_system(&tablespace.location)?;
        }
        self.write_control(&control)?;
        self.give_away()?;
        if plan.replaced.is_some() {
            delta::check_stopped(&plan.data_dir)?;
            disk::exchange_durable(dir, &plan.data_dir)?;
        }
        self.settle(&plan.data_dir)?;
        Ok(Done { fetched_bytes, copied_files, copied_bytes })
    }

    /// Us, where we are root and it will belong to somebody else.
    fn ours(&self) -> Option<(u32, u32)> {
        self.owner.map(|_| (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw()))
    }

    /// It is whole: from here on it is its owner's.
    fn give_away(&self) -> Result<()> {
        let Some(owner) = self.owner_pair() else { return Ok(()) };
        let tablespaces = self.plan.tablespaces.iter().map(|t| t.location.as_path());
        let mut roots = [self.plan.making_dir()].into_iter().chain(tablespaces);
        roots.try_for_each(|root| disk::make_dir(root, 0o700, Some(owner)))
    }

    /// It is whole, under its name: what said otherwise goes.
    fn settle(&self, dir: &Path) -> Result<()> {
        for tablespace in &self.plan.tablespaces {
            disk::remove_file(&tablespace.location.join(MARKER_FILE))?;
        }
        disk::remove_file(&dir.join(MARKER_FILE))?;
        disk::sync_parent(&dir.join(MARKER_FILE))
    }

    fn check_control(&self, control: &[u8]) -> Result<()> {
        let read = control::parse(control).map(|control| control.system_identifier.to_string());
        match read.as_ref() == Some(&self.facts()?.system_identifier) {
            true => Ok(()),
            false => Err(Error::new(
                Kind::Integrity,
                format!("{CONTROL_FILE} is not that of the cluster that was backed up"),
            )),
        }
    }

    /// The files of other databases: their size, and nothing in them.
    fn make_sparse(&self) -> Result<()> {
        for file in self.narrowed.iter().flat_map(|narrowed| &narrowed.sparse) {
            let path = self.plan.making_dir().join(unescaped(self.wanted.path(file))?);
            let out = disk::open_or_create(&path)?;
            out.set_len(file.bytes).map_err(|e| Error::file("make", &path, e))?;
            disk::give(&out, &path, file_mode(file.mode), self.owner_pair())?;
        }
        Ok(())
    }

    fn make_directories(&self) -> Result<()> {
        let plan = &self.plan;
        let owner = self.owner_pair();
        let data_dir = plan.making_dir();
        let mut replaces = None;
        if let Some(replaced) = &plan.replaced {
            match replaced.goes_on {
                true => disk::remove_file(&data_dir.join(CONTROL_FILE))?,
                false => delta::make_beside(replaced)?,
            }
            let (dir, old_state) = (plan.data_dir.clone(), replaced.old_state.clone());
            replaces = Some(Replaces { dir, old_state, settings: self.recovery.lines() });
        }
        let tablespaces = plan.tablespaces.iter().map(|t| t.location.as_path());
        for root in [data_dir].into_iter().chain(tablespaces) {
            if let Some(parent) = root.parent().filter(|parent| !disk::is_dir(parent)) {
                disk::create_private_dir(parent)?;
                disk::make_dir(parent, 0o700, owner)?;
            }
            // Closed to everybody else, also to its later owner, until it is whole: nobody can put a link in root's way.
            disk::make_dir(root, 0o700, self.ours())?;
            Marker::write(root, &plan.snapshot, replaces.clone())?;
        }
        let link = |oid: u32| data_dir.join("pg_tblspc").join(oid.to_string());
        for directory in &self.layout.directories {
            let path = data_dir.join(unescaped(&directory.path)?);
            match plan.tablespaces.iter().find(|t| link(t.oid) == path) {
                Some(tablespace) => {
                    if disk::read_link(&path)?.as_ref() != Some(&tablespace.location) {
                        disk::remove_file(&path)?;
                        disk::make_link(&tablespace.location, &path, owner)?;
                    }
                }
                None => disk::make_dir(&path, directory.mode & DIR_MODES | 0o700, owner)?,
            }
        }
        Ok(())
    }

    /// Production's configuration goes aside, ours takes its place.
    fn write_settings(&self, control: &[u8]) -> Result<()> {
        let (plan, facts) = (&self.plan, self.facts()?);
        let dir = plan.making_dir();
        let recorded = |name: &str| {
            let setting = self.layout.settings.iter().find(|(known, _)| known == name);
            setting.and_then(|(_, value)| value.parse().ok()).unwrap_or(0)
        };
        let needs = control::parse(control).map(|control| control.needs).unwrap_or_default();
        let mut needs = needs.map(|(name, value)| (name, recorded(name).max(value))).to_vec();
        needs.extend(settings::wal_sizes(facts.wal_segment_bytes));
        let conf = self.recovery.conf(&plan.data_dir, &needs, facts.server_major);
        let is_ours = |file: &std::path::Path| Ok::<_, Error>(aside::is_ours(&aside::head(file)?));
        let of_copy = self.wanted.find(&aside::note_path()).is_some()
            && self.wanted.find(CONF_FILE).is_some()
            && is_ours(&dir.join(CONF_FILE))?;
        let ours = [(CONF_FILE, conf), (HBA_FILE, HBA_TEXT.to_owned())];
        aside::put_aside(dir, &ours, of_copy, self.owner_pair())?;
        self.append(&dir.join(SIGNAL_FILE), "")
    }

    fn append(&self, path: &Path, text: &str) -> Result<()> {
        let mut file = disk::open_append(path)?;
        file.write_all(text.as_bytes()).map_err(|e| Error::file("write", path, e))?;
        disk::give(&file, path, 0o600, self.owner_pair())
    }

    /// The file that a server needs to start, durable before it has its name.
    fn write_control(&self, control: &[u8]) -> Result<()> {
        let path = self.plan.making_dir().join(CONTROL_FILE);
        let staged = disk::staged_path(&path);
        disk::remove_file(&staged)?;
        let mut file = disk::create_new(&staged, 0o600)?;
        file.write_all(control).map_err(|e| Error::file("write", &staged, e))?;
        disk::give(&file, &staged, 0o600, self.owner_pair())?;
        disk::publish(file, &staged, &path)
    }
}

fn unescaped(path: &str) -> Result<PathBuf> {
    let bytes: std::ffi::OsString = OsStringExt::from_vec(unescape(path)?);
    Ok(bytes.into())
}
