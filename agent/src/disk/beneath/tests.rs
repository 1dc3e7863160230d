//! What a hostile owner of a directory may try, with both ways of opening.

use super::*;
use std::fs;
use std::os::unix::fs::symlink;

/// A directory opened in both ways.
pub(crate) fn both(path: &Path) -> [Dir; 2] {
    [false, true].map(|by_steps| Dir { by_steps, ..Dir::open(path).unwrap() })
}

#[test]
fn nothing_outside_is_ever_opened_and_only_regular_files_are() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("root");
    fs::create_dir_all(root.join("a/b")).unwrap();
    fs::write(dir.path().join("secret"), "key").unwrap();
    fs::write(root.join("a/b/file"), "1").unwrap();
    symlink("../../secret", root.join("a/out")).unwrap();
    symlink(dir.path(), root.join("up")).unwrap();
    symlink("b", root.join("a/inside")).unwrap();
    rustix::fs::mknodat(CWD, root.join("fifo"), FileType::Fifo, Mode::RUSR, 0).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(root.join("socket")).unwrap();
    for dir in both(&root) {
        let open = |path: &str| {
            dir.open_file(Path::new(path)).map(|(file, _)| std::io::read_to_string(file).unwrap())
        };
        assert_eq!(open("a/b/file").unwrap(), "1");
        assert_eq!(dir.dir(Path::new("a")).unwrap().open_file(Path::new("b/file")).unwrap().1.len(), 1);
        let refused = [
            "a/out",
            "up/secret",
            "a/inside/file",
            "fifo",
            "socket",
            "a",
            "../secret",
            "a/../../secret",
            "/etc/passwd",
            "none",
        ];
        for path in refused {
            let e = open(path).unwrap_err();
            assert_eq!(e.kind() == ErrorKind::NotFound, path == "none", "{path}: {e}");
        }
        assert!(dir.dir(Path::new("up")).is_err() && dir.dir(Path::new("a/inside")).is_err());
        assert!(dir.look(Path::new("up")).unwrap().unwrap().is_symlink());
        assert!(dir.look(Path::new("none")).unwrap().is_none());
        assert!(
            dir.look(Path::new("up/secret")).is_err() || dir.look(Path::new("up/secret")).unwrap().is_none()
        );
        let mut kinds: Vec<_> =
            dir.entries().unwrap().into_iter().map(|e| (e.name, e.kind.unwrap())).collect();
        kinds.sort_by(|a, b| a.0.cmp(&b.0));
        let expected = [
            ("a", FileType::Directory),
            ("fifo", FileType::Fifo),
            ("socket", FileType::Socket),
            ("up", FileType::Symlink),
        ];
        assert_eq!(kinds, expected.map(|(name, kind)| (OsString::from(name), kind)));
    }
}

#[test]
fn a_hard_link_to_what_the_owner_cannot_read_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("file"), "key").unwrap();
    let opened = Dir::open(dir.path()).unwrap();
    fs::hard_link(dir.path().join("file"), dir.path().join("link")).unwrap();
    let shut = |mode| {
        fs::set_permissions(dir.path().join("file"), std::os::unix::fs::PermissionsExt::from_mode(mode))
            .unwrap()
    };
    shut(0o600);
    assert!(opened.open_file(Path::new("link")).is_ok(), "his own");
    let other = Dir { owner: (4_000_000, 4_000_000), ..opened };
    assert!(other.open_file(Path::new("link")).unwrap_err().to_string().contains("hard link"));
    shut(0o644);
    assert!(other.open_file(Path::new("link")).is_ok(), "he may read it");
}

/// The owner exchanges a folder for a link all the time, against both ways.
#[test]
fn a_folder_that_is_exchanged_for_a_link_all_the_time_never_gives_what_lies_outside() {
    use rustix::fs::{RenameFlags, renameat_with};
    use std::sync::atomic::AtomicBool;
    let dir = tempfile::tempdir().unwrap();
    let (root, secret) = (dir.path().join("root"), dir.path().join("secret"));
    for (place, content) in [(root.join("zy"), "bait"), (secret.clone(), "key")] {
        fs::create_dir_all(&place).unwrap();
        fs::write(place.join("file"), content).unwrap();
    }
    symlink(&secret, root.join(".s")).unwrap();
    let (from, to) = (root.join("zy"), root.join(".s"));
    let stop = Arc::new(AtomicBool::new(false));
    let stopped = stop.clone();
    let exchanging = std::thread::spawn(move || {
        while !stopped.load(Ordering::Relaxed) {
            renameat_with(CWD, &from, CWD, &to, RenameFlags::EXCHANGE).unwrap();
            std::thread::yield_now();
        }
    });
    let mut seen = Vec::new();
    for opened in both(&root) {
        let (mut read, mut refused, mut wrong) = (0, 0, 0);
        for _ in 0..20_000 {
            match opened.open_file(Path::new("zy/file")) {
                Ok((file, _)) if std::io::read_to_string(&file).unwrap() == "bait" => read += 1,
                Ok(_) => wrong += 1,
                Err(_) => refused += 1,
            }
        }
        seen.push((read > 0, refused > 0, wrong));
    }
    stop.store(true, Ordering::Relaxed);
    exchanging.join().unwrap();
    assert_eq!(seen, [(true, true, 0), (true, true, 0)]);
}
