//! The settings of production that would reach outside of a copy or run something in it. A copy's server
//! ignores all of them; the plan names them, so that a person knows what differs from production.

use serde::Serialize;

use crate::recovery::instance::conf::Conf;

/// Their names. A setting that is missing here is only missing from the plan; it still has no effect,
/// because a copy's configuration starts empty ([`crate::recovery::instance::settings`]).
const OUTSIDE: [&str; 36] = [
    // files elsewhere
    "data_directory",
    "hba_file",
    "ident_file",
    "external_pid_file",
    "stats_temp_directory",
    "temp_tablespaces",
    "log_directory",
    "logging_collector",
    "log_destination",
    "krb_server_keyfile",
    // commands and WAL
    "archive_mode",
    "archive_command",
    "archive_library",
    "archive_cleanup_command",
    "recovery_end_command",
    "restore_command",
    "ssl_passphrase_command",
    "promote_trigger_file",
    // other servers
    "primary_conninfo",
    "primary_slot_name",
    "synchronous_standby_names",
    "sync_replication_slots",
    "max_logical_replication_workers",
    // code
    "shared_preload_libraries",
    "session_preload_libraries",
    "local_preload_libraries",
    "dynamic_library_path",
    "extension_control_path",
    "jit_provider",
    "oauth_validator_libraries",
    // the network
    "listen_addresses",
    "port",
    "unix_socket_directories",
    "ssl",
    "bonjour",
    "event_source",
];
/// Settings of extensions' background workers, by the extension's name.
const WORKERS: [&str; 5] = ["cron.", "pg_net.", "bgw_replstatus.", "timescaledb.", "pglogical."];

/// One such setting.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SwitchedOff {
    /// Its name, or `include` and similar.
    pub name: String,
    /// Its value; passwords are not shown.
    pub value: String,
}

/// The settings of this configuration that a copy ignores, each name once.
pub fn switched_off(conf: &Conf) -> Vec<SwitchedOff> {
    let mut out: Vec<SwitchedOff> = Vec::new();
    for setting in &conf.settings {
        let name = setting.name.as_str();
        let is_told = OUTSIDE.contains(&name) || WORKERS.iter().any(|prefix| name.starts_with(prefix));
        if is_told && out.iter().all(|other| other.name != name) {
            let value = masked(conf.get(name).unwrap_or_default());
            if !value.is_empty() {
                out.push(SwitchedOff { name: name.to_owned(), value });
            }
        }
    }
    for include in &conf.includes {
        let (name, value) = include.split_once(' ').unwrap_or((include, ""));
        let include = SwitchedOff { name: name.to_owned(), value: value.trim_matches('\'').to_owned() };
        if !out.contains(&include) {
            out.push(include);
        }
    }
    out
}

/// A connection string without its password.
pub fn masked(value: &str) -> String {
    let mut out = value.to_owned();
    for key in ["password=", "password ="] {
        if let Some(at) = out.to_ascii_lowercase().find(key) {
            let from = at + key.len();
            let rest = out[from..].trim_start();
            let length = match rest.strip_prefix('\'') {
                Some(quoted) => quoted.find('\'').map_or(rest.len(), |end| end + 2),
                None => rest.find(char::is_whitespace).unwrap_or(rest.len()),
            };
            let end = out.len() - rest.len() + length;
            out.replace_range(from..end, "…");
        }
    }
    if let Some((scheme, rest)) = out.clone().split_once("://")
        && let Some((user, host)) = rest.rsplit_once('@')
        && let Some((user, _)) = user.split_once(':')
    {
        out = format!("{scheme}://{user}:…@{host}");
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recovery::instance::conf::Setting;

    #[test]
    fn what_reaches_outside_is_named_once_and_without_passwords() {
        let set = |name: &str, value: &str| Setting { name: name.into(), value: value.into() };
        let conf = Conf {
            settings: vec![
                set("port", "1"),
                set("work_mem", "4MB"),
                set("primary_conninfo", "host=db password='it is' user=x"),
                set("cron.database_name", "shop"),
                set("port", "2"),
                set("archive_library", ""),
            ],
            includes: vec!["include_dir '/etc/conf.d'".into()],
            ..Conf::default()
        };
        let said: Vec<String> =
            switched_off(&conf).iter().map(|off| format!("{} {}", off.name, off.value)).collect();
        let expected = [
            "port 2",
            "primary_conninfo host=db password=… user=x",
            "cron.database_name shop",
            "include_dir /etc/conf.d",
        ];
        assert_eq!(said, expected);
        assert_eq!(masked("postgresql://u:secret@h:5/x"), "postgresql://u:…@h:5/x");
    }
}
