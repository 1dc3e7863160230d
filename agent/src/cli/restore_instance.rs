//! `lifeboat restore --instance-to`: a whole instance, to a point in time.

use std::path::PathBuf;
use std::sync::Arc;

use clap::ValueEnum;

use super::confirm::{confirm, confirm_named};
use super::identity;
use super::released;
use super::{App, Done, as_production, print};
use crate::clock::{self, span_text};
use crate::config::Config;
use crate::error::{Error, Kind, Result};
use crate::inventory::plan::PointAsked;
use crate::inventory::target::{Action, Target, ZonedTime};
use crate::names::typed::Typed;
use crate::names::wal::TimelineId;
use crate::names::{Lsn, ReleaseId, SnapshotId, bytes_text, shell_path};
use crate::recovery::announced::{self, Reads};
use crate::recovery::instance::InstanceRequest;
use crate::recovery::instance::apply::{InstanceRestored, apply};
use crate::recovery::instance::aside::Subscription;
use crate::recovery::instance::bind::prepare;
use crate::recovery::instance::production;
use crate::recovery::instance::proof::Proof;
use crate::recovery::instance::sorting::QUERY;
use crate::recovery::instance::start::{Started, start_and_wait, tools};
use crate::repository::snapshots::Trust;

/// What goes with `--instance-to`, or with a point in time.
#[derive(clap::Args, Debug)]
#[command(next_help_heading = "Point in time")]
pub struct InstanceArgs {
    /// How far WAL is replayed [default: latest]
    #[arg(long, value_enum, value_name = "END", hide_short_help = true,
        conflicts_with_all = ["to_time", "to_lsn", "to_restore_point"])]
    to: Option<End>,
    /// To the last commit at or before this time; give the time zone
    #[arg(long, value_name = "TIME", conflicts_with_all = ["to_lsn", "to_restore_point"])]
    to_time: Option<ZonedTime>,
    /// To this position in the WAL
    #[arg(long, value_name = "LSN", conflicts_with = "to_restore_point")]
    to_lsn: Option<Lsn>,
    /// To the first restore point of this name
    #[arg(long, value_name = "NAME")]
    to_restore_point: Option<String>,
    /// To the restore point of this release's checkpoint: the state before the release
    #[arg(
        long,
        value_name = "ID",
        conflicts_with_all = ["to", "to_time", "to_lsn", "to_restore_point", "release"]
    )]
    before_release: Option<ReleaseId>,
    /// The timeline to follow, as 2 or 00000002 [default: the newest that descends from the backup's]
    #[arg(long, value_name = "ID", value_parser = TimelineId::typed, hide_short_help = true)]
    pub timeline: Option<TimelineId>,
    /// The user who owns the restored files if root restores [default: the directory's owner, else postgres]
    #[arg(long, value_name = "USER", hide_short_help = true)]
    pub os_user: Option<String>,
    /// Fetch WAL with this command instead of lifeboat wal fetch
    #[arg(long, value_name = "COMMAND", hide_short_help = true)]
    pub restore_command: Option<String>,
    /// Load this library, which has its own kind of WAL that replay needs; may be repeated. No other is
    /// loaded
    #[arg(long, value_name = "LIBRARY", value_parser = library, hide_short_help = true)]
    pub preload: Vec<String>,
    /// Put a tablespace elsewhere; may be repeated. With --tenant: the names of the old tablespace and of one
    /// that the server has. With --instance-to: the old directory or name, and the new directory
    #[arg(long, value_name = "OLD=NEW", hide_short_help = true, help_heading = "Tablespaces")]
    pub tablespace_map: Vec<String>,
    /// Restore the whole instance, from base backup and WAL, into this new data directory
    #[arg(long, value_name = "DIR", help_heading = INSTANCE)]
    pub instance_to: Option<PathBuf>,
    /// Start PostgreSQL on a private socket and wait until recovery has reached the target
    #[arg(long, requires = "instance_to", help_heading = INSTANCE)]
    start: bool,
    /// What the server does at the target
    #[arg(
        long,
        value_enum,
        default_value = "promote",
        value_name = "ACTION",
        requires = "instance_to",
        hide_short_help = true,
        help_heading = INSTANCE
    )]
    target_action: WantedAction,
    /// DIR is an old data directory of the same cluster: copy unchanged files from it and fetch the rest. At
    /// the end the new directory takes its place; the old one is kept beside it
    #[arg(long, requires = "instance_to", hide_short_help = true, help_heading = INSTANCE)]
    delta: bool,
    /// For scripts, with --delta: the name of the directory to replace, instead of typing it
    #[arg(
        long,
        value_name = "DIR",
        requires = "delta",
        hide_short_help = true,
        help_heading = INSTANCE
    )]
    yes_replace: Option<PathBuf>,
    /// Make it production: recover it as a copy, stop it, and put production's configuration back
    #[arg(
        long,
        requires = "instance_to",
        conflicts_with = "keep_archiving",
        hide_short_help = true,
        help_heading = INSTANCE
    )]
    as_production: bool,
    /// For scripts, with --as-production: the name of the directory, instead of typing it
    #[arg(
        long,
        value_name = "DIR",
        requires = "as_production",
        hide_short_help = true,
        help_heading = INSTANCE
    )]
    yes_production: Option<PathBuf>,
    /// Keep production's archiving settings. Only if this server replaces production, never beside it
    #[arg(long, requires = "instance_to", hide_short_help = true, help_heading = INSTANCE)]
    keep_archiving: bool,
}

/// The heading of what goes with `--instance-to`.
const INSTANCE: &str = "Whole instance";

/// The name of a library, without a path: one that is installed.
fn library(text: &str) -> std::result::Result<String, String> {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    match !text.is_empty() && text.chars().all(is_plain) {
        true => Ok(text.to_owned()),
        false => Err("give the name without a path: letters, digits, _ and -".to_owned()),
    }
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum End {
    /// All WAL that is stored
    Latest,
    /// As soon as the base backup is consistent
    Immediate,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum WantedAction {
    /// Take writes, on a timeline of its own
    Promote,
    /// Stay readable; recovery may go on
    Pause,
    /// Stop
    Shutdown,
}

impl InstanceArgs {
    /// Replaces a release by the restore point of its checkpoint. `--release` without a checkpoint stays what
    /// it was: it selects a snapshot. The plan of `stored_only` names the position: the name is in encrypted
    /// WAL.
    ///
    /// # Errors
    /// `NotFound` if `--before-release` has no checkpoint; that of the evidence, which must be believed.
    pub async fn resolve(
        &mut self,
        release: &mut Option<ReleaseId>,
        config: &Config,
        stored_only: bool,
    ) -> Result<()> {
        let point = match (self.before_release.take(), &release) {
            (Some(before), _) => Some(released::point(config, &before).await?),
            (None, Some(asked)) if self.target().is_none() && released::exists(config, asked).await? => {
                let point = released::point(config, asked).await?;
                *release = None;
                Some(point)
            }
            _ => None,
        };
        let Some(point) = point else { return Ok(()) };
        self.timeline = self.timeline.or(Some(TimelineId(point.timeline)));
        match stored_only {
            true => self.to_lsn = Some(Lsn(point.lsn.0.saturating_sub(1))),
            false => self.to_restore_point = Some(point.name),
        }
        Ok(())
    }
}

/// What the flags of a tenant's restore say, too.
pub struct Common {
    /// This base backup only.
    pub snapshot: Option<SnapshotId>,
    /// Base backups of this release only.
    pub release: Option<ReleaseId>,
    /// Files of identities.
    pub identity: Vec<PathBuf>,
    /// Whose manifests are believed.
    pub trust: Trust,
    /// Do not ask.
    pub yes: bool,
    /// The plan only.
    pub dry_run: bool,
}

/// Plans, asks, applies, and starts where that was asked for.
pub async fn run(args: InstanceArgs, common: Common, config: &Config, app: &App) -> Result<Done> {
    let Some(data_dir) = args.instance_to.clone() else {
        return Err(Error::new(Kind::Internal, "no directory to restore an instance into"));
    };
    let action = match args.target_action {
        WantedAction::Promote => Action::Promote,
        WantedAction::Pause => Action::Pause,
        WantedAction::Shutdown => Action::Shutdown,
    };
    if args.start && action == Action::Shutdown {
        return Err(Error::new(
            Kind::Usage,
            "--start with --target-action shutdown would have nothing to wait for",
        ));
    }
    if args.as_production && action != Action::Promote {
        return Err(Error::new(
            Kind::Usage,
            "--as-production opens the server for writing: it cannot be \
            combined with --target-action pause or shutdown",
        )
        .next("look first with --start --target-action pause, then lifeboat as-production DIR"));
    }
    let starts = args.start || args.as_production;
    let request = InstanceRequest {
        data_dir,
        delta: args.delta,
        asked: args.asked(common.snapshot, common.release),
        action,
        only: None,
        tablespaces: args.tablespace_map.iter().map(|text| mapping(text)).collect::<Result<_>>()?,
        restore_command: args.restore_command,
        keep_archiving: args.keep_archiving,
        preload: args.preload,
        starts,
        as_production: args.as_production,
        os_user: args.os_user,
        trust: common.trust,
        identities: identity::identities(&common.identity, config)?,
        identity_files: common.identity,
        typed: Typed::of(&app.inputs.arguments),
    };
    let mut prepared = app.looking(prepare(config, request)).await?;
    let reads = prepared.plan.source.snapshots_read();
    prepared.plan.source.warnings.extend(announced::warnings(config, &reads).await);
    let tools = match starts {
        true => Some(tools(config, &prepared.plan).await?),
        false => None,
    };
    if common.dry_run {
        app.print(&prepared.plan, || prepared.plan.to_string())?;
        return Ok(Done::Complete);
    }
    print::err(&prepared.plan.to_string());
    match &prepared.plan.replaced {
        Some(_) => {
            let question = "that will be replaced";
            confirm_named(&prepared.plan.data_dir, args.yes_replace.as_deref(), "--yes-replace", question)?;
        }
        None if !common.yes && !args.as_production => confirm()?,
        None => {}
    }
    if args.as_production {
        let given = args.yes_production.as_deref();
        confirm_named(&prepared.plan.data_dir, given, "--yes-production", "that becomes production")?;
    }
    let shown = app.progress("restore instance", Some(prepared.plan.bytes));
    let (feed, begun) = (prepared.feed.clone(), clock::instant());
    let (prepared, progress) = (Arc::new(prepared), shown.clone());
    let work = apply(&prepared, &progress, &app.cancel);
    let restored = announced::watched((config, &reads), &progress, work).await;
    let (restored, started) = match (restored, tools) {
        (Ok(restored), Some(tools)) => {
            let end = (action, feed.as_ref());
            let started =
                start_and_wait(config, &restored.plan, &tools, end, &shown.clone(), &app.cancel).await;
            (Ok(restored), Some(started))
        }
        (restored, _) => (restored, None),
    };
    let restored = restored?;
    let started = started.transpose()?;
    // A directory that was there, or half there, needs less.
    if restored.plan.replaced.is_none() && !restored.plan.goes_on {
        restored.plan.estimate.took(config, begun.elapsed().as_secs_f64());
    }
    let production = match (&started, args.as_production) {
        (Some(started), true) => Some(production::complete(config, started, &restored.plan.data_dir).await?),
        _ => None,
    };
    shown.finish();
    let report = serde_json::json!({ "restored": restored, "started": started, "production": production });
    app.print(&report, || {
        let restored = text(&restored, started.as_ref(), production.is_some());
        production
            .as_ref()
            .map_or(restored.clone(), |done| format!("{restored}\n{}", as_production::text(done)))
    })?;
    let rebuilds = started.is_some_and(|started| !started.rebuild.is_empty());
    Ok(match rebuilds || !restored.plan.source.lacks.is_empty() {
        true => Done::Incomplete,
        false => Done::Complete,
    })
}

impl InstanceArgs {
    /// Where recovery ends, where that is said.
    pub fn target(&self) -> Option<Target> {
        match (self.to, self.to_time, self.to_lsn, &self.to_restore_point) {
            (_, Some(time), _, _) => Some(Target::Time(time.0)),
            (_, _, Some(lsn), _) => Some(Target::Lsn(lsn)),
            (_, _, _, Some(name)) => Some(Target::RestorePoint(name.clone())),
            (Some(End::Immediate), ..) => Some(Target::Immediate),
            (Some(End::Latest), ..) => Some(Target::Latest),
            (None, None, None, None) => None,
        }
    }

    /// From what, and where recovery ends; of the whole instance.
    pub fn asked(&self, snapshot: Option<SnapshotId>, release: Option<ReleaseId>) -> PointAsked {
        // A release is a state, not a time since: without more, as it was.
        let otherwise = if release.is_some() { Target::Immediate } else { Target::Latest };
        PointAsked {
            timeline: self.timeline,
            snapshot,
            release,
            own_command: self.restore_command.is_some(),
            ..PointAsked::instance(self.target().unwrap_or(otherwise))
        }
    }

    /// What a restore from a dump cannot heed.
    ///
    /// # Errors
    /// `Usage` where something of it was said.
    pub fn check_unused(&self) -> Result<()> {
        let said = [
            ("--timeline", self.timeline.is_some()),
            ("--os-user", self.os_user.is_some()),
            ("--restore-command", self.restore_command.is_some()),
            ("--preload", !self.preload.is_empty()),
        ];
        match said.iter().find(|(_, said)| *said) {
            Some((flag, _)) => Err(Error::new(Kind::Usage, format!("{flag} goes with a point in time"))
                .next("add --to latest, --to-time, --to-lsn or --to-restore-point")),
            None => Ok(()),
        }
    }
}

fn mapping(text: &str) -> Result<(String, PathBuf)> {
    let (old, new) = text
        .split_once('=')
        .filter(|(old, new)| !old.is_empty() && new.starts_with('/'))
        .ok_or_else(|| Error::new(Kind::Usage, format!("{text:?} is not of the form OLD=/NEW/DIRECTORY")))?;
    Ok((old.trim_end_matches('/').to_owned(), PathBuf::from(new)))
}

fn text(restored: &InstanceRestored, started: Option<&Started>, is_production: bool) -> String {
    let plan = &restored.plan;
    let took = span_text(std::time::Duration::from_secs_f64(restored.seconds));
    let (files, size, dir) = (plan.files, bytes_text(plan.bytes), plan.data_dir.display());
    let mut out = format!(
        "instance {} is restored to {dir} ({took}): {files} files, {size}, each checked, all synced",
        plan.source.instance
    );
    out += &format!("\nfetched {} of the base backup", bytes_text(restored.fetched_bytes));
    for lack in &plan.source.lacks {
        out += &format!("\nLACKS {lack}");
    }
    if let Some(replaced) = &plan.replaced {
        let (files, size) = (restored.copied_files, bytes_text(restored.copied_bytes));
        out += &format!("; {files} files, {size}, came out of the old data directory");
        out += &format!("\nits old state is in {}", replaced.old_state.display());
    }
    if let Some(undo) = &restored.undo {
        out += &format!("\nundo, once its server is stopped: {undo}");
    }
    match started {
        None => {
            for warning in &plan.sorts_otherwise {
                out += &format!("\nWARNING: {warning}");
            }
            let word = shell_path(&plan.data_dir);
            out += &format!("\nrecovers to {} at its first start: {}", plan.source.target, restored.start);
            out += "\nit runs on a configuration that Lifeboat wrote, with a private socket in that \
                    directory; to make it production: ";
            out += &format!("lifeboat as-production {word}");
        }
        Some(started) => {
            let took = span_text(std::time::Duration::from_secs_f64(started.seconds));
            let state = if started.writable { "takes writes" } else { "is paused, readable" };
            let last = started
                .last_commit
                .map_or("no commit since the backup".to_owned(), |t| format!("last commit {t}"));
            out += &format!("\nreplayed to {} ({took}), {last}; the server {state}", started.replayed_to);
            for rebuild in &started.rebuild {
                out += &format!(
                    "\nREBUILD INDEXES of database {}: {}: {}",
                    rebuild.database,
                    rebuild.why,
                    rebuild.statements.join("; ")
                );
            }
            if !started.rebuild.is_empty() {
                out += &format!("\nto find what else depends on this order, run in each database: {QUERY}");
            }
            for raised in &started.raised {
                out += &format!("\nproduction raised {raised} after the base backup, so it was raised here");
            }
            out += &proof_text(&started.proof);
            if is_production {
                return out;
            }
            out += &format!("\nreach it: {}", started.reach);
            out += &format!("\nstop it: {}", started.end);
            out += &format!("\nits log: {}", started.log.display());
        }
    }
    out
}

/// What the server was asked, and said.
fn proof_text(proof: &Proof) -> String {
    let mut out = format!(
        "\nit is isolated: data_directory {}, config_file {}, archive_mode {}, {} of {} subscriptions \
        enabled",
        proof.data_directory,
        proof.config_file,
        proof.archive_mode,
        proof.enabled_subscriptions,
        proof.subscriptions
    );
    for Subscription { database, name } in &proof.disabled_subscriptions {
        out += &format!("\ndisabled: subscription {name} in database {database}");
    }
    for subscription in &proof.not_disabled {
        out += &format!(
            "\nWARNING: not disabled, but no worker runs for it in this copy: subscription {subscription}"
        );
    }
    for kind in &proof.foreign_processes {
        out += &format!("\nWARNING: a process of a --preload library runs in it: {kind}");
    }
    for setting in &proof.settings_in_catalog {
        out += &format!("\nWARNING: takes effect when you connect: {setting}");
    }
    out
}
