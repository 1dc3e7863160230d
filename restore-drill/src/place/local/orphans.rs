//! Ends programs that a killed drill had started and that still restore into its directory: they would go on
//! writing there, and start a server after the cleanup.

use std::path::Path;

use lifeboat::disk;
use lifeboat::error::Result;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

/// The arguments of `lifeboat restore` that name where it writes.
const WHERE: [&str; 2] = ["--instance-to", "--data-dir"];
/// The longest command line that is read.
const COMMAND_BYTES_MAX: u64 = 1024 * 1024;

/// Kills every restore into `dir`. No other drill has a directory of this name.
///
/// # Errors
/// If the list of processes cannot be read.
pub(super) fn end(dir: &Path) -> Result<()> {
    for entry in disk::read_dir(Path::new("/proc"))?.unwrap_or_default() {
        let pid = entry.file_name().to_str().and_then(|name| name.parse().ok()).and_then(Pid::from_raw);
        let Some(pid) = pid else { continue };
        // Held before it is looked at: the number may be another process's then.
        let Ok(held) = pidfd_open(pid, PidfdFlags::empty()) else { continue };
        // One that has just ended, or is another user's.
        let Ok(line) = disk::read(&entry.path().join("cmdline"), COMMAND_BYTES_MAX) else { continue };
        if is_into(&line, dir) {
            let _ = pidfd_send_signal(&held, Signal::KILL);
        }
    }
    Ok(())
}

/// Whether this command line, with its zero bytes, is that of a restore into `dir`.
fn is_into(line: &[u8], dir: &Path) -> bool {
    let line = String::from_utf8_lossy(line);
    let words: Vec<&str> = line.split('\0').collect();
    words.windows(2).any(|pair| WHERE.contains(&pair[0]) && Path::new(pair[1]).starts_with(dir))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_restore_into_this_directory_is_meant() {
        let dir = Path::new("/var/tmp/restore-drill-1");
        let of = |words: &[&str]| is_into(words.join("\0").as_bytes(), dir);
        assert!(of(&["lifeboat", "restore", "--instance-to", "/var/tmp/restore-drill-1/pg", "--start"]));
        assert!(of(&["lifeboat", "restore", "--data-dir", "/var/tmp/restore-drill-1/data"]));
        assert!(!of(&["lifeboat", "restore", "--data-dir", "/var/tmp/restore-drill-10/data"]));
        assert!(!of(&["postgres", "-D", "/var/tmp/restore-drill-1/pg"]));
        assert!(!of(&["less", "/var/tmp/restore-drill-1/server.log"]));
    }
}
