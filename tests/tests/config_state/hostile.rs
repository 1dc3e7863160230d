//! Folders in which somebody with fewer rights makes links, pipes and strange names.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};

use lifeboat_tests::site::words;
use lifeboat_tests::skip;

use crate::{SECRET, World, id, no_secret};

#[test]
fn what_is_no_regular_file_is_named_and_never_followed() {
    let world = World::start();
    let outside = world.site.path("outside");
    fs::write(&outside, format!("token {SECRET}-outside")).unwrap();
    symlink(&outside, world.etc.join("out")).unwrap();
    symlink("../outside", world.etc.join("up")).unwrap();
    symlink("odoo.conf", world.etc.join("current.conf")).unwrap();
    symlink("conf.d", world.etc.join("folder")).unwrap();
    nix_mkfifo(&world.etc.join("pipe"));
    let _socket = std::os::unix::net::UnixListener::bind(world.etc.join("socket")).unwrap();
    world.write("new\nline.conf", "a = 1\n");
    world.write("per%cent \"quoted\".conf", "a = 1\n");
    world.write("large.bin", &"x".repeat((4 << 20) + 1));
    let mut expected = vec!["folder", "large.bin", "out", "pipe", "socket", "up"];
    match rustix::process::geteuid().is_root() {
        true => skip::announce(module_path!(), "a file that cannot be read: root reads every file"),
        false => {
            world.write("unreadable", "x");
            fs::set_permissions(world.etc.join("unreadable"), Permissions::from_mode(0o000)).unwrap();
            expected.insert(5, "unreadable");
        }
    }
    let told = world.site.backup(&["--kind", "config", "--release", "1", "--json", "-vvv"]).run().exits(3);
    no_secret(&words(&told).replace(&format!("{SECRET}-outside"), "leaked"));
    let manifest = told.json()["manifest"].clone();
    let left: Vec<&str> = manifest["config"]["left_out"]
        .as_array()
        .unwrap()
        .iter()
        .map(|left| left["path"].as_str().unwrap().rsplit('/').next().unwrap())
        .collect();
    assert_eq!(left, expected);
    let paths: Vec<&str> = manifest["config"]["entries"]
        .as_array()
        .unwrap()
        .iter()
        .map(|e| e["path"].as_str().unwrap())
        .collect();
    for name in ["new%0Aline.conf", "per%25cent %22quoted%22.conf", "current.conf"] {
        assert!(paths.iter().any(|path| path.ends_with(name)), "{name} is not in {paths:?}");
    }
    let human = world.site.backup(&["--kind", "config"]).run().exits(3);
    assert!(human.stdout.contains("pipe: a FIFO"), "{human}");

    let (target, identity) = (world.site.path("restored"), world.identity());
    let dir = target.display().to_string();
    world.config(&["restore", "--snapshot", &id(&manifest), &dir, "--identity", &identity]).ok();
    let etc = target.join(world.path(""));
    assert_eq!(fs::read_to_string(etc.join("new\nline.conf")).unwrap(), "a = 1\n");
    assert!(etc.join("current.conf").symlink_metadata().unwrap().is_file());
    assert!(!etc.join("out").exists() && !etc.join("up").exists());
    let page = fs::read_to_string(target.join("README.txt")).unwrap();
    assert!(page.contains("pipe: a FIFO"), "{page}");

    // left out on purpose
    let excluded = "out,up,pipe,socket,large.bin,folder,unreadable,*.conf";
    let told =
        world.site.backup(&["--kind", "config", "--json"]).env("LIFEBOAT_CONFIGURATION_EXCLUDE", excluded);
    let manifest = told.run().ok().json()["manifest"].clone();
    assert_eq!(manifest["config"]["files"], 2);
}

fn nix_mkfifo(path: &std::path::Path) {
    let fifo = rustix::fs::FileType::Fifo;
    rustix::fs::mknodat(rustix::fs::CWD, path, fifo, rustix::fs::Mode::RUSR, 0).unwrap();
}
