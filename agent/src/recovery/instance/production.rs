//! A restored directory becomes the real thing: production's own configuration takes the place of ours,
//! and a person is told what it then listens on, connects to, archives to and takes over.
//!
//! It has recovered before, on our configuration, so no line of recovery is ever in production's. It is
//! opened once more as a copy: what it runs on is proved, and subscriptions are disabled, so that none
//! begins by itself.

use std::fmt::{Display, Formatter};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use serde::Serialize;
use tokio_util::sync::CancellationToken;

use crate::archive::base::CONTROL_FILE;
use crate::config::Config;
use crate::disk;
use crate::error::{Error, Kind, Result};
use crate::inventory::target::Action;
use crate::names::shell_path;
use crate::names::wal::SegmentName;
use crate::postgres::connect::PostgresOptions;
use crate::postgres::control::{self, CONTROL_BYTES};
use crate::postgres::server_command;
use crate::postgres::server_stop::stop_fast;
use crate::postgres::tools::Tools;
use crate::progress::Progress;
use crate::recovery::instance::aside::{
    ASIDE_DIR, AUTO_FILE, CONF_FILE, HBA_FILE, NAMES, Note, Subscription, head, is_ours, put_aside, put_back,
    without_earlier,
};
use crate::recovery::instance::closed::closed;
use crate::recovery::instance::conf::{Conf, Files};
use crate::recovery::instance::proof::Allowed;
use crate::recovery::instance::settings::{HBA_TEXT, PORT, conf_without_recovery, kept};
use crate::recovery::instance::start::{Server, Started};
use crate::recovery::instance::switched_off::masked;
use crate::recovery::instance::{MARKER_FILE, delta};

/// Largest file of a configuration that is read.
const CONF_BYTES_MAX: u64 = 4 << 20;
/// What root goes through where it puts production's configuration back.
const WAL_DIR: &str = "pg_wal";
const STATUS_DIR: &str = "pg_wal/archive_status";
/// Longest `PG_VERSION`.
const VERSION_BYTES_MAX: u64 = 64;

/// What it does once it is the real thing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Takeover {
    /// A sentence each.
    pub does: Vec<String>,
    /// What a person should look at first.
    pub warnings: Vec<String>,
}

/// What will be done; `Display` is what a person is asked to confirm.
#[derive(Clone, Debug, Serialize)]
pub struct ProductionPlan {
    /// The directory.
    pub data_dir: PathBuf,
    /// Whether it is opened as a copy before; not where an earlier try did that.
    pub opens: bool,
    /// Files that are put back.
    pub puts_back: Vec<String>,
    /// What it then does.
    pub takeover: Takeover,
    /// Subscriptions that were disabled, and stay so.
    pub disabled_subscriptions: Vec<Subscription>,
    /// Who owns it, where we are root.
    pub owner: Option<(u32, u32)>,
    /// The major version.
    pub major: u32,
}

/// What was done.
#[derive(Clone, Debug, Serialize)]
pub struct Production {
    /// The plan that was applied.
    pub plan: ProductionPlan,
    /// Commands that turn subscriptions on again, once production's own are gone.
    pub enable: Vec<String>,
    /// The command that makes it a copy again.
    pub undo: String,
}

/// What lies aside, as a server will read it.
struct Aside<'a>(&'a Path);

impl Files for Aside<'_> {
    fn text(&self, path: &str) -> Option<String> {
        let aside = self.0.join(ASIDE_DIR).join(path);
        let place = match NAMES.contains(&path) && aside.exists() {
            true => aside,
            false => self.0.join(path), // includes; and what is back already
        };
        let bytes = disk::read(&place, CONF_BYTES_MAX).ok()?;
        let text = String::from_utf8_lossy(&bytes).into_owned();
        Some(if path == AUTO_FILE { without_earlier(&text).to_owned() } else { text })
    }

    fn conf_files(&self, dir: &str) -> Option<Vec<String>> {
        let entries = disk::read_dir(&self.0.join(dir)).ok().flatten()?;
        let names = entries.iter().filter_map(|entry| entry.file_name().into_string().ok());
        let mut names: Vec<String> =
            names.filter(|name| name.ends_with(".conf") && !name.starts_with('.')).collect();
        names.sort();
        Some(names.into_iter().map(|name| format!("{dir}/{name}")).collect())
    }
}

/// What a server on `data_dir` does that obeys this configuration; `is_restored` tells that the files are
/// there already.
///
/// # Errors
/// `Refused` where it would run on another directory, or would not start.
pub fn takeover(conf: &Conf, data_dir: &Path, is_restored: bool) -> Result<Takeover> {
    let mend = format!(
        "restore it as a copy, correct the files in {}, then run lifeboat as-production {}",
        data_dir.join(ASIDE_DIR).display(),
        shell_path(data_dir)
    );
    let refused =
        |what: String| Error::new(Kind::Refused, what).effect("nothing was changed").next(mend.clone());
    let is_same = |path: &str| {
        let resolved = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.to_owned());
        resolved(Path::new(path)) == resolved(data_dir)
    };
    let said = |name: &str| conf.get(name).filter(|value| !value.is_empty());
    if let Some(elsewhere) = said("data_directory").filter(|path| !is_same(path)) {
        return Err(refused(format!(
            "production's configuration names another data directory, {elsewhere}: the server would run \
            on that one"
        )));
    }
    let is_absent =
        |path: &&str| Path::new(path).is_absolute() && matches!(disk::metadata(Path::new(path)), Ok(None));
    for name in ["hba_file", "ident_file"] {
        if let Some(path) = said(name).filter(is_absent) {
            return Err(refused(format!(
                "production's {name}, {path}, does not exist: the server would not start"
            )));
        }
    }
    let includes = conf.absent_includes.iter().map(String::as_str);
    let mut absent =
        includes.filter(|path| is_absent(path) || (is_restored && Path::new(path).is_relative()));
    if let Some(absent) = absent.next() {
        return Err(refused(format!(
            "production's configuration includes {absent}, which does not exist: the server would not start"
        )));
    }
    let (mut does, mut warnings) = (Vec::new(), Vec::new());
    let (addresses, port) =
        (conf.get("listen_addresses").unwrap_or("localhost"), said("port").unwrap_or("5432"));
    does.push(match addresses {
        "" => format!("listens on its socket only, port {port}"),
        _ => format!("listens on '{addresses}', port {port}"),
    });
    if said("archive_mode").is_some_and(|mode| mode != "off" && mode != "false" && mode != "no") {
        let by = said("archive_command").or(said("archive_library"));
        does.push(format!("archives its WAL: {}", by.unwrap_or("no command is set, so WAL piles up")));
    }
    if let Some(libraries) = said("shared_preload_libraries") {
        does.push(format!("loads {libraries}: their background workers and scheduled jobs run"));
    }
    if let Some(standbys) = said("synchronous_standby_names") {
        warnings.push(format!(
            "commits wait for the standbys {standbys}: create these again, or empty \
            synchronous_standby_names first"
        ));
    }
    if let Some(primary) = said("primary_conninfo") {
        does.push(format!("follows nobody, although primary_conninfo is {}", masked(primary)));
    }
    let recovers = |name: &str| name.starts_with("recovery_target") || name == "restore_command";
    if let Some(left) =
        conf.settings.iter().find(|setting| recovers(&setting.name) && !setting.value.is_empty())
    {
        warnings.push(format!(
            "{} is set, perhaps by an earlier restore: check archive_mode and synchronous_standby_names, too",
            left.name
        ));
    }
    for name in ["hba_file", "ident_file", "external_pid_file", "stats_temp_directory", "log_directory"] {
        if let Some(path) = said(name).filter(|path| Path::new(path).is_absolute()) {
            does.push(format!("uses {name} {path}"));
        }
    }
    does.extend(conf.includes.iter().map(|include| format!("includes {include}")));
    does.push(
        "has no replication slots: the agent creates its own; create those of standbys and \
        subscribers by hand"
            .to_owned(),
    );
    Ok(Takeover { does, warnings })
}

/// Looks at a directory that was restored as a copy and has recovered.
///
/// # Errors
/// `Refused` where it is none, a server runs on it, or its configuration leads elsewhere.
pub fn plan(config: &Config, dir: &Path) -> Result<ProductionPlan> {
    let data_dir = find(dir)?;
    let shown = data_dir.display();
    let refused = |what: String| Error::new(Kind::Refused, what).effect("nothing was changed");
    let Some(note) = Note::read(&data_dir)? else {
        return Err(refused(format!("{shown} is not a copy: {ASIDE_DIR} has nothing of production")).next(
            "nothing to do if it is production already; this version of Lifeboat did not restore it \
                as a copy",
        ));
    };
    if disk::metadata(&data_dir.join(MARKER_FILE))?.is_some() {
        return Err(refused(format!("the restore of {shown} is not complete"))
            .next("run the same restore again: it continues"));
    }
    delta::check_stopped(&data_dir)?;
    let bytes = disk::read(&data_dir.join(CONTROL_FILE), CONTROL_BYTES as u64)?;
    let is_recovering = control::parse(&bytes).is_none_or(|control| control.is_recovering);
    if is_recovering || disk::metadata(&data_dir.join("recovery.signal"))?.is_some() {
        let pg_ctl = |action| server_command::pg_ctl(config.postgres.bin_dir.as_deref(), &data_dir, action);
        let host = Some(data_dir.display().to_string()); // whoever starts it finds its socket there
        let options = PostgresOptions { host, port: PORT, ..PostgresOptions::from(&config.postgres) };
        return Err(refused(format!("{shown} has not recovered to its target")).next(format!(
            "start it: {}; if it is paused and right: {} -c 'SELECT pg_wal_replay_resume()'; once it takes \
             writes, stop it: {}",
            pg_ctl("start"),
            server_command::psql(&options),
            pg_ctl("stop")
        )));
    }
    let puts_back = NAMES.iter().filter(|name| data_dir.join(ASIDE_DIR).join(name).exists());
    let puts_back: Vec<String> = puts_back.map(|name| (*name).to_owned()).collect();
    // An earlier try put production's configuration back, and was cut short: it goes on without a server.
    let opens = is_ours(&head(&data_dir.join(CONF_FILE))?);
    if puts_back.iter().any(|name| name == CONF_FILE)
        && !opens
        && disk::metadata(&data_dir.join(CONF_FILE))?.is_some()
    {
        return Err(refused(format!("somebody replaced the copy's {CONF_FILE} in {shown}")).next(format!(
            "to keep the new file, remove {}; otherwise remove the new file",
            data_dir.join(ASIDE_DIR).display()
        )));
    }
    let conf = Conf::read(&Aside(&data_dir), &[CONF_FILE, AUTO_FILE]);
    let mut takeover = takeover(&conf, &data_dir, true)?;
    if opens && !puts_back.iter().any(|name| name == CONF_FILE) {
        takeover.does = vec![
            "uses the configuration of your configuration management: it was outside the data directory"
                .to_owned(),
        ];
        takeover
            .warnings
            .push("start it with that configuration, and check its data_directory first".to_owned());
    }
    let owner = owner(&data_dir)?;
    let version = disk::read_text(&data_dir.join("PG_VERSION"), VERSION_BYTES_MAX)?;
    Ok(ProductionPlan {
        opens,
        puts_back,
        takeover,
        disabled_subscriptions: note.disabled_subscriptions,
        owner,
        major: version.trim().parse().unwrap_or(0),
        data_dir,
    })
}

fn find(dir: &Path) -> Result<PathBuf> {
    dir.canonicalize().map_err(|e| {
        Error::file("find", dir, e)
            .effect("nothing was changed")
            .next("pass the data directory of a restored copy")
    })
}

/// Who owns it, where we are root. The file's owner: the directory is ours while we work in it.
fn owner(data_dir: &Path) -> Result<Option<(u32, u32)>> {
    let meta = disk::metadata(&data_dir.join(CONTROL_FILE))?;
    let meta = meta.filter(|meta| rustix::process::geteuid().is_root() && meta.uid() != 0);
    Ok(meta.map(|meta| (meta.uid(), meta.gid())))
}

/// The programs that open it once more, found before anything is done.
pub async fn tools(config: &Config, plan: &ProductionPlan) -> Result<Tools> {
    Tools::server(&PostgresOptions::from(&config.postgres), plan.major).await
}

/// Opens it as a copy, disables subscriptions, stops it, and puts production's configuration back. It is
/// not started.
///
/// # Errors
/// Whatever failed: it is a copy as before then, or the same command goes on.
pub async fn apply(
    config: &Config,
    plan: ProductionPlan,
    tools: &Tools,
    progress: &Progress,
    cancel: &CancellationToken,
) -> Result<Production> {
    if !plan.opens {
        return finish(plan);
    }
    let server = Server {
        config,
        data_dir: &plan.data_dir,
        owner: plan.owner,
        tools,
        goal: None,
        action: Action::Promote,
        allowed: Allowed::default(),
        scratch: false,
        restore_command: None,
        progress,
        cancel,
    };
    let started = server.open().await?;
    stop_fast(&plan.data_dir).await?;
    check_disabled(&started, &plan.data_dir)?;
    finish(plan)
}

/// The same for a copy that a restore has started just now and that takes writes.
///
/// # Errors
/// As [`plan`] and [`apply`].
pub async fn complete(config: &Config, started: &Started, data_dir: &Path) -> Result<Production> {
    stop_fast(data_dir).await?;
    check_disabled(started, data_dir)?;
    finish(plan(config, data_dir)?)
}

fn check_disabled(started: &Started, data_dir: &Path) -> Result<()> {
    if started.proof.not_disabled.is_empty() && started.proof.enabled_subscriptions == 0 {
        return Ok(());
    }
    Err(Error::new(Kind::Refused, "a subscription could not be disabled, and would start at once")
        .because(started.proof.not_disabled.join("; "))
        .effect(format!("{} is a copy as before", data_dir.display()))
        .next(format!(
            "start it, run ALTER SUBSCRIPTION … DISABLE or DROP SUBSCRIPTION, stop it, then run this again: \
             lifeboat as-production {}",
            shell_path(data_dir)
        )))
}

/// Puts production's configuration back where a server was proved, and is stopped.
fn finish(mut plan: ProductionPlan) -> Result<Production> {
    if let Some(note) = Note::read(&plan.data_dir)? {
        plan.disabled_subscriptions = note.disabled_subscriptions;
    }
    closed(&plan.data_dir, plan.owner, &[ASIDE_DIR, WAL_DIR, STATUS_DIR], || {
        settle_archive(&plan)?;
        put_back(&plan.data_dir, plan.owner)
    })?;
    let enable = plan.disabled_subscriptions.iter().map(Subscription::enable).collect();
    let undo = format!("lifeboat as-production --undo {}", shell_path(&plan.data_dir));
    Ok(Production { plan, enable, undo })
}

/// Its timeline began while nothing was archived. An archive without the history of a timeline cannot be
/// recovered along it: production's archiver finds it at its first start. Segments of older timelines are
/// production's of before: what of the last one lies here is not what production wrote, and is never archived.
fn settle_archive(plan: &ProductionPlan) -> Result<()> {
    let bytes = disk::read(&plan.data_dir.join(CONTROL_FILE), CONTROL_BYTES as u64)?;
    let Some(control) = control::parse(&bytes) else { return Ok(()) };
    let wal = plan.data_dir.join(WAL_DIR);
    let history = format!("{:08X}.history", control.timeline.0);
    for entry in disk::read_dir(&wal)?.unwrap_or_default() {
        let Ok(name) = entry.file_name().into_string() else { continue };
        let is_older = name.parse::<SegmentName>().is_ok_and(|name| name.timeline != control.timeline);
        if name == history {
            mark(&wal, &name, "ready", plan.owner)?;
        } else if is_older {
            mark(&wal, &name, "done", plan.owner)?;
        }
    }
    Ok(())
}

/// Says of a file that nothing is said of yet whether it is to be archived.
fn mark(wal: &Path, name: &str, state: &str, owner: Option<(u32, u32)>) -> Result<()> {
    let status = |state: &str| wal.join("archive_status").join(format!("{name}.{state}"));
    for known in ["ready", "done"] {
        if disk::metadata(&status(known))?.is_some() {
            return Ok(());
        }
    }
    let path = status(state);
    disk::give(&disk::create_new(&path, 0o600)?, &path, 0o600, owner)
}

/// Makes it a copy again: production's configuration goes aside.
///
/// # Errors
/// `Refused` where a server runs on it.
pub fn undo(dir: &Path) -> Result<PathBuf> {
    let data_dir = find(dir)?;
    delta::check_stopped(&data_dir)?;
    if Note::read(&data_dir)?.is_some() {
        return Err(Error::new(Kind::Refused, format!("{} is a copy already", data_dir.display()))
            .effect("nothing was changed"));
    }
    let version = disk::read_text(&data_dir.join("PG_VERSION"), VERSION_BYTES_MAX)?;
    let owner = owner(&data_dir)?;
    let sizes = kept(&Conf::read(&Aside(&data_dir), &[CONF_FILE, AUTO_FILE]));
    let conf = conf_without_recovery(&data_dir, &sizes, version.trim().parse().unwrap_or(0));
    let ours = [(CONF_FILE, conf), (HBA_FILE, HBA_TEXT.to_owned())];
    closed(&data_dir, owner, &[ASIDE_DIR], || put_aside(&data_dir, &ours, false, owner))?;
    Ok(data_dir)
}

impl Display for Takeover {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        self.does.iter().try_for_each(|does| write!(f, "\n              {does}"))?;
        self.warnings.iter().try_for_each(|warning| write!(f, "\n  WARNING     {warning}"))
    }
}

impl Display for ProductionPlan {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        writeln!(f, "make {} production", self.data_dir.display())?;
        match self.opens {
            true => writeln!(
                f,
                "  first       it is started once more as a copy, to disable subscriptions, and stopped"
            )?,
            false => writeln!(f, "  continues   an earlier run that was interrupted")?,
        }
        writeln!(f, "  puts back   {}", self.puts_back.join(", "))?;
        write!(f, "  THEN, at its next start, it{}", self.takeover)?;
        for subscription in &self.disabled_subscriptions {
            write!(
                f,
                "\n  disabled    (stays disabled) subscription {} in {}",
                subscription.name, subscription.database
            )?;
        }
        write!(
            f,
            "\n  WARNING     stop production's old server for good before you start this one: never run both"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recovery::instance::conf::Setting;

    fn conf(settings: &[(&str, &str)]) -> Conf {
        let settings =
            settings.iter().map(|(name, value)| Setting { name: (*name).into(), value: (*value).into() });
        Conf { settings: settings.collect(), ..Conf::default() }
    }

    #[test]
    fn it_never_runs_on_another_directory_and_says_what_it_takes_over() {
        let dir = Path::new("/srv/pg/back");
        let refused = takeover(&conf(&[("data_directory", "/var/lib/pg")]), dir, false).unwrap_err();
        assert!(refused.what().contains("/var/lib/pg"), "{refused}");
        assert!(takeover(&conf(&[("hba_file", "/nowhere/pg_hba.conf")]), dir, false).is_err());
        let absent = Conf { absent_includes: vec!["/nowhere/x.conf".into()], ..Conf::default() };
        assert!(takeover(&absent, dir, false).is_err());
        let relative = Conf { absent_includes: vec!["conf.d".into()], ..Conf::default() };
        assert!(takeover(&relative, dir, false).is_ok() && takeover(&relative, dir, true).is_err());
        let said = takeover(
            &conf(&[
                ("data_directory", "/srv/pg/back"),
                ("archive_mode", "on"),
                ("archive_command", "push %p"),
                ("synchronous_standby_names", "b"),
                ("shared_preload_libraries", "pg_cron"),
                ("recovery_target_time", "x"),
            ]),
            dir,
            false,
        )
        .unwrap();
        let text = said.to_string();
        for part in ["port 5432", "push %p", "standbys b", "pg_cron", "slots", "recovery_target_time is set"]
        {
            assert!(text.contains(part), "{part}: {text}");
        }
    }
}
