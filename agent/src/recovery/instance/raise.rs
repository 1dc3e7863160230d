//! Raises settings to the minimum that replay needs. A WAL record (`XLOG_PARAMETER_CHANGE`) has the
//! values, and replay writes them into `pg_control` before it stops because of them. So if
//! `max_connections` and similar settings were raised after the base backup, they are raised here, and
//! recovery continues.
//!
//! It never parses the log: that is in the server's language, and since version 14 a server pauses where an
//! older one ends.

use std::path::Path;

use crate::archive::base::CONTROL_FILE;
use crate::disk::beneath::Dir;
use crate::error::Result;
use crate::postgres::control::{self, CONTROL_BYTES};
use crate::recovery::instance::aside::CONF_FILE;
use crate::recovery::instance::conf::{Conf, Files};
use crate::recovery::instance::settings::written;

/// The largest configuration of ours that is read.
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

/// Raises the settings in `dir` that are lower than its `pg_control` requires; returns what was raised, as
/// `max_connections to 120`. Writes nothing if nothing is too low.
pub fn raise(dir: &Dir, owner: Option<(u32, u32)>) -> Result<Vec<String>> {
    let bytes = dir.read(Path::new(CONTROL_FILE), CONTROL_BYTES as u64)?;
    // It is being written: the next check reads all of it.
    let Some(control) = control::parse(&bytes) else { return Ok(Vec::new()) };
    let text = dir.read_text(Path::new(CONF_FILE), CONF_BYTES_MAX)?;
    let low = too_low(&Conf::read(&Text(text.clone()), &[CONF_FILE]), &control.needs);
    if !low.is_empty() {
        let lines: Vec<(&str, String)> = low.iter().map(|(name, to)| (*name, to.to_string())).collect();
        let text =
            format!("{text}# raised during recovery, because the WAL requires it\n{}", written(&lines));
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
