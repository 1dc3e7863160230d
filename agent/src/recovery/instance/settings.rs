//! What a restored data directory is told before its first start: lines at the end of
//! `postgresql.auto.conf`, which win over everything before them.

use std::path::{Path, PathBuf};

use crate::config::Config;
use crate::error::{Error, Kind, Result};
use crate::names::wal::TimelineId;
use crate::recovery::instance::target::{Action, Target};

/// Written where the backup has none, because it lay outside the data directory.
pub const CONF_FILE: &str = "postgresql.conf";
/// Likewise.
pub const HBA_FILE: &str = "pg_hba.conf";
/// Only whoever owns the socket's directory can reach it.
pub const HBA_TEXT: &str = "# written by lifeboat restore: the backup had none\nlocal all all peer\n";

/// What decides the lines.
#[derive(Clone, Debug)]
pub struct Recovery {
    /// The end.
    pub target: Target,
    /// What happens there.
    pub action: Action,
    /// The timeline to follow; PostgreSQL's own choice where WAL is not ours.
    pub timeline: Option<TimelineId>,
    /// How WAL is fetched.
    pub restore_command: String,
    /// Whether the archive settings of the backup stay.
    pub keep_archiving: bool,
    /// Whether it is thrown away in the end.
    pub scratch: bool,
}

/// Of a copy that is thrown away: it takes little memory beside production, does nothing but
/// recover and answer us, and touches nothing outside. References to pages that were left empty
/// are told, not fatal: whoever started it reads them.
const SCRATCH: [(&str, &str); 18] = [
    ("shared_buffers", "128MB"),
    ("huge_pages", "off"),
    ("fsync", "off"),
    ("full_page_writes", "off"),
    ("autovacuum", "off"),
    ("max_logical_replication_workers", "0"),
    ("shared_preload_libraries", ""),
    ("session_preload_libraries", ""),
    ("local_preload_libraries", ""),
    ("temp_tablespaces", ""),
    ("external_pid_file", ""),
    ("archive_cleanup_command", ""),
    ("recovery_end_command", ""),
    ("restart_after_crash", "off"),
    ("ignore_invalid_pages", "on"),
    ("log_min_messages", "warning"),
    ("lc_messages", "C"),
    ("log_statement", "none"),
];

impl Recovery {
    /// The lines.
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
        if !self.keep_archiving {
            lines.push(("archive_mode", "off".to_owned()));
        }
        // Standbys of production do not follow a copy: its commits would wait for them for ever.
        lines.push(("synchronous_standby_names", String::new()));
        if self.scratch {
            lines.extend(SCRATCH.map(|(name, value)| (name, value.to_owned())));
        }
        let text = lines.iter().map(|(name, value)| format!("{name} = {}\n", quoted(value)));
        "\n# lifeboat restore\n".to_owned() + &text.collect::<String>()
    }
}

/// A value of a configuration file.
fn quoted(value: &str) -> String {
    format!("'{}'", value.replace('\\', "\\\\").replace('\'', "''"))
}

/// `lifeboat wal fetch` with this program, this configuration and these identities.
pub fn restore_command(config: &Config, identities: &[PathBuf], accept_unsigned: bool) -> Result<String> {
    let program = std::env::current_exe()
        .map_err(|e| Error::new(Kind::Internal, "cannot find out where this program lies").because(e))?;
    let mut words = vec![word(&program)?];
    if !config.file.as_os_str().is_empty() {
        words.extend(["--config".to_owned(), word(&config.file)?]);
    }
    words.extend(["--repository".to_owned(), word(Path::new(&config.repository.url))?]);
    words.extend(["--instance".to_owned(), config.instance.to_string()]);
    words.extend(["-q", "wal", "fetch"].map(str::to_owned));
    for identity in identities {
        let identity = std::path::absolute(identity).map_err(|e| Error::file("find", identity, e))?;
        words.extend(["--identity".to_owned(), word(&identity)?]);
    }
    if accept_unsigned {
        words.push("--accept-unsigned".to_owned());
    }
    // PostgreSQL puts the names in; it knows %f, %p, %r and %%.
    Ok(format!("{} %f \"%p\"", words.join(" ")))
}

fn word(path: &Path) -> Result<String> {
    let text = path.to_str().filter(|text| !text.chars().any(char::is_control)).ok_or_else(|| {
        Error::new(Kind::Config, format!("{} cannot stand in a restore_command", path.display()))
    })?;
    Ok(format!("'{}'", text.replace('\'', "'\\''").replace('%', "%%")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lines_are_what_postgresql_reads() {
        let recovery = Recovery {
            target: Target::RestorePoint("before 'x'".into()),
            action: Action::Pause,
            timeline: Some(TimelineId(3)),
            restore_command: "cp '/a b/%f' \"%p\"".into(),
            keep_archiving: false,
            scratch: false,
        };
        let lines = recovery.lines();
        for line in [
            "restore_command = 'cp ''/a b/%f'' \"%p\"'",
            "recovery_target_name = 'before ''x'''",
            "recovery_target_action = 'pause'",
            "recovery_target_timeline = '3'",
            "archive_mode = 'off'",
            "synchronous_standby_names = ''",
        ] {
            assert!(lines.lines().any(|l| l == line), "{line} in {lines}");
        }
        assert!(!lines.contains("ignore_invalid_pages"), "only a scratch copy may pass over pages: {lines}");
        let latest = Recovery { target: Target::Latest, keep_archiving: true, timeline: None, ..recovery };
        let lines = latest.lines();
        assert!(!lines.contains("recovery_target_action") && !lines.contains("archive_mode"), "{lines}");
        assert_eq!(word(Path::new("/a'b/50%")).unwrap(), "'/a'\\''b/50%%'");
    }
}
