//! Cleans up after killed drills, which could not do it themselves.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use lifeboat::disk;
use lifeboat::error::Result;
use lifeboat::postgres::server_stop;
use rustix::process::geteuid;

use super::account::Account;
use super::orphans;
use super::server::{KEEP, LOCK};

/// Removes what killed drills left in `parent`: stops their servers, ends what else still works there (a
/// restore goes on without its drill) and removes their directories, which contain restored data. Directories
/// that are kept on request, are in use, or belong to other accounts stay. Returns the removed directories,
/// and an error for each one that could not be removed.
///
/// # Errors
/// If `parent` cannot be listed.
pub async fn sweep(parent: &Path, prefix: &str) -> Result<Vec<Result<PathBuf>>> {
    let owners = Account::all();
    let mut swept = Vec::new();
    for entry in disk::read_dir(parent)?.unwrap_or_default() {
        let dir = entry.path();
        let ours = disk::metadata(&dir)?.is_some_and(|meta| meta.is_dir() && owners.contains(&meta.uid()));
        if ours && entry.file_name().to_string_lossy().starts_with(prefix) {
            swept.extend(sweep_one(&dir).await.map(|done| done.map(|()| dir)));
        }
    }
    Ok(swept)
}

/// `None` if the directory is kept or in use.
async fn sweep_one(dir: &Path) -> Option<Result<()>> {
    let lock = dir.join(LOCK);
    let is_there = |path: &Path| disk::metadata(path).map(|meta| meta.is_some());
    // Written by us: whoever runs code in the copy must not make it stay.
    let kept = || {
        let meta = disk::metadata(&dir.join(KEEP))?;
        Ok(meta.is_some_and(|meta| meta.is_file() && meta.uid() == geteuid().as_raw()))
    };
    // A drill locks its directory before it makes the cluster in it.
    let take = || match (kept()?, is_there(&lock)? && is_there(&dir.join("pg"))?) {
        (false, true) => disk::try_lock(&lock),
        _ => Ok(None), // kept, not created by us, or just being created
    };
    match take() {
        Err(e) => Some(Err(e)),
        Ok(None) => None,
        Ok(Some(_held)) => {
            if let Err(e) = orphans::end(dir) {
                return Some(Err(e));
            }
            let stopped = server_stop::stop_now(&dir.join("pg")).await;
            Some(stopped.and_then(|()| disk::remove_tree(dir)))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};
    use std::time::Duration;

    use lifeboat::child::Asked;
    use lifeboat::postgres::{PostgresOptions, Tools};
    use rustix::process::Signal;

    use super::*;
    use crate::place::local::server::Scratch;

    const STOP_LIMIT: Duration = Duration::from_secs(60);

    async fn bin_dir() -> PathBuf {
        for major in (13..=20).rev() {
            if let Ok(tools) = Tools::server(&PostgresOptions::default(), major).await {
                return tools.dir;
            }
        }
        panic!("no PostgreSQL server is installed: apt-get install postgresql");
    }

    fn open_dir() -> tempfile::TempDir {
        let dir = tempfile::Builder::new().prefix("rd-").tempdir().unwrap();
        let open = std::os::unix::fs::PermissionsExt::from_mode(0o711);
        std::fs::set_permissions(dir.path(), open).unwrap();
        dir
    }

    #[tokio::test]
    async fn what_a_killed_drill_left_is_removed_and_what_is_in_use_or_kept_stays() {
        let parent = open_dir();
        let bin_dir = bin_dir().await;
        let at = |name: &str| parent.path().join(name);
        let killed = Scratch::start(&at("d-killed"), &bin_dir, &[]).await.unwrap();
        let used = Scratch::start(&at("d-used"), &bin_dir, &[]).await.unwrap();
        let kept = Scratch::start(&at("d-kept"), &bin_dir, &[]).await.unwrap();
        kept.tear_down(true).await.unwrap();
        // Code in a copy cannot keep it.
        std::os::unix::fs::symlink("/etc/passwd", at("d-killed").join(KEEP)).unwrap();

        // A restore that goes on; and one that only looks like it.
        let work = |dir: &Path| {
            let words = ["-c", "read line; :", "restore", "--data-dir"];
            Command::new("sh").args(words).arg(dir.join("data")).stdin(Stdio::piped()).spawn().unwrap()
        };
        let (mut goes_on, mut of_another) = (work(&at("d-killed")), work(&at("d-killed2")));

        // As SIGKILL does: the lock is let go, the server runs on, nobody waits for it.
        let (mut server, place) = killed.abandon();
        assert!(place.connect("postgres").await.is_ok());
        let reaper = tokio::spawn(async move {
            let by_us = (Asked::Child(Signal::KILL), Duration::ZERO);
            server.end(STOP_LIMIT, std::future::pending(), by_us, std::future::ready(())).await
        });

        let swept = sweep(parent.path(), "d-").await.unwrap();
        let removed: Vec<PathBuf> = swept.into_iter().map(|done| done.unwrap()).collect();
        assert_eq!(removed, [at("d-killed")]);
        assert!(!goes_on.wait().unwrap().success());
        assert!(of_another.try_wait().unwrap().is_none());
        of_another.kill().unwrap();
        of_another.wait().unwrap();
        assert_eq!(reaper.await.unwrap().unwrap().stopped, None);
        assert!(used.room().connect("postgres").await.is_ok());
        assert!(at("d-kept").join("pg").exists());
        used.tear_down(false).await.unwrap();
        assert!(!at("d-used").exists());
    }
}
