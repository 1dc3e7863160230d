//! The commit that HEAD of a git repository is at, read from git's own files: no program is started, and no library
//! of git is built.

use std::fs;
use std::path::{Path, PathBuf};

/// What HEAD says.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Head {
    /// The commit; `None` outside of a repository, and before the first commit.
    pub commit: Option<String>,
    /// Files of which one changes whenever HEAD moves. All of them exist: cargo takes a missing file for a changed one.
    pub watch: Vec<PathBuf>,
}

/// HEAD of the repository whose work tree is `root`. A repository further up is another project's.
pub fn of(root: &Path) -> Head {
    let dot_git = root.join(".git");
    // In another work tree of a repository, .git is a file that names the directory.
    let git = match fs::read_to_string(&dot_git) {
        Ok(text) => root.join(text.trim_start_matches("gitdir:").trim()),
        Err(_) => dot_git,
    };
    let common =
        fs::read_to_string(git.join("commondir")).map_or_else(|_| git.clone(), |dir| git.join(dir.trim()));
    let Ok(head) = fs::read_to_string(git.join("HEAD")) else { return Head::default() };
    let mut watch = vec![git.join("HEAD")];
    let commit = match head.trim().strip_prefix("ref:").map(str::trim) {
        None => Some(head.trim().to_owned()),
        Some(name) => {
            // The log of HEAD is there unless it was turned off; a branch may lie in a file of its own, or with others.
            let places = [git.join("logs/HEAD"), common.join(name), common.join("packed-refs")];
            watch.extend(places.into_iter().find(|place| place.is_file()));
            let own = fs::read_to_string(common.join(name)).ok().map(|text| text.trim().to_owned());
            own.or_else(|| packed(&common, name))
        }
    };
    Head { commit: commit.filter(|commit| is_commit(commit)), watch }
}

fn packed(common: &Path, name: &str) -> Option<String> {
    let packed = fs::read_to_string(common.join("packed-refs")).ok()?;
    let line = packed.lines().find(|line| line.split(' ').nth(1) == Some(name))?;
    Some(line.split(' ').next()?.to_owned())
}

/// Whether this is the name of a commit: SHA-1 or SHA-256.
pub fn is_commit(text: &str) -> bool {
    [40, 64].contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}
