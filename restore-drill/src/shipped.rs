//! Commands of the shipped program `lifeboat`, and what they print with `--json`.

use lifeboat::environment;
use lifeboat::error::Kind;
use serde_json::Value;
use tokio::process::Command;

use crate::place::{PORT, Room};
use crate::setup::Setup;

/// A command with the plan's configuration and identities, which knows only the room's server.
pub fn lifeboat(setup: &Setup, room: &Room, subcommand: &str) -> Command {
    let mut command = Command::new(&setup.program);
    if !setup.plan.config.as_os_str().is_empty() {
        command.arg("--config").arg(&setup.plan.config);
    }
    command.arg(subcommand);
    for identity in &setup.identities {
        command.arg("--identity").arg(identity);
    }
    environment::clean(command.as_std_mut(), environment::Child::LifeboatThatOpens);
    // The environment wins over the configuration, which names production's server.
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("LIFEBOAT_POSTGRES_") {
            command.env_remove(name);
        }
    }
    command.env("LIFEBOAT_POSTGRES_HOST", &room.socket_dir);
    command.env("LIFEBOAT_POSTGRES_PORT", PORT.to_string());
    command.env("LIFEBOAT_POSTGRES_USER", &room.superuser);
    command.env("LIFEBOAT_POSTGRES_TLS", "disable");
    command.env("LIFEBOAT_POSTGRES_MAINTENANCE_DATABASE", "postgres");
    command.env("LIFEBOAT_POSTGRES_BIN_DIR", &room.bin_dir);
    command
}

/// The object that the program printed: all of its output, or the last line of it.
pub fn answer(stdout: &str) -> Option<Value> {
    let parse = |text: &str| serde_json::from_str::<Value>(text).ok().filter(Value::is_object);
    parse(stdout).or_else(|| parse(stdout.lines().rev().find(|line| !line.trim().is_empty())?))
}

/// Exit codes of `lifeboat` that mean "the archive or the restored data is wrong", not "I could not do it":
/// incomplete, integrity, signature, filestore.
pub fn kind(code: Option<i32>) -> Kind {
    let wrong = [Kind::Incomplete, Kind::Integrity, Kind::Signature, Kind::Filestore];
    match code {
        Some(code) if wrong.iter().any(|kind| i32::from(kind.exit_code()) == code) => Kind::Integrity,
        _ => Kind::Refused,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_answer_is_the_output_or_its_last_line() {
        assert!(answer("{\n \"a\": 1\n}\n").is_some());
        assert!(answer("noise\n{\"a\": 1}\n\n").is_some());
        assert!(answer("").is_none() && answer("[1]").is_none() && answer("{\"a\"").is_none());
    }

    #[test]
    fn a_damaged_archive_is_told_from_a_restore_that_could_not() {
        for wrong in [3, 10, 11, 14] {
            assert_eq!(kind(Some(wrong)), Kind::Integrity, "{wrong}");
        }
        for unable in [Some(7), Some(12), Some(13), Some(101), None] {
            assert_eq!(kind(unable), Kind::Refused, "{unable:?}");
        }
    }
}
