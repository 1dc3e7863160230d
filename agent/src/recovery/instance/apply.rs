//! Applies the plan: creates directories and links, then files, then recovery settings, and syncs everything.
//! `pg_control` comes last, so that no server starts on an incomplete directory.

use std::path::Path;
use std::sync::Arc;

use serde::Serialize;
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

use crate::archive::base::CONTROL_FILE;
use crate::clock;
use crate::disk;
use crate::disk::beneath::Dir;
use crate::error::{Error, Kind, Result};
use crate::postgres::control;
use crate::postgres::server_command;
use crate::progress::Progress;
use crate::recovery::instance::aside::{self, CONF_FILE, HBA_FILE};
use crate::recovery::instance::delta;
use crate::recovery::instance::extract::{Extract, Extracted, extract};
use crate::recovery::instance::plan::{InstancePlan, Prepared};
use crate::recovery::instance::settings::{self, HBA_TEXT};
use crate::recovery::instance::tree::{self, Tree, link_of};
use crate::recovery::instance::tree::{TablespacePlan, file_mode};
use crate::recovery::instance::{MARKER_FILE, Marker, Replaces};

/// The file that makes PostgreSQL recover to a target.
const SIGNAL_FILE: &str = "recovery.signal";

/// PostgreSQL's own rule: the group may read, nobody else, and nothing is setuid or setgid.
const DIR_MODES: u32 = 0o750;

/// What was restored.
#[derive(Debug, Serialize)]
pub struct InstanceRestored {
    /// The plan that was applied.
    pub plan: InstancePlan,
    /// Fetched bytes, as stored.
    pub fetched_bytes: u64,
    /// Files that were copied from the old data directory.
    pub copied_files: u64,
    /// The sum of their sizes.
    pub copied_bytes: u64,
    /// Commands that bring back the old state, if one was replaced.
    pub undo: Option<String>,
    /// The command that starts a server on it.
    pub start: String,
    /// How long it took.
    pub seconds: f64,
}

/// Restores what was planned. When this returns, everything is durable and a server can be started.
///
/// # Errors
/// Whatever failed. Then the directory is marked as incomplete, no server starts on it, and the same
/// restore continues there.
pub async fn apply(
    prepared: &Arc<Prepared>,
    progress: &Progress,
    cancel: &CancellationToken,
) -> Result<InstanceRestored> {
    let begun = clock::instant();
    let (of, progress, cancel) = (prepared.clone(), progress.clone(), cancel.clone());
    let bin_dir = prepared.bin_dir.clone();
    let dir = prepared.plan.making_dir().to_owned();
    let undone = match prepared.plan.replaced {
        Some(_) => format!("; {} is unchanged", prepared.plan.data_dir.display()),
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
    let Extraction { fetched_bytes, copied_files, copied_bytes } = done;
    let seconds = begun.elapsed().as_secs_f64();
    let start = server_command::pg_ctl(bin_dir.as_deref(), &plan.data_dir, "start");
    Ok(InstanceRestored { plan, fetched_bytes, copied_files, copied_bytes, undo, start, seconds })
}

/// What it cost.
#[derive(Default)]
struct Extraction {
    fetched_bytes: u64,
    copied_files: u64,
    copied_bytes: u64,
}

impl Prepared {
    fn owner_pair(&self) -> Option<(u32, u32)> {
        self.owner.map(|owner| (owner.uid, owner.gid))
    }

    fn run(&self, progress: &Progress, cancel: &CancellationToken) -> Result<Extraction> {
        let plan = &self.plan;
        if plan.replaced.as_ref().is_some_and(|replaced| replaced.is_done) {
            settle(&Tree::known(&plan.data_dir, &plan.tablespaces)?)?;
            return Ok(Extraction::default());
        }
        progress.stage("directories");
        let old = plan.replaced.as_ref().map(|_| Tree::open(&plan.data_dir)).transpose()?;
        let tree = self.make_directories()?;
        progress.stage("files");
        let Extracted { control, fetched_bytes, copied_files, copied_bytes } = extract(&Extract {
            repository: &self.repository,
            runtime: &Handle::current(),
            manifests: &self.manifests,
            identities: &self.identities,
            wanted: &self.wanted,
            tree: &tree,
            old: old.as_ref(),
            owner: self.owner,
            workers: self.workers,
            progress,
            cancel,
        })?;
        self.check_control(&control)?;
        self.make_sparse(&tree)?;
        progress.stage("recovery settings");
        self.write_settings(&tree, &control)?;
        progress.stage("sync");
        tree.sync()?;
        // The file that a server needs to start; it is durable before it gets its name.
        tree.data.replace_durable(Path::new(CONTROL_FILE), &control, self.owner_pair())?;
        self.give_away(&tree)?;
        if let (Some(replaced), Some(old)) = (&plan.replaced, &old) {
            delta::exchange(replaced, &plan.data_dir, &tree.data, &old.data)?;
        }
        settle(&tree)?;
        self.check_place(&tree)?;
        Ok(Extraction { fetched_bytes, copied_files, copied_bytes })
    }

    /// It is complete: from now on it belongs to its owner.
    fn give_away(&self, tree: &Tree) -> Result<()> {
        let Some(owner) = self.owner_pair() else { return Ok(()) };
        let mut roots = tree.roots();
        roots.try_for_each(|dir| {
            dir.give(0o700, Some(owner)).map_err(|e| Error::file("give away", dir.path(), e))
        })
    }

    /// Checks that the restored directory is at its planned place.
    fn check_place(&self, tree: &Tree) -> Result<()> {
        let place = &self.plan.data_dir;
        let id = |dir: &Dir| dir.id().map_err(|e| Error::file("look at", place, e));
        match id(&tree::open(place)?)? == id(&tree.data)? {
            true => Ok(()),
            false => Err(Error::new(
                Kind::Refused,
                format!("{} is not the directory that was restored", place.display()),
            )
            .because("another directory was put in its place")
            .next("find out who can write to the parent directory")),
        }
    }

    fn check_control(&self, control: &[u8]) -> Result<()> {
        let read = control::parse(control).map(|control| control.system_identifier.to_string());
        match read.as_ref() == Some(&self.facts()?.system_identifier) {
            true => Ok(()),
            false => Err(Error::new(
                Kind::Integrity,
                format!("{CONTROL_FILE} belongs to another cluster than the backed-up one"),
            )),
        }
    }

    /// Creates the files of other databases: empty, with their size.
    fn make_sparse(&self, tree: &Tree) -> Result<()> {
        for file in self.narrowed.iter().flat_map(|narrowed| &narrowed.sparse) {
            let at = tree.at(self.wanted.path(file))?;
            let out = at.open_or_create()?;
            out.set_len(file.bytes).map_err(|e| Error::file("make", &at.shown(), e))?;
            disk::give(&out, &at.shown(), file_mode(file.mode), self.owner_pair())?;
        }
        Ok(())
    }

    fn make_directories(&self) -> Result<Tree> {
        let plan = &self.plan;
        let owner = self.owner_pair();
        let mut replaces = None;
        if let Some(replaced) = &plan.replaced {
            if !replaced.goes_on {
                delta::make_beside(replaced)?;
            }
            let (dir, old_state) = (plan.data_dir.clone(), replaced.old_state.clone());
            replaces = Some(Replaces { dir, old_state, settings: self.recovery.lines() });
        }
        let tree = Tree::claim(plan.making_dir(), &plan.tablespaces, owner)?;
        if plan.replaced.as_ref().is_some_and(|replaced| replaced.goes_on) {
            tree.at(CONTROL_FILE)?.remove_file()?;
        }
        tree.roots().try_for_each(|dir| Marker::write(dir, &plan.source.snapshot, replaces.clone()))?;
        for directory in &self.layout.directories {
            let is_link = |t: &&TablespacePlan| directory.path == link_of(t.oid);
            let at = tree.at(&directory.path)?;
            match plan.tablespaces.iter().find(is_link) {
                Some(tablespace) => at.settle_link(&tablespace.location, owner)?,
                None => at.settle_dir(directory.mode & DIR_MODES | 0o700, owner)?,
            }
        }
        Ok(tree)
    }

    /// Puts production's configuration aside and ours in its place.
    fn write_settings(&self, tree: &Tree, control: &[u8]) -> Result<()> {
        let (plan, facts, dir) = (&self.plan, self.facts()?, &tree.data);
        let recorded = |name: &str| {
            let setting = self.layout.settings.iter().find(|(known, _)| known == name);
            setting.and_then(|(_, value)| value.parse().ok()).unwrap_or(0)
        };
        let needs = control::parse(control).map(|control| control.needs).unwrap_or_default();
        let mut needs = needs.map(|(name, value)| (name, recorded(name).max(value))).to_vec();
        needs.extend(settings::wal_sizes(facts.wal_segment_bytes));
        let conf = self.recovery.conf(&plan.data_dir, &needs, facts.server_major);
        let of_copy = self.wanted.find(&aside::note_path()).is_some()
            && self.wanted.find(CONF_FILE).is_some()
            && aside::is_ours(&aside::head(dir, CONF_FILE)?);
        let ours = [(CONF_FILE, conf), (HBA_FILE, HBA_TEXT.to_owned())];
        aside::put_aside(dir, &ours, of_copy, self.owner_pair())?;
        dir.replace_durable(Path::new(SIGNAL_FILE), b"", self.owner_pair())
    }
}

/// It is complete, under its name: removes the marker that says otherwise.
fn settle(tree: &Tree) -> Result<()> {
    // The data directory comes last: while its marker exists, the same command continues.
    let mut roots: Vec<&Dir> = tree.roots().collect();
    roots.reverse();
    roots.into_iter().try_for_each(|dir| {
        dir.remove_file(Path::new(MARKER_FILE))
            .and_then(|()| dir.sync())
            .map_err(|e| Error::file("remove the marker in", dir.path(), e))
    })
}
