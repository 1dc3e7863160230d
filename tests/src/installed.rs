//! Which PostgreSQL versions this machine has, and as whom a server runs here.

use std::fs;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Names a directory with server and client programs: `TEST_PG_BIN_17=/opt/pg17/bin`. It is for
/// the tests that go through all majors: the others run on what the programs find by themselves.
const VARIABLE: &str = "TEST_PG_BIN_";
/// Which major all other tests run on, where it is not the newest package: `TEST_PG_MAJOR=17`.
const DEFAULT: &str = "TEST_PG_MAJOR";
/// The oldest and the newest major version that is looked for.
const MAJORS: std::ops::RangeInclusive<u32> = 13..=30;

/// How often [`hand_over`] begins again.
const HAND_OVER_TRIES: u32 = 10;

/// One installed version.
#[derive(Clone, Debug)]
pub struct Installed {
    /// Its major version.
    pub major: u32,
    /// Where `postgres`, `initdb`, `psql`, `pg_dump` are.
    pub bin_dir: PathBuf,
}

/// The major versions whose servers tests can start, oldest first.
pub fn available_majors() -> Vec<u32> {
    MAJORS.filter(|major| locate(*major).is_some()).collect()
}

/// The installed version of this major; without one, that of `TEST_PG_MAJOR`, else the newest that
/// is installed as a package, where there is none the newest that a variable names.
///
/// # Panics
/// When there is none, or the variable is no number.
pub fn find(major: Option<u32>) -> Installed {
    let majors = available_majors();
    let packages = majors.iter().copied().filter(|major| packaged(*major).is_some());
    let asked = std::env::var(DEFAULT).ok().map(|text| match text.parse() {
        Ok(major) => major,
        Err(e) => panic!("{DEFAULT}={text}: {e}"),
    });
    let Some(major) = major.or(asked).or(packages.max()).or(majors.last().copied()) else {
        panic!("no PostgreSQL server found: install one (apt install postgresql) or set {VARIABLE}<major>");
    };
    let bin_dir = locate(major)
        .unwrap_or_else(|| panic!("no PostgreSQL {major} found, only {majors:?}; set {VARIABLE}{major}"));
    Installed { major, bin_dir }
}

fn locate(major: u32) -> Option<PathBuf> {
    let named = std::env::var_os(format!("{VARIABLE}{major}")).map(PathBuf::from);
    named.filter(|dir| holds_a_server(dir)).or_else(|| packaged(major))
}

fn packaged(major: u32) -> Option<PathBuf> {
    let places = [format!("/usr/lib/postgresql/{major}/bin"), format!("/usr/pgsql-{major}/bin")];
    places.into_iter().map(PathBuf::from).find(|dir| holds_a_server(dir))
}

fn holds_a_server(dir: &Path) -> bool {
    dir.join("postgres").exists() && dir.join("initdb").exists()
}

/// Who runs the servers: PostgreSQL refuses root.
#[derive(Clone, Copy, Debug)]
pub enum Runner {
    /// We are nobody special.
    Ourselves,
    /// We are root, and this is the user `postgres`.
    Other {
        /// Its user id.
        uid: u32,
        /// Its group id.
        gid: u32,
    },
}

impl Runner {
    /// Ourselves, or the user `postgres` when we are root.
    ///
    /// # Panics
    /// When we are root and there is no such user.
    pub fn find() -> Runner {
        if !rustix::process::geteuid().is_root() {
            return Runner::Ourselves;
        }
        let passwd = fs::read_to_string("/etc/passwd").unwrap_or_default();
        let fields = passwd.lines().map(|line| line.split(':').collect::<Vec<_>>());
        let ids = fields
            .filter(|f| f.first() == Some(&"postgres"))
            .find_map(|f| Some(Runner::Other { uid: f.get(2)?.parse().ok()?, gid: f.get(3)?.parse().ok()? }));
        ids.expect("PostgreSQL refuses to run as root, and there is no user postgres to run it as")
    }

    /// Makes a command run as this user. (The standard library drops our supplementary groups
    /// when root sets a user id.)
    pub fn apply(self, command: &mut Command) {
        command.current_dir("/"); // ours may be closed to that user
        if let Runner::Other { uid, gid } = self {
            command.uid(uid).gid(gid);
        }
    }
}

/// Gives everything below `path` to the user that servers run as; nothing to do where that is ourselves.
///
/// # Panics
/// When it cannot be given, again and again: what a program that runs there moves meanwhile is no reason.
pub fn hand_over(path: &Path) {
    let Runner::Other { uid, gid } = Runner::find() else { return };
    for tried in 1.. {
        let done = Command::new("chown").args(["-R", &format!("{uid}:{gid}")]).arg(path).output().unwrap();
        if done.status.success() {
            return;
        }
        assert!(tried < HAND_OVER_TRIES, "{}", String::from_utf8_lossy(&done.stderr));
    }
}

/// A command whose process is told to stop when this process dies, however it dies; where
/// `setpriv` is missing, a plain command.
pub fn dies_with_us(program: &Path) -> Command {
    match ["/usr/bin/setpriv", "/bin/setpriv"].iter().find(|path| Path::new(path).exists()) {
        Some(setpriv) => {
            let mut command = Command::new(setpriv);
            command.args(["--pdeathsig", "QUIT", "--"]).arg(program);
            command
        }
        None => Command::new(program),
    }
}
