//! What replay needs at least, read from the WAL itself: a record tells it (`XLOG_PARAMETER_CHANGE`), and
//! replay writes it into `pg_control` before it stops for it. So `max_connections` and its like that were
//! raised after the base backup are raised here, and recovery goes on where it was.
//!
//! Never by the words of a log: those are in the server's language, and another major pauses (14 and newer)
//! where an older one ends.

use std::path::Path;

use crate::archive::base::CONTROL_FILE;
use crate::disk::beneath::Dir;
use crate::error::Result;
use crate::postgres::control::{self, CONTROL_BYTES};
use crate::recovery::instance::aside::CONF_FILE;
use crate::recovery::instance::conf::{Conf, Files};
use crate::recovery::instance::settings::written;

/// Largest configuration of ours.
const CONF_BYTES_MAX: u64 = 1 << 20;

struct Text(String);

impl Files for Text {
    fn text(&self, _: &str) -> Option<String> {
        Some(self.0.clone())
    }

    fn conf_files(&self, _: &str) -> Option<Vec<String>> {
        None
    }
}

/// Raises what the configuration in `dir` sets lower than its `pg_control` wants; what was raised, as
/// `max_connections to 120`. Nothing is written where nothing was too low.
pub fn raise(dir: &Dir, owner: Option<(u32, u32)>) -> Result<Vec<String>> {
    let bytes = dir.read(Path::new(CONTROL_FILE), CONTROL_BYTES as u64)?;
    // Torn just now: the next look reads it whole.
    let Some(control) = control::parse(&bytes) else { return Ok(Vec::new()) };
    let text = dir.read_text(Path::new(CONF_FILE), CONF_BYTES_MAX)?;
    let low = too_low(&Conf::read(&Text(text.clone()), &[CONF_FILE]), &control.needs);
    if !low.is_empty() {
        let lines: Vec<(&str, String)> = low.iter().map(|(name, to)| (*name, to.to_string())).collect();
        let text = format!("{text}# raised meanwhile, by the WAL\n{}", written(&lines));
        dir.replace_durable(Path::new(CONF_FILE), text.as_bytes(), owner)?;
    }
    Ok(low.iter().map(|(name, to)| format!("{name} to {to}")).collect())
}

fn too_low<'a>(conf: &Conf, needs: &[(&'a str, u64)]) -> Vec<(&'a str, u64)> {
    let set = |name: &str| conf.get(name).and_then(|value| value.parse::<u64>().ok()).unwrap_or(0);
    needs.iter().filter(|(name, least)| set(name) < *least).copied().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_too_low_is_found_and_the_last_line_counts() {
        let conf = |text: &str| Conf::read(&Text(text.to_owned()), &[CONF_FILE]);
        let needs = [("max_connections", 120), ("max_wal_senders", 10)];
        assert_eq!(too_low(&conf("max_connections = '60'\nmax_wal_senders = '10'\n"), &needs), [needs[0]]);
        let raised = "max_connections = '60'\nmax_wal_senders = '10'\nmax_connections = '120'\n";
        assert!(too_low(&conf(raised), &needs).is_empty());
    }
}
