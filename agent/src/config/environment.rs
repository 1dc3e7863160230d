//! What the environment gives: `LIFEBOAT_<SECTION>_<KEY>`. A variable that is empty is not given.

use std::ffi::OsString;

use super::file::GivenKeys;
use super::given::{Given, Origin, Value, names_secret, secret_refused, wrong};
use super::keys::{self, KEYS, SECTIONS};
use crate::error::{Error, Result};

/// Lifeboat's variables that are not keys of the file.
pub const OTHERS: &[&str] = &["LIFEBOAT_CONFIG", "LIFEBOAT_LOG", "LIFEBOAT_PASSPHRASE", "LIFEBOAT_RELEASE"];

/// Adds the environment's values to the file's; the environment wins.
///
/// # Errors
/// A variable of a known section that names no known key, a misspelled variable, or a secret.
pub fn add(given: &mut GivenKeys, environment: &[(OsString, OsString)]) -> Result<()> {
    for (name, value) in environment {
        let Some(name) = name.to_str().filter(|name| name.starts_with("LIFEBOAT_")) else { continue };
        if value.is_empty() || OTHERS.contains(&name) {
            continue;
        }
        let origin = Origin::Variable(name.to_owned());
        let Some(text) = value.to_str() else {
            return Err(wrong(format!("{} is not UTF-8", origin.of(name))));
        };
        let value = Value::Bare(text.to_owned());
        let key = KEYS.iter().find(|key| key.variable().is_some_and(|variable| variable == name));
        if value.holds_secret() || (key.is_none() && names_secret(name) && in_section(name)) {
            return Err(secret_refused(&origin.of(name), &dotted(name)));
        }
        match key {
            Some(key) => {
                given.insert(key.name.to_owned(), Given::new(value, origin, &format!("{text:?}")));
            }
            None => not_ours(name)?,
        }
    }
    Ok(())
}

/// Lets a foreign variable pass. Kubernetes gives each pod the addresses of the services beside
/// it, and one of them may well be called `lifeboat` or `lifeboat-repository`.
fn not_ours(name: &str) -> Result<(), Error> {
    let service = ["_SERVICE_HOST", "_SERVICE_PORT", "_PORT"].iter().any(|end| name.ends_with(end))
        || name.contains("_SERVICE_PORT_")
        || (name.contains("_PORT_") && name.split('_').any(|part| part == "TCP" || part == "UDP"));
    if service {
        return Ok(());
    }
    let variables: Vec<String> = KEYS.iter().filter_map(keys::Key::variable).collect();
    let known = variables.iter().map(String::as_str).chain(OTHERS.iter().copied());
    match keys::nearest(name, known) {
        Some(near) => Err(wrong(format!("environment variable {name} is unknown; did you mean {near}?"))),
        None if in_section(name) => Err(wrong(format!("environment variable {name} matches no known key"))),
        None => Ok(()),
    }
}

fn in_section(name: &str) -> bool {
    dotted(name).contains('.')
}

/// `backup.workers` for `LIFEBOAT_BACKUP_WORKERS`, known or not.
fn dotted(name: &str) -> String {
    let lower = name.trim_start_matches("LIFEBOAT_").to_ascii_lowercase();
    let section = SECTIONS
        .iter()
        .map(|(section, _)| *section)
        .find(|section| lower.strip_prefix(section).is_some_and(|rest| rest.starts_with('_')));
    section.map_or(lower.clone(), |section| format!("{section}.{}", &lower[section.len() + 1..]))
}
