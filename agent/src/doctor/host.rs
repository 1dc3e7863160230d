//! Checks of this host: clock, directories, space.

use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use super::{Check, owners, readable};
use crate::clock;
use crate::config::Config;
use crate::disk;
use crate::error::Result;
use crate::names::{bytes_text, random_hex, shell_path};

/// Below this there is no room for an index.
const FREE_BYTES_LEAST: u64 = 64 << 20;
/// Below this there will soon be none.
const FREE_BYTES_WARN: u64 = 1 << 30;
/// 2026-01-01, before which no build of this program ran, and 2100-01-01.
const SANE_SECONDS: std::ops::Range<i64> = 1_767_225_600..4_102_444_800;

/// Whether the clock is off by years, as after a dead battery: names and times of snapshots
/// would be wrong.
pub fn clock() -> Check {
    let now = clock::now();
    match SANE_SECONDS.contains(&now.as_second()) {
        true => Check::ok("clock", clock::text(now)),
        false => Check::fail(
            "clock",
            format!("the clock of this host says {}", clock::text(now)),
            "set the clock, and let NTP keep it",
        ),
    }
}

/// Every check of directories.
pub fn checks(config: &Config) -> Vec<Check> {
    let mut checks = vec![
        state_dir(&config.state_dir),
        space("free space", &config.state_dir),
        readable::data_dir(config),
    ];
    checks.extend(owners::check("state directory owner", &config.state_dir));
    if let Some(dir) = local_repository(config) {
        checks.push(space("repository disk", dir));
        checks.extend(owners::check("repository owner", dir));
        checks.extend(same_disk(config, dir));
    }
    checks
}

fn state_dir(dir: &Path) -> Check {
    const NAME: &str = "state directory";
    let meta = match disk::metadata(dir) {
        Err(error) => return Check::error(NAME, &error),
        Ok(None) => {
            return Check::warn(
                NAME,
                format!("{} does not exist yet", dir.display()),
                format!("mkdir -m 700 {}, owned by the user who runs lifeboat", shell_path(dir)),
            );
        }
        Ok(Some(meta)) => meta,
    };
    if !meta.is_dir() {
        return Check::fail(NAME, format!("{} is not a directory", dir.display()), "correct state_dir");
    }
    if meta.permissions().mode() & 0o077 != 0 {
        let mode = meta.permissions().mode() & 0o777;
        let text =
            format!("{} is open to others (mode {mode:o}); it holds the name of every file", dir.display());
        return Check::fail(NAME, text, format!("chmod 700 {}", shell_path(dir)));
    }
    match write_probe(dir) {
        Ok(()) => Check::ok(NAME, format!("{} is private and can be written", dir.display())),
        Err(error) => Check::error(NAME, &error.next("run as the user who owns it, or correct state_dir")),
    }
}

/// Creates a file and removes it.
fn write_probe(dir: &Path) -> Result<()> {
    let probe = dir.join(format!(".doctor-{}", random_hex(8)));
    disk::write_new_durable(&probe, b"")?;
    disk::remove_file(&probe)
}

fn space(name: &'static str, dir: &Path) -> Check {
    let free = match disk::free_bytes(dir) {
        Ok(free) => free,
        Err(error) => return Check::error(name, &error),
    };
    let text = format!("{} free for {}", bytes_text(free), dir.display());
    match free {
        0..FREE_BYTES_LEAST => Check::fail(name, text, "make room before the next backup"),
        FREE_BYTES_LEAST..FREE_BYTES_WARN => Check::warn(name, text, "make room"),
        _ => Check::ok(name, text),
    }
}

/// The directory of a repository that is one.
fn local_repository(config: &Config) -> Option<&Path> {
    let url = config.repository.url.as_str();
    url.strip_prefix("file://").or_else(|| (!url.contains("://")).then_some(url)).map(Path::new)
}

/// A repository on the disk of the data is lost together with it.
fn same_disk(config: &Config, repository: &Path) -> Option<Check> {
    let device = |path: &Path| {
        let there = path.ancestors().find(|at| at.exists())?;
        disk::metadata(there).ok().flatten().map(|meta| meta.dev())
    };
    let data = config.odoo.data_dir.as_deref()?;
    (device(data)? == device(repository)?).then(|| {
        Check::warn(
            "repository place",
            format!("{} is on the same disk as {}", repository.display(), data.display()),
            "store archives on another machine: one failure must not take both",
        )
    })
}
