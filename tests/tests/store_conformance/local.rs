//! What only a directory has: modes, staged files, mount points.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::{Duration, SystemTime};

use lifeboat::error::Kind;
use lifeboat::store::{Store, StoreOptions};

use crate::content::bytes;
use crate::suite::listed;

fn open(dir: &Path) -> Store {
    Store::open(dir.to_str().unwrap(), &StoreOptions::default()).unwrap()
}

#[tokio::test]
async fn files_and_directories_are_private() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    store.put_new("a/b/small", "x").await.unwrap();
    let mut upload = store.upload("a/b/large").await.unwrap();
    upload.write(bytes(1, 3 << 20)).await.unwrap();
    let staged = std::fs::read_dir(dir.path().join("a/b")).unwrap().count();
    assert_eq!(staged, 2, "the upload is written as it comes");
    upload.finish().await.unwrap();
    for (path, mode) in [("a", 0o700), ("a/b", 0o700), ("a/b/small", 0o600), ("a/b/large", 0o600)] {
        let found = std::fs::metadata(dir.path().join(path)).unwrap().permissions().mode() & 0o777;
        assert_eq!(found, mode, "{path} has mode {found:o}");
    }
    let names = std::fs::read_dir(dir.path().join("a/b")).unwrap().map(|e| e.unwrap().file_name());
    let mut names: Vec<_> = names.collect();
    names.sort();
    assert_eq!(names, ["large", "small"]);
}

#[tokio::test]
async fn staged_files_are_hidden_and_cleaned() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    store.put_new("i/a/x", "x").await.unwrap();
    store.put_new("i/b/x", "x").await.unwrap();
    for staged in ["i/a/x#1", "i/a/y#22", "i/b/x#1"] {
        std::fs::write(dir.path().join(staged), "half").unwrap();
    }
    let mut upload = store.upload("i/a/z").await.unwrap();
    upload.write(bytes(1, 3 << 20)).await.unwrap();
    std::mem::forget(upload);
    std::fs::write(dir.path().join("i/a/not#staged"), "x").unwrap();
    let keys: Vec<String> = listed(&store, "").await.unwrap().into_iter().map(|i| i.key).collect();
    assert_eq!(keys, ["i/a/not#staged", "i/a/x", "i/b/x"], "foreign files are reported");
    let day = Duration::from_secs(24 * 3600);
    let old = std::fs::File::open(dir.path().join("i/a/y#22")).unwrap();
    old.set_modified(SystemTime::now() - day - Duration::from_secs(60)).unwrap();
    assert_eq!(store.clean_old_leftovers("i", day).await.unwrap(), 1, "others may be storing");
    assert!(!dir.path().join("i/a/y#22").exists());
    assert_eq!(store.clean_leftovers("i/a").await.unwrap(), 2);
    assert!(dir.path().join("i/b/x#1").exists(), "below the prefix only");
    assert_eq!(store.clean_leftovers("").await.unwrap(), 1);
    assert_eq!(listed(&store, "").await.unwrap().len(), 3);
}

#[tokio::test]
async fn a_repository_that_is_gone_is_not_an_empty_one() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("repo");
    Store::create_local_root(root.to_str().unwrap()).unwrap();
    let store = open(&root);
    store.put_new("a/b", "x").await.unwrap();
    std::fs::rename(&root, dir.path().join("elsewhere")).unwrap();
    let gone = |kind: Kind| assert_eq!(kind, Kind::Repository);
    gone(store.head("a/b").await.unwrap_err().kind());
    gone(store.get("a/b", 9).await.unwrap_err().kind());
    gone(listed(&store, "").await.unwrap_err().kind());
    gone(store.list_dirs("a").await.unwrap_err().kind());
    gone(store.put_new("a/c", "x").await.unwrap_err().kind());
    gone(store.upload("n/c").await.unwrap_err().kind());
    assert!(!root.exists(), "a mount point is not made up");
}

#[tokio::test]
async fn an_object_cut_behind_our_back_is_an_error() {
    use futures::TryStreamExt;
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    store.put_new("x", bytes(1, 3 << 20)).await.unwrap();
    let (info, mut pieces) = store.get_stream("x").await.unwrap();
    let size = info.bytes;
    assert_eq!(size, 3 << 20);
    pieces.try_next().await.unwrap().unwrap();
    std::fs::OpenOptions::new().write(true).open(dir.path().join("x")).unwrap().set_len(2_000_000).unwrap();
    let error = pieces.try_collect::<Vec<_>>().await.unwrap_err();
    assert_eq!(error.kind(), Kind::Integrity, "{error:?}");
}

#[tokio::test]
async fn what_is_no_file_is_listed_as_odd_and_never_read() {
    use std::os::unix::fs::symlink;
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    store.put_new("i/a", "x").await.unwrap();
    let path = |name: &str| dir.path().join("i").join(name);
    assert!(std::process::Command::new("mkfifo").arg(path("fifo")).status().unwrap().success());
    drop(std::os::unix::net::UnixListener::bind(path("socket")).unwrap());
    symlink(path("a"), path("link")).unwrap();
    symlink(path("none"), path("dangling")).unwrap();
    symlink("/dev/zero", path("device")).unwrap();
    for name in ["fifo", "socket", "link", "dangling", "device"] {
        let key = format!("i/{name}");
        let bad = |kind: Kind| assert_eq!(kind, Kind::Integrity, "{name}");
        bad(store.get(&key, 9).await.unwrap_err().kind());
        bad(store.get_range(&key, 0..1).await.unwrap_err().kind());
        bad(store.get_stream(&key).await.err().unwrap().kind());
        bad(store.make_durable(vec![key.clone()]).await.unwrap_err().kind());
        assert!(store.head(&key).await.unwrap().unwrap().odd.is_some());
        assert_eq!(store.put_new(&key, "x").await.unwrap_err().kind(), Kind::AlreadyExists);
    }
    // directories may be links, but each is read once, and none deeper than any of ours
    symlink(dir.path().join("i"), path("up")).unwrap();
    symlink("..", path("up2")).unwrap();
    std::fs::create_dir_all(path(&"d/".repeat(40))).unwrap();
    store.put_new("elsewhere/x", "x").await.unwrap();
    let moved = tempfile::tempdir().unwrap();
    std::fs::rename(dir.path().join("elsewhere"), moved.path().join("e")).unwrap();
    symlink(moved.path().join("e"), dir.path().join("elsewhere")).unwrap();
    let all = listed(&store, "").await.unwrap();
    assert!(all.len() < 60, "{}", all.len());
    let plain: Vec<&str> =
        all.iter().filter(|info| info.odd.is_none()).map(|info| info.key.as_str()).collect();
    assert!(plain.contains(&"i/a") && plain.contains(&"elsewhere/x"), "{plain:?}");
    let odd: Vec<&str> = all.iter().filter_map(|info| info.odd).collect();
    for word in ["FIFO", "socket", "symbolic link", "deeper"] {
        assert!(odd.iter().any(|odd| odd.contains(word)), "{word}: {odd:?}");
    }
    assert!(listed(&store, "i/a").await.unwrap().is_empty(), "a file holds nothing, as in a bucket");
}
