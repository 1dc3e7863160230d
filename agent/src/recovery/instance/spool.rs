//! The spool: a directory from which a server's `restore_command` copies WAL that this process fetched.
//!
//! The promise: the server's user needs no identity, no credentials and no configuration, and can only
//! read the spool. All names are PostgreSQL's names of WAL files:
//!
//! - `wanted/NAME`: PostgreSQL requests this file; created by the server's user, who owns `wanted`;
//! - `NAME`: the complete file, often there before it is requested; `NAME.none`: the store does not have it;
//! - `wanted/NAME.done`: the request, renamed by the server's user after the answer: it can be removed;
//! - `alive`: a number that changes while this process runs, so that nobody waits for a killed one.
//!
//! What would break it: opening or following a path in `wanted` (we only list and remove names there), or
//! an exit code of 1 to 125 that does not mean "this file does not exist" (PostgreSQL ends recovery on
//! these).

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs::File;
use std::io::Write;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use crate::disk;
use crate::disk::beneath::Dir;
use crate::error::{Error, Kind, Result};
use crate::names::wal::{SegmentName, WalFile};
use crate::recovery::instance::settings::word;
use crate::recovery::instance::tree;
use crate::repository::wal::file::is_segment;

/// The suffix after the name of the data directory.
const SUFFIX: &str = ".lifeboat-wal";
const SCRIPT_FILE: &str = "copy";
const ALIVE_FILE: &str = "alive";
const WANTED_DIR: &str = "wanted";
const NONE: &str = ".none";
const DONE: &str = ".done";
/// How many requests are read at a time: PostgreSQL makes one, but the server's user may create any number.
const WANTED_MAX: usize = 64;
/// The most segments that a base backup contains.
const BROUGHT_MAX: usize = 100_000;
/// Only the server's user may read.
const DIR_MODE: u32 = 0o750;
const FILE_MODE: u32 = 0o640;
/// An exit code above 125 ends recovery at once.
pub const NOBODY_FETCHES: &str = "exit 190";

/// What PostgreSQL runs: a shell (which PostgreSQL needs anyway), `cp`, `mv` and `sleep`. It gives up when
/// nothing changes for 600 times 0.05 s. A special builtin such as `:` would end the shell with 2 if it
/// cannot write, so `echo` creates the request.
const SCRIPT: &str = r#"# Lifeboat wrote this. It copies WAL that a running `lifeboat restore` fetches.
spool=SPOOL name=$1 to=$2 last= still=0 failed=0
ask=$spool/wanted/$name
echo > "$ask" || GIVE_UP
while true; do
    if test -f "$spool/$name"; then
        cp "$spool/$name" "$to" && break
        # It may have been removed just now, after an answer to an earlier request.
        failed=$((failed + 1))
        test "$failed" -lt 5 || exit 191
    elif test -f "$spool/$name.none"; then
        mv -f "$ask" "$ask.done"
        exit 1
    fi
    read -r beat < "$spool/alive" || GIVE_UP
    test "$beat" = "$last" || still=0
    last=$beat still=$((still + 1))
    test "$still" -lt 600 || GIVE_UP
    sleep 0.05 || sleep 1 || exit 192
done
mv -f "$ask" "$ask.done"
exit 0
"#;

/// An existing spool.
pub struct Spool {
    path: PathBuf,
    dir: Dir,
    wanted: Dir,
    alive: File,
    beats: AtomicU64,
    /// The owner of its files: our user, with the group of the server's user.
    owner: Option<(u32, u32)>,
    /// Segments from the base backup.
    brought: BTreeSet<SegmentName>,
}

/// The path of the spool of a data directory.
pub fn place(data_dir: &Path) -> PathBuf {
    let mut path = data_dir.as_os_str().to_owned();
    path.push(SUFFIX);
    path.into()
}

/// The `restore_command` of a server on `data_dir`. If nobody fetches any more, it runs `otherwise`.
pub fn command(data_dir: &Path, otherwise: &str) -> Result<String> {
    let script = word(&place(data_dir).join(SCRIPT_FILE))?;
    Ok(format!("if test -r {script}; then exec /bin/sh {script} %f %p; else {otherwise}; fi"))
}

impl Spool {
    /// Creates it; removes the one of a killed run. `server` is the server's user, if that is another one.
    /// `otherwise` is a shell command for the case that nobody fetches any more; the file's name is `$1`,
    /// its destination `$2`.
    ///
    /// # Errors
    /// `Refused` if something is there that Lifeboat did not create.
    pub fn make(data_dir: &Path, server: Option<(u32, u32)>, otherwise: &str) -> Result<Spool> {
        let path = place(data_dir);
        let failed = |e| Error::file("make", &path, e);
        let (above, name) = tree::beside(&path)?;
        let me = rustix::process::geteuid();
        if let Ok(left) = above.dir(Path::new(name)) {
            let is_ours = left.metadata().map_err(failed)?.uid() == me.as_raw()
                && left.look(Path::new(ALIVE_FILE)).map_err(failed)?.is_some();
            if !is_ours {
                return Err(Error::new(
                    Kind::Refused,
                    format!("{} exists, but Lifeboat did not create it", path.display()),
                )
                .effect("no server was started")
                .next("check what it is, move it away, then start the server"));
            }
            above.remove_tree(name).map_err(failed)?;
        }
        let owner = server.map(|(_, gid)| (me.as_raw(), gid));
        let dir = above.make_dir(name).map_err(failed)?;
        let wanted = dir.make_dir(OsStr::new(WANTED_DIR)).map_err(failed)?;
        let alive = dir.create_new(Path::new(ALIVE_FILE)).map_err(failed)?;
        disk::give(&alive, &path, FILE_MODE, owner)?;
        let brought = brought(data_dir)?;
        let spool = Spool { path, dir, wanted, alive, beats: AtomicU64::new(0), owner, brought };
        spool.beat()?;
        let script = SCRIPT.replace("SPOOL", &quoted(&spool.path)?).replace("GIVE_UP", otherwise);
        let mut file = spool.create(SCRIPT_FILE)?;
        file.write_all(script.as_bytes()).map_err(|e| spool.failed(e))?;
        spool.wanted.give(0o700, server).map_err(|e| spool.failed(e))?;
        // Last: before this nobody else can read it.
        spool.dir.give(DIR_MODE, owner).map_err(|e| spool.failed(e))?;
        Ok(spool)
    }

    /// Its path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether this segment is from the base backup: PostgreSQL uses it if the archive does not have it.
    pub fn is_brought(&self, file: WalFile) -> bool {
        matches!(file, WalFile::Segment(segment) if self.brought.contains(&segment))
    }

    /// Renews the sign of life.
    pub fn beat(&self) -> Result<()> {
        let beat = self.beats.fetch_add(1, Ordering::Relaxed);
        self.alive.write_all_at(format!("{beat:020}\n").as_bytes(), 0).map_err(|e| self.failed(e))
    }

    /// PostgreSQL's open and answered requests.
    pub fn requests(&self) -> Result<(Vec<WalFile>, Vec<WalFile>)> {
        let (mut open, mut done) = (Vec::new(), Vec::new());
        for entry in self.wanted.some_entries(WANTED_MAX).map_err(|e| self.failed(e))? {
            let name = entry.name.to_string_lossy();
            match name.strip_suffix(DONE) {
                Some(name) => done.push(name.parse()?),
                None => open.push(name.parse()?),
            }
        }
        Ok((open, done))
    }

    /// The path at which a file is put together.
    pub fn stage(&self, file: WalFile) -> Result<File> {
        let name = staged(file);
        self.dir.remove_file(Path::new(&name)).map_err(|e| self.failed(e))?;
        self.create(&name)
    }

    /// Publishes a complete staged file.
    pub fn publish(&self, file: WalFile) -> Result<()> {
        let (from, to) = (staged(file), file.to_string());
        self.dir.rename(OsStr::new(&from), OsStr::new(&to)).map_err(|e| self.failed(e))
    }

    /// Answers that the file does not exist.
    pub fn publish_none(&self, file: WalFile) -> Result<()> {
        self.create(&format!("{file}{NONE}")).map(drop)
    }

    /// Removes the answer.
    pub fn forget(&self, file: WalFile) -> Result<()> {
        let names = [staged(file), file.to_string(), format!("{file}{NONE}")];
        names.iter().try_for_each(|name| self.dir.remove_file(Path::new(name))).map_err(|e| self.failed(e))
    }

    /// Removes the mark that an answer was taken.
    pub fn forget_request(&self, file: WalFile) -> Result<()> {
        self.wanted.remove_file(Path::new(&format!("{file}{DONE}"))).map_err(|e| self.failed(e))
    }

    /// Removes all of it.
    pub fn remove(self) -> Result<()> {
        let (above, name) = tree::beside(&self.path)?;
        above.remove_tree(name).map_err(|e| self.failed(e))
    }

    fn create(&self, name: &str) -> Result<File> {
        let file = self.dir.create_new(Path::new(name)).map_err(|e| self.failed(e))?;
        disk::give(&file, &self.path, FILE_MODE, self.owner)?;
        Ok(file)
    }

    fn failed(&self, e: std::io::Error) -> Error {
        Error::file("use", &self.path, e)
    }
}

fn staged(file: WalFile) -> String {
    format!("{file}.new")
}

/// A path as a word of the script.
fn quoted(path: &Path) -> Result<String> {
    Ok(word(path)?.replace("%%", "%"))
}

/// The segments in `pg_wal` before a server was ever started there. By now it belongs to the server's user.
fn brought(data_dir: &Path) -> Result<BTreeSet<SegmentName>> {
    let failed = |e| Error::file("look at", data_dir, e);
    let pg_wal = tree::open(data_dir)?.dir(Path::new("pg_wal")).map_err(failed)?;
    let entries = pg_wal.some_entries(BROUGHT_MAX).map_err(failed)?;
    let names = entries.iter().filter_map(|entry| entry.name.to_str()?.parse::<SegmentName>().ok());
    let is_whole = |name: &SegmentName| {
        pg_wal.open_file(Path::new(&name.to_string())).is_ok_and(|(file, _)| is_segment(*name, file))
    };
    Ok(names.filter(is_whole).collect())
}

#[cfg(test)]
#[allow(clippy::disallowed_methods)] // what the server does is done with bare hands
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;
    use std::process::{Command, Stdio};

    const NAME: &str = "0000000100000000000000A7";

    /// A data directory whose path has all that a shell and PostgreSQL take for something else.
    fn data_dir(above: &Path) -> PathBuf {
        let dir = above.join("it's 100%f $HOME `x` \"y\"");
        std::fs::create_dir_all(dir.join("pg_wal")).unwrap();
        dir
    }

    /// Runs `restore_command` as PostgreSQL does; its exit code.
    fn ask(data_dir: &Path, name: &str) -> Option<i32> {
        let command = command(data_dir, NOBODY_FETCHES).unwrap();
        let command = command.replace("%%", "\0").replace("%f", name).replace("%p", "pg_wal/RECOVERYXLOG");
        let mut shell = Command::new("/bin/sh");
        shell.arg("-c").arg(command.replace('\0', "%")).current_dir(data_dir).stderr(Stdio::null());
        shell.status().unwrap().code()
    }

    #[test]
    fn an_answer_is_a_file_or_that_there_is_none_and_never_anything_else() {
        let dir = tempfile::tempdir().unwrap();
        let data_dir = data_dir(dir.path());
        assert_eq!(ask(&data_dir, NAME), Some(190), "there is no spool");
        let spool = Spool::make(&data_dir, None, NOBODY_FETCHES).unwrap();
        let file: WalFile = NAME.parse().unwrap();
        spool.stage(file).unwrap().write_all(b"wal").unwrap();
        spool.publish(file).unwrap();
        let history: WalFile = "00000002.history".parse().unwrap();
        spool.publish_none(history).unwrap();
        assert_eq!((ask(&data_dir, NAME), ask(&data_dir, "00000002.history")), (Some(0), Some(1)));
        assert_eq!(std::fs::read(data_dir.join("pg_wal/RECOVERYXLOG")).unwrap(), b"wal");
        let (open, mut done) = spool.requests().unwrap();
        done.sort();
        assert_eq!((open, done), (vec![], vec![file, history]));
        for file in [file, history] {
            spool.forget(file).unwrap();
            spool.forget_request(file).unwrap();
        }
        assert_eq!(spool.requests().unwrap(), (vec![], vec![]));

        // asked before it is there
        std::thread::scope(|scope| {
            let asking = scope.spawn(|| ask(&data_dir, NAME));
            while spool.requests().unwrap().0.is_empty() {
                std::thread::yield_now();
            }
            spool.stage(file).unwrap().write_all(b"later").unwrap();
            spool.publish(file).unwrap();
            assert_eq!(asking.join().unwrap(), Some(0));
        });
        assert_eq!(std::fs::read(data_dir.join("pg_wal/RECOVERYXLOG")).unwrap(), b"later");

        // it is there and cannot be copied
        std::fs::remove_file(data_dir.join("pg_wal/RECOVERYXLOG")).unwrap();
        std::fs::create_dir_all(data_dir.join("pg_wal/RECOVERYXLOG").join(NAME)).unwrap();
        assert_eq!(ask(&data_dir, NAME), Some(191));

        // nobody is alive any more, or all is gone
        spool.forget(file).unwrap();
        let script = spool.path.join(SCRIPT_FILE);
        let text = std::fs::read_to_string(&script).unwrap();
        assert!(text.contains("-lt 600"));
        std::fs::write(&script, text.replace("-lt 600", "-lt 3")).unwrap();
        assert_eq!(ask(&data_dir, NAME), Some(190));
        std::fs::remove_file(spool.path.join(ALIVE_FILE)).unwrap();
        assert_eq!(ask(&data_dir, NAME), Some(190));
        std::fs::remove_dir_all(spool.path.join(WANTED_DIR)).unwrap();
        assert_eq!(ask(&data_dir, NAME), Some(190));
    }

    #[test]
    fn what_the_servers_user_puts_there_is_neither_opened_nor_followed() {
        let dir = tempfile::tempdir().unwrap();
        let data_dir = data_dir(dir.path());
        let spool = Spool::make(&data_dir, None, NOBODY_FETCHES).unwrap();
        let (wanted, victim) = (spool.path.join(WANTED_DIR), dir.path().join("victim"));
        std::fs::write(&victim, "1").unwrap();
        symlink(&victim, wanted.join(format!("{NAME}.done"))).unwrap();
        let fifo = wanted.join("00000002.history");
        rustix::fs::mknodat(rustix::fs::CWD, &fifo, rustix::fs::FileType::Fifo, rustix::fs::Mode::RUSR, 0)
            .unwrap();
        let (open, done) = spool.requests().unwrap();
        assert_eq!((open.len(), done.len()), (1, 1));
        spool.forget_request(done[0]).unwrap();
        assert_eq!(std::fs::read_to_string(&victim).unwrap(), "1");
        std::fs::write(wanted.join("../../etc".replace('/', "-")), "").unwrap();
        assert!(spool.requests().is_err(), "PostgreSQL asks for nothing of that name");
        for n in 0..100 {
            std::fs::write(wanted.join(format!("{n:024X}")), "").unwrap();
        }
        assert!(spool.wanted.some_entries(WANTED_MAX).unwrap().len() <= WANTED_MAX);
    }

    #[test]
    fn what_a_killed_run_left_goes_and_what_others_made_stays() {
        let dir = tempfile::tempdir().unwrap();
        let data_dir = data_dir(dir.path());
        let killed = Spool::make(&data_dir, None, NOBODY_FETCHES).unwrap();
        killed.stage(NAME.parse().unwrap()).unwrap();
        let spool = Spool::make(&data_dir, None, NOBODY_FETCHES).unwrap();
        assert!(!spool.path.join(format!("{NAME}.new")).exists());
        spool.remove().unwrap();
        std::fs::create_dir(place(&data_dir)).unwrap();
        let refused = Spool::make(&data_dir, None, NOBODY_FETCHES).err().unwrap();
        assert!(refused.kind() == Kind::Refused && place(&data_dir).exists(), "{refused:?}");
    }
}
