//! The configuration of a restored data directory. We write all of it: recovery, the settings that replay
//! needs, a private socket, and nothing that reaches outside. The configuration from the backup is put
//! aside ([`crate::recovery::instance::aside`]).

use std::path::{Path, PathBuf};

use crate::config::Config;
use crate::error::{Error, Kind, Result};
use crate::inventory::target::{Action, Target};
use crate::names::wal::TimelineId;
use crate::recovery::instance::conf::Conf;

/// Accepts everybody who may open the socket: only its owner may.
pub const HBA_TEXT: &str = "local all all trust\n";
/// The port of a copy: it is part of its socket's name.
pub const PORT: u16 = 5432;
/// The longest path of a socket, including the final zero byte.
const SOCKET_PATH_MAX: usize = 108;
/// What a copy keeps of production's configuration: sizes, which reach nothing outside. Without them,
/// replay of much WAL is slow.
const KEPT: [&str; 9] = [
    "shared_buffers",
    "min_wal_size",
    "max_wal_size",
    "checkpoint_timeout",
    "wal_buffers",
    "work_mem",
    "maintenance_work_mem",
    "effective_io_concurrency",
    "maintenance_io_concurrency",
];
/// The settings that archive WAL.
const ARCHIVING: [&str; 4] = ["archive_mode", "archive_command", "archive_library", "archive_timeout"];

/// The input of the lines.
#[derive(Clone, Debug)]
pub struct Recovery {
    /// The recovery target.
    pub target: Target,
    /// What the server does at the target.
    pub action: Action,
    /// The timeline to follow; PostgreSQL's own choice if the WAL is not in our repository.
    pub timeline: Option<TimelineId>,
    /// How WAL is fetched.
    pub restore_command: String,
    /// How WAL is archived, if the user wants that for a copy; otherwise `None`.
    pub archiving: Option<Vec<(String, String)>>,
    /// Libraries that replay of its WAL needs.
    pub preload: Vec<String>,
    /// Sizes from production's configuration.
    pub kept: Vec<(String, String)>,
    /// Whether it is a temporary copy.
    pub scratch: bool,
    /// Whether it has in-place tablespaces: recovery refuses them without a setting.
    pub in_place: bool,
}

/// For a temporary copy: it uses little memory beside production, and only recovers and answers us.
/// References to pages that were left empty are logged, not fatal; we read the log.
const SCRATCH: [(&str, &str); 8] = [
    ("shared_buffers", "128MB"),
    ("huge_pages", "off"),
    ("fsync", "off"),
    ("full_page_writes", "off"),
    ("autovacuum", "off"),
    ("restart_after_crash", "off"),
    ("ignore_invalid_pages", "on"),
    ("log_min_messages", "warning"),
];

impl Recovery {
    /// Its recovery settings.
    pub fn lines(&self) -> String {
        let mut lines = vec![("restore_command", self.restore_command.clone())];
        lines.extend(self.target.settings());
        if self.target != Target::Latest {
            lines.push(("recovery_target_action", self.action.as_str().to_owned()));
        }
        lines.push(match self.timeline {
            Some(timeline) => ("recovery_target_timeline", timeline.0.to_string()),
            None => ("recovery_target_timeline", "latest".to_owned()),
        });
        match &self.archiving {
            None => lines.push(("archive_mode", "off".to_owned())),
            Some(archiving) => {
                lines.extend(archiving.iter().map(|(name, value)| (name.as_str(), value.clone())));
            }
        }
        written(&lines)
    }

    /// The whole configuration of a server on `data_dir`: what is not here has PostgreSQL's default.
    /// `needs` are the minimums of replay.
    pub fn conf(&self, data_dir: &Path, needs: &[(&str, u64)], major: u32) -> String {
        let mut lines = closed(data_dir, &self.preload, major);
        lines.extend(needs.iter().map(|(name, value)| (*name, value.to_string())));
        lines.extend(self.in_place.then(|| ("allow_in_place_tablespaces", "on".to_owned())));
        match self.scratch {
            true => lines.extend(SCRATCH.map(|(name, value)| (name, value.to_owned()))),
            false => lines.extend(self.kept.iter().map(|(name, value)| (name.as_str(), value.clone()))),
        }
        format!("{WHAT}{}{}", self.lines(), written(&lines))
    }
}

/// The comment at the top of the file.
const WHAT: &str = "\
# Settings to replay WAL and to answer on a private socket; nothing here reaches outside. The configuration
# from the backup is in lifeboat-put-aside: `lifeboat as-production DIR` puts it back.
";

/// The same for a directory that has already recovered.
pub fn conf_without_recovery(data_dir: &Path, kept: &[(String, String)], major: u32) -> String {
    let mut lines = closed(data_dir, &[], major);
    lines.extend(kept.iter().map(|(name, value)| (name.as_str(), value.clone())));
    format!("{WHAT}archive_mode = 'off'\n{}", written(&lines))
}

/// A server does not start if these are less than two WAL segments; in MiB, otherwise PostgreSQL's defaults.
pub fn wal_sizes(segment_bytes: u64) -> [(&'static str, u64); 2] {
    let two = segment_bytes / (512 << 10);
    [("min_wal_size", two.max(80)), ("max_wal_size", two.max(1024))]
}

/// The settings that isolate a copy.
fn closed<'a>(data_dir: &Path, preload: &[String], major: u32) -> Vec<(&'a str, String)> {
    let mut lines = vec![
        // Accepts everybody who may open the socket: only its owner may.
        ("listen_addresses", String::new()),
        ("port", PORT.to_string()),
        ("unix_socket_directories", socket_dir(data_dir)),
        ("unix_socket_permissions", "0700".to_owned()),
        ("ssl", "off".to_owned()),
        // A subscription of a copy would consume changes of production's slot.
        ("max_logical_replication_workers", "0".to_owned()),
        ("max_sync_workers_per_subscription", "0".to_owned()),
        ("shared_preload_libraries", preload.join(",")),
        // Production's standbys do not follow a copy: its commits would wait for them forever.
        ("synchronous_standby_names", String::new()),
        ("logging_collector", "off".to_owned()),
        ("log_destination", "stderr".to_owned()),
        // We read its log.
        ("lc_messages", "C".to_owned()),
        ("hot_standby", "on".to_owned()),
    ];
    if major >= 17 {
        lines.push(("event_triggers", "off".to_owned())); // login triggers run with the rights of the session
    }
    lines
}

/// The archiving settings of production's configuration.
pub fn archiving(conf: &Conf) -> Vec<(String, String)> {
    let said = ARCHIVING.iter().filter_map(|name| Some((*name, conf.get(name)?)));
    said.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

/// The part of production's configuration that a copy keeps: only numbers with a unit.
pub fn kept(conf: &Conf) -> Vec<(String, String)> {
    let is_size = |value: &str| {
        let unit = value.trim_start_matches(|c: char| c.is_ascii_digit()).trim_start();
        value.starts_with(|c: char| c.is_ascii_digit())
            && ["", "B", "kB", "MB", "GB", "TB", "ms", "s", "min", "h", "d"].contains(&unit)
    };
    let said = KEPT.iter().filter_map(|name| Some((*name, conf.get(name)?)));
    let sizes = said.filter(|(_, value)| is_size(value));
    sizes.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

/// The data directory, which only its owner may enter. `.` means the same to the server; it is used if the
/// path is too long for a socket or would be read as a list.
fn socket_dir(data_dir: &Path) -> String {
    let text = data_dir.to_str().filter(|text| !text.contains([',', '"']) && text.starts_with('/'));
    let fits = |text: &&str| text.len() + format!("/.s.PGSQL.{PORT}").len() < SOCKET_PATH_MAX;
    text.filter(fits).unwrap_or(".").to_owned()
}

/// Lines of a configuration file.
pub fn written(lines: &[(&str, String)]) -> String {
    lines.iter().map(|(name, value)| format!("{name} = {}\n", quoted(value))).collect()
}

/// A value of a configuration file.
fn quoted(value: &str) -> String {
    let value = value.replace(['\n', '\r'], " ");
    format!("'{}'", value.replace('\\', "\\\\").replace('\'', "''"))
}

/// `lifeboat wal fetch` with this program, this configuration and these identities.
pub fn restore_command(config: &Config, identities: &[PathBuf], accept_unsigned: bool) -> Result<String> {
    let program = std::env::current_exe()
        .map_err(|e| Error::new(Kind::Internal, "cannot find the path of this program").because(e))?;
    let mut words = vec![word(&program)?];
    if !config.file.as_os_str().is_empty() {
        words.extend(["--config".to_owned(), word(&config.file)?]);
    }
    words.extend(["--repository".to_owned(), word(Path::new(&config.repository.url))?]);
    words.extend(["--instance".to_owned(), config.instance.to_string()]);
    words.extend(["-q", "wal", "fetch"].map(str::to_owned));
    if let Some(at) = config.repository.as_of {
        words.extend(["--as-of".to_owned(), at.to_string()]);
    }
    for identity in identities {
        let identity = std::path::absolute(identity).map_err(|e| Error::file("find", identity, e))?;
        words.extend(["--identity".to_owned(), word(&identity)?]);
    }
    if accept_unsigned {
        words.push("--accept-unsigned".to_owned());
    }
    // PostgreSQL inserts the names; it knows %f, %p, %r and %%.
    Ok(format!("{} %f \"%p\"", words.join(" ")))
}

pub(super) fn word(path: &Path) -> Result<String> {
    let text = path.to_str().filter(|text| !text.chars().any(char::is_control)).ok_or_else(|| {
        Error::new(Kind::Config, format!("{} cannot be used in a restore_command", path.display()))
    })?;
    Ok(format!("'{}'", text.replace('\'', "'\\''").replace('%', "%%")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recovery::instance::aside::ASIDE_DIR;

    #[test]
    fn the_lines_are_what_postgresql_reads() {
        assert!(WHAT.contains(ASIDE_DIR));
        let recovery = Recovery {
            target: Target::RestorePoint("before 'x'".into()),
            action: Action::Pause,
            timeline: Some(TimelineId(3)),
            restore_command: "cp '/a b/%f' \"%p\"".into(),
            archiving: None,
            preload: vec!["rmgr".into()],
            kept: vec![("shared_buffers".into(), "4GB".into())],
            scratch: false,
            in_place: true,
        };
        let lines = recovery.conf(Path::new("/srv/a"), &[("max_connections", 120)], 17);
        for line in [
            "restore_command = 'cp ''/a b/%f'' \"%p\"'",
            "recovery_target_name = 'before ''x'''",
            "recovery_target_action = 'pause'",
            "recovery_target_timeline = '3'",
            "archive_mode = 'off'",
            "synchronous_standby_names = ''",
            "max_connections = '120'",
            "shared_buffers = '4GB'",
            "shared_preload_libraries = 'rmgr'",
            "unix_socket_directories = '/srv/a'",
            "event_triggers = 'off'",
            "allow_in_place_tablespaces = 'on'",
        ] {
            assert!(lines.lines().any(|l| l == line), "{line} in {lines}");
        }
        assert!(!lines.contains("ignore_invalid_pages"), "only a scratch copy may skip pages: {lines}");
        let archiving = Some(vec![("archive_command".to_owned(), "x".to_owned())]);
        let latest = Recovery { target: Target::Latest, archiving, timeline: None, ..recovery };
        let lines = latest.conf(Path::new(&format!("/{}", "a".repeat(100))), &[], 13);
        assert!(!lines.contains("recovery_target_action") && !lines.contains("archive_mode"), "{lines}");
        assert!(lines.contains("archive_command = 'x'") && lines.contains("directories = '.'"), "{lines}");
        assert!(!lines.contains("event_triggers"), "{lines}");
        assert_eq!(word(Path::new("/a'b/50%")).unwrap(), "'/a'\\''b/50%%'");
    }
}
