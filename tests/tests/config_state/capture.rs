//! Capture, comparison and restore of files.

use std::fs;

use crate::{OTHER_SECRET, SECRET, World, id, no_secret};

#[test]
fn an_unchanged_configuration_has_the_same_digest_and_a_changed_one_is_shown() {
    let world = World::start();
    let first = world.capture(&["--release", "17.1"]);
    let second = world.capture(&["--release", "17.2"]);
    assert!(id(&first).contains("-config-"));
    assert_ne!(id(&first), id(&second));
    assert_eq!(first["config"]["sha256"], second["config"]["sha256"]);
    assert_eq!(first["config"]["files"], 3);
    world.config(&["diff", "17.1", "17.2"]).ok();
    world.config(&["diff", "17.2", "now"]).ok();

    // drift: one file more, one less, one changed, and a secret
    world.write("odoo.conf", &format!("[options]\ndb_host = db2\ndb_password = {SECRET}\nworkers = 4\n"));
    world.write("conf.d/extra.yaml", &format!("smtp:\n  host: mail\n  password: \"{OTHER_SECRET}\"\n"));
    world.write("new.conf", "a = 1\n");
    fs::remove_file(world.etc.join("modules.txt")).unwrap();
    let told = world.config(&["diff", "17.2", "now", "--json"]).exits(3).json();
    let (conf, extra) = (world.path("odoo.conf"), world.path("conf.d/extra.yaml"));
    assert_eq!(told["differences"]["changed"], serde_json::json!([extra, conf]));
    assert_eq!(told["differences"]["added"], serde_json::json!([world.path("new.conf")]));
    assert_eq!(told["differences"]["removed"], serde_json::json!([world.path("modules.txt")]));
    assert!(told["content"].is_null());

    let third = world.capture(&["--release", "17.3"]);
    assert_ne!(first["config"]["sha256"], third["config"]["sha256"]);
    let told = world.config(&["diff", "17.1", &id(&third)]).exits(3);
    assert!(told.stdout.contains(&format!("changed {conf}")), "{told}");
    let identity = world.identity();
    let told = world.config(&["diff", "17.1", "17.3", "--content", "--identity", &identity]).exits(3);
    for line in ["\n-db_host = db\n", "\n+db_host = db2\n", "\n+a = 1", "\n-sale 17.0.1.0\n"] {
        assert!(told.stdout.contains(line), "{line:?} is not in {told}");
    }
    let digests = told.stdout.matches("password: \"lifeboat-hmac-sha256:").count();
    assert_eq!(digests, 2, "both digests of the changed secret are shown: {told}");
    assert!(!told.stdout.contains("workers = 5"));
    world.config(&["diff", "17.1", "17.3", "--content"]).exits(12); // no identity here
    world.config(&["diff", "17.1", "17.9"]).exits(5).says("17.3, 17.2, 17.1");

    let listed = world.config(&["list", "--json"]).ok().json();
    assert_eq!(listed["configurations"].as_array().unwrap().len(), 3);
    assert_eq!(listed["configurations"][0]["release"], "17.3");
    world.site.run(&["list"]).run().ok();
    let shown = world.site.run(&["show", &id(&third)]).run().ok();
    assert!(shown.stdout.contains(&conf), "{shown}");
    let listed = world.site.run(&["list", "--kind", "config", "--json"]).run().ok().json();
    assert_eq!(listed["snapshots"].as_array().unwrap().len(), 3);
    world.nothing_leaked();
}

#[test]
fn a_restore_brings_back_files_and_says_what_to_fill_in() {
    let world = World::start();
    world.write("api-token", SECRET);
    let manifest = world.capture(&["--release", "17.1"]);
    world.write("odoo.conf", "[options]\nbroken\n");
    let (target, identity) = (world.site.path("restored"), world.identity());
    let dir = target.display().to_string();
    let restore =
        |by: [&str; 2], dir: &str| world.config(&["restore", by[0], by[1], dir, "--identity", &identity]);
    let told = restore(["--release", "17.1"], &dir).ok();
    assert!(told.stdout.contains("fill in: ") && told.stdout.contains("db_password = (secret)"), "{told}");
    let read = |path: &str| fs::read_to_string(target.join(path)).unwrap();
    assert_eq!(read(&world.path("modules.txt")), "sale 17.0.1.0\nstock 17.0.1.0\n");
    let conf = read(&world.path("odoo.conf"));
    assert!(conf.starts_with("[options]\ndb_host = db\ndb_password = lifeboat-hmac-sha256:"), "{conf}");
    assert!(conf.ends_with("\nworkers = 4\n"), "{conf}");
    let page = read("README.txt");
    for text in ["17.1", "db_password = (secret)", "extra.yaml line 3", "api-token: the whole file"] {
        assert!(page.contains(text), "{text:?} is not in {page}");
    }
    no_secret(&page);

    // never over anything
    restore(["--release", "17.1"], &dir).exits(16).says("it is not empty");
    let empty = world.site.path("empty");
    fs::create_dir(&empty).unwrap();
    restore(["--snapshot", &id(&manifest)], &empty.display().to_string()).ok();
    assert!(empty.join("README.txt").exists());
    let file = world.site.path("file");
    fs::write(&file, "mine").unwrap();
    restore(["--release", "17.1"], &file.display().to_string()).exits(16);
    assert_eq!(fs::read_to_string(&file).unwrap(), "mine");
    let other = world.site.path("other").display().to_string();
    world.config(&["restore", "--release", "17.1", &other]).exits(12);
    let names: Vec<_> = fs::read_dir(world.site.path("")).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert!(!names.iter().any(|name| name.to_string_lossy().contains("incomplete")), "{names:?}");

    let cat = world.site.run(&["cat", &id(&manifest), &world.path("modules.txt"), "--identity", &identity]);
    assert_eq!(cat.run().ok().stdout, "sale 17.0.1.0\nstock 17.0.1.0\n");
    world.nothing_leaked();
}

#[test]
fn digests_of_another_signing_key_are_not_compared() {
    let world = World::start();
    world.capture(&["--release", "17.1"]);
    let key = world.site.path("other-key");
    let made = std::process::Command::new("ssh-keygen")
        .args(["-q", "-t", "ed25519", "-N", "", "-f"])
        .arg(&key)
        .status()
        .unwrap();
    assert!(made.success());
    let told =
        world.site.run(&["config", "diff", "17.1", "now"]).env("LIFEBOAT_SIGNING_KEY_FILE", &key).run();
    told.exits(16).says("cannot be compared by their digests");
}

#[test]
fn nothing_to_store_is_an_error_and_not_an_empty_snapshot() {
    let world = World::start();
    let none = world.site.backup(&["--kind", "config"]).env("LIFEBOAT_CONFIGURATION_FILES", "");
    none.run().exits(4).says("there is no configuration to store");
    world.site.backup(&["--attach", "/etc/hostname"]).run().exits(2);
    world.site.backup(&["--kind", "config", "--tenant", "x"]).run().exits(2);
    world.site.backup(&["--kind", "config", "--attach", "/nonexistent/x"]).run().exits(5);
}

#[test]
fn a_capture_does_not_wait_for_a_backup_and_survives_being_killed() {
    let world = World::start();
    world.capture(&[]);
    // The lock of backups is held, as by a long one.
    let lock = fs::File::open(world.site.path("lifeboat-state/prod/lock"))
        .or_else(|_| fs::File::create(world.site.path("lifeboat-state/prod/lock")))
        .unwrap();
    lock.lock().unwrap();
    world.capture(&["--release", "17.1"]);
    drop(lock);
    // Two at the same time follow each other.
    let both = [(); 2].map(|()| world.site.backup(&["--kind", "config"]).spawn());
    both.into_iter().for_each(|one| drop(one.finish().ok()));
    let running = world.site.backup(&["--kind", "config", "--release", "17.2"]).spawn();
    std::thread::sleep(std::time::Duration::from_millis(60));
    running.kill9();
    world.capture(&["--release", "17.2"]);
    world.config(&["diff", "17.1", "17.2"]).ok();
    world.site.run(&["verify"]).run().ok();
}
