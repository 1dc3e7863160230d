//! Which program this is: version, commit, and what it works with.

use std::sync::LazyLock;

use serde::Serialize;

use crate::archive::manifest::FORMAT;
use crate::postgres::server::MAJORS;

/// The version alone.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The git commit that the program was built from; `unknown` outside of a git repository. See `build.rs`.
pub const COMMIT: &str = env!("LIFEBOAT_COMMIT");

/// What a program says of itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Facts {
    /// Its name.
    pub program: &'static str,
    /// Its version.
    pub version: &'static str,
    /// The git commit that it was built from, or `unknown`.
    pub commit: &'static str,
    /// The version of the archive format that it reads and writes.
    pub archive_format: u32,
    /// The major versions of PostgreSQL that it supports.
    pub postgresql_majors: Vec<u32>,
    /// Processor and system that it was built for.
    pub target: String,
}

impl Facts {
    /// Those of this build.
    pub fn of(program: &'static str) -> Facts {
        Facts {
            program,
            version: VERSION,
            commit: COMMIT,
            archive_format: FORMAT,
            postgresql_majors: MAJORS.collect(),
            target: target(),
        }
    }
}

/// The same for people, without the program's name: clap writes that itself.
pub fn long() -> &'static str {
    static TEXT: LazyLock<String> = LazyLock::new(|| {
        let (target, oldest, newest) = (target(), MAJORS.start(), MAJORS.end());
        format!(
            "{VERSION} ({target})\ncommit          {COMMIT}\narchive format  {FORMAT}\n\
             PostgreSQL      {oldest} to {newest}"
        )
    });
    &TEXT
}

fn target() -> String {
    format!("{}-{}", std::env::consts::ARCH, std::env::consts::OS)
}

#[cfg(test)]
#[allow(clippy::disallowed_methods)] // a build script has no doors
#[path = "../../build/head.rs"]
mod head;

#[cfg(test)]
#[allow(clippy::disallowed_methods)] // makes up what git writes
mod tests {
    use std::fs;
    use std::path::Path;

    use super::*;

    const ONE: &str = "57ee4b1d6c1f3f1b9d7c0a8e5b2f4a6c8e0d1b3f";
    const TWO: &str = "0123456789abcdef0123456789abcdef01234567";

    fn write(path: &Path, text: &str) {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    #[test]
    fn the_commit_is_read_however_git_keeps_it() {
        let dir = tempfile::tempdir().unwrap();
        let (root, git) = (dir.path(), dir.path().join(".git"));
        assert_eq!(head::of(root), head::Head::default(), "no repository: a tarball");
        write(&git.join("HEAD"), "ref: refs/heads/main\n");
        assert_eq!(head::of(root).commit, None, "before the first commit");
        write(
            &git.join("packed-refs"),
            &format!("# pack-refs\n{TWO} refs/heads/other\n{ONE} refs/heads/main\n"),
        );
        assert_eq!(head::of(root).commit.as_deref(), Some(ONE));
        assert_eq!(head::of(root).watch, [git.join("HEAD"), git.join("packed-refs")]);
        write(&git.join("refs/heads/main"), &format!("{TWO}\n"));
        assert_eq!(head::of(root).commit.as_deref(), Some(TWO), "the newer of both");
        assert_eq!(head::of(root).watch, [git.join("HEAD"), git.join("refs/heads/main")]);
        write(&git.join("logs/HEAD"), "");
        assert_eq!(head::of(root).watch, [git.join("HEAD"), git.join("logs/HEAD")]);
        write(&git.join("HEAD"), &format!("{ONE}\n"));
        assert_eq!(head::of(root).commit.as_deref(), Some(ONE), "no branch");
        write(&git.join("HEAD"), "ref: refs/heads/../../../etc/passwd\n");
        assert_eq!(head::of(root).commit, None);
    }

    #[test]
    fn the_commit_of_another_work_tree_is_its_own() {
        let dir = tempfile::tempdir().unwrap();
        let own = dir.path().join("main/.git/worktrees/two");
        write(&dir.path().join("two/.git"), &format!("gitdir: {}\n", own.display()));
        write(&own.join("HEAD"), "ref: refs/heads/two\n");
        write(&own.join("commondir"), "../..\n");
        write(&dir.path().join("main/.git/HEAD"), &format!("{ONE}\n"));
        write(&dir.path().join("main/.git/refs/heads/two"), &format!("{TWO}\n"));
        assert_eq!(head::of(&dir.path().join("two")).commit.as_deref(), Some(TWO));
    }

    #[test]
    fn a_build_says_a_commit_or_that_it_knows_none() {
        assert!(COMMIT == "unknown" || head::is_commit(COMMIT), "{COMMIT}");
        let text = long();
        assert!(text.starts_with(VERSION) && text.contains("PostgreSQL      13 to 18"), "{text}");
    }
}
