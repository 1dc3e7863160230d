//! What a server on a restored directory does with production's own configuration: what it listens on,
//! connects to, archives to and takes over. This is read from that configuration before it is put back.

use std::fmt::{Display, Formatter};
use std::path::Path;

use serde::Serialize;

use crate::disk;
use crate::disk::beneath::Dir;
use crate::error::{Error, Kind, Result};
use crate::names::shell_path;
use crate::recovery::instance::aside::{ASIDE_DIR, AUTO_FILE, NAMES, without_earlier};
use crate::recovery::instance::conf::{Conf, Files};
use crate::recovery::instance::switched_off::masked;

/// The largest configuration file that is read.
const CONF_BYTES_MAX: u64 = 4 << 20;

/// What it does as production.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Takeover {
    /// One sentence each.
    pub does: Vec<String>,
    /// What a person should check first.
    pub warnings: Vec<String>,
}

/// The configuration that was put aside, as a server will read it.
pub(super) struct Aside<'a>(pub(super) &'a Dir);

impl Files for Aside<'_> {
    fn text(&self, path: &str) -> Option<String> {
        let aside = Path::new(ASIDE_DIR).join(path);
        let bytes = match NAMES.contains(&path) && self.0.look(&aside).is_ok_and(|found| found.is_some()) {
            true => self.0.read(&aside, CONF_BYTES_MAX),
            // Included files, and files that are already put back: a server follows links to them, and
            // nothing is written there.
            false => disk::read(&self.0.path().join(path), CONF_BYTES_MAX),
        };
        let bytes = bytes.ok()?;
        let text = String::from_utf8_lossy(&bytes).into_owned();
        Some(if path == AUTO_FILE { without_earlier(&text).to_owned() } else { text })
    }

    fn conf_files(&self, dir: &str) -> Option<Vec<String>> {
        let entries = disk::read_dir(&self.0.path().join(dir)).ok().flatten()?;
        let names = entries.iter().filter_map(|entry| entry.file_name().into_string().ok());
        let mut names: Vec<String> =
            names.filter(|name| name.ends_with(".conf") && !name.starts_with('.')).collect();
        names.sort();
        Some(names.into_iter().map(|name| format!("{dir}/{name}")).collect())
    }
}

/// What a server on `data_dir` does with this configuration; `is_restored` says that the files already exist.
///
/// # Errors
/// `Refused` if it would run on another directory, or would not start.
pub fn takeover(conf: &Conf, data_dir: &Path, is_restored: bool) -> Result<Takeover> {
    let remedy = format!(
        "restore it as a copy, correct the files in {}, then run lifeboat as-production {}",
        data_dir.join(ASIDE_DIR).display(),
        shell_path(data_dir)
    );
    let refused =
        |what: String| Error::new(Kind::Refused, what).effect("nothing was changed").next(remedy.clone());
    let is_same = |path: &str| {
        let resolved = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.to_owned());
        resolved(Path::new(path)) == resolved(data_dir)
    };
    let said = |name: &str| conf.get(name).filter(|value| !value.is_empty());
    if let Some(elsewhere) = said("data_directory").filter(|path| !is_same(path)) {
        return Err(refused(format!(
            "production's configuration names another data directory, {elsewhere}: the server would run \
            on it"
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
        does.push(format!("archives its WAL: {}", by.unwrap_or("no command is set, so WAL accumulates")));
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
        does.push(format!("follows no primary, although primary_conninfo is {}", masked(primary)));
    }
    let recovers = |name: &str| name.starts_with("recovery_target") || name == "restore_command";
    if let Some(left) =
        conf.settings.iter().find(|setting| recovers(&setting.name) && !setting.value.is_empty())
    {
        warnings.push(format!(
            "{} is set, perhaps by an earlier restore: also check archive_mode and synchronous_standby_names",
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

impl Display for Takeover {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        self.does.iter().try_for_each(|does| write!(f, "\n              {does}"))?;
        self.warnings.iter().try_for_each(|warning| write!(f, "\n  WARNING     {warning}"))
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
