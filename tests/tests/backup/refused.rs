//! What a backup refuses before it stores anything: wrong configuration, wrong keys, wrong
//! repository, somebody else at work. One error each, with its exit code.

use std::fs;

use lifeboat_tests::{Cluster, S3, faults, small_tenant};

use crate::archive::Archive;
use lifeboat_tests::site::{Site, words};

#[test]
fn wrong_configuration_and_keys_are_named_and_nothing_is_stored() {
    let cluster = Cluster::start_default();
    let site = Site::local(&cluster);
    small_tenant(&cluster, &site.data_dir(), "acme", 11);
    let good = fs::read_to_string(site.config()).unwrap();
    let file = site.config().display().to_string();
    let line_of = |text: &str, part: &str| 1 + text.lines().position(|l| l.contains(part)).unwrap();

    let cases = [
        ("[backup]\n", "[backup]\nworkerz = 2\n", "workerz"),
        ("# workers = 2", "workers = 2000", "workers = 2000"),
        ("# zstd_level = 3", "zstd_level = \"fast\"", "zstd_level"),
        ("# pack_bytes = \"64MiB\"", "pack_bytes = \"64 parsecs\"", "pack_bytes"),
    ];
    for (from, to, key) in cases {
        site.edit(from, to);
        let text = fs::read_to_string(site.config()).unwrap();
        let outcome = site.backup(&[]).run().exits(4).says(key.split(' ').next().unwrap());
        let place = format!("{file}:{}", line_of(&text, key));
        assert!(outcome.stderr.contains(&place), "{place} is not in {outcome}");
        fs::write(site.config(), &good).unwrap();
    }

    // keys: a wrong recipient, none, and the secret key in its place, which must not be repeated
    let identity = fs::read_to_string(site.path("lifeboat-identity.txt")).unwrap();
    let secret = identity.lines().find(|l| l.starts_with("AGE-SECRET-KEY-")).unwrap();
    let begin = good.find("recipients = [").unwrap();
    let end = begin + good[begin..].find(']').unwrap() + 1;
    for (list, code, said) in [
        ("recipients = [\"age1nobody\"]", 4, "age1nobody"),
        ("recipients = []", 4, "recipient"),
        (&format!("recipients = [\"{secret}\"]"), 4, "recipient"),
    ] {
        fs::write(site.config(), format!("{}{list}{}", &good[..begin], &good[end..])).unwrap();
        let outcome = site.backup(&[]).run().exits(code).says(said);
        assert!(!words(&outcome).contains(&secret[..30]), "the secret key is repeated: {outcome}");
    }
    fs::write(site.config(), &good).unwrap();
    fs::rename(site.path("lifeboat-signing-key"), site.path("k")).unwrap();
    site.backup(&[]).run().says("lifeboat-signing-key");
    fs::rename(site.path("k"), site.path("lifeboat-signing-key")).unwrap();

    // the repository: not there, not initialised, of a newer format
    let nowhere = site.path("nowhere");
    let elsewhere = site.backup(&["--repository", nowhere.to_str().unwrap()]);
    elsewhere.run().exits(9).says("does not exist");
    assert!(!nowhere.exists(), "a backup makes no repository by itself");
    fs::create_dir(&nowhere).unwrap();
    elsewhere.run().exits(9).says("not a Lifeboat repository");
    assert_eq!(fs::read_dir(&nowhere).unwrap().count(), 0);
    let meta = site.path("repo/lifeboat.json");
    let text = fs::read_to_string(&meta).unwrap();
    let newer = text.replace("\"format\": 1", "\"format\": 2").replace("\"format\":1", "\"format\":2");
    assert_ne!(text, newer);
    let _ = fs::remove_file(&meta);
    fs::write(&meta, &newer).unwrap();
    site.backup(&[]).run().exits(9).says("format 2");
    fs::remove_file(&meta).unwrap();
    fs::write(&meta, &text).unwrap();

    assert!(!site.path("repo/instances/prod/snapshots").exists(), "nothing was stored by any of these");
    site.back_up(&[]);

    // what every manifest names by its digest was altered: nothing would count once it is back
    let before = Archive::of(&site).ids();
    for file in ["repo/lifeboat.json", "repo/instances/prod/instance.json"] {
        let file = site.path(file);
        let text = fs::read_to_string(&file).unwrap();
        fs::remove_file(&file).unwrap();
        fs::write(&file, format!("{text} ")).unwrap();
        let outcome = site.backup(&[]).run().exits(9);
        outcome.says("was altered").says("damaged-repository.md");
        fs::remove_file(&file).unwrap();
        fs::write(&file, &text).unwrap();
        assert_eq!(Archive::of(&site).ids(), before, "nothing was stored");
    }
    site.back_up(&[]);

    // another cluster under the same name
    let other = Cluster::start_default();
    let outcome = site.backup(&[]).env("LIFEBOAT_POSTGRES_PORT", other.port().to_string());
    let before = Archive::of(&site).ids();
    outcome.env("LIFEBOAT_POSTGRES_HOST", other.host()).run().exits(9).says("system identifier");
    assert_eq!(Archive::of(&site).ids(), before);
}

#[test]
fn one_agent_at_a_time_and_a_killed_one_stands_in_nobody_s_way() {
    let cluster = Cluster::start_default();
    let s3 = S3::start();
    let local = Site::local(&cluster);
    small_tenant(&cluster, &local.data_dir(), "acme", 12);
    let remote = Site::s3(&cluster, &s3, "p");
    fs::remove_dir_all(remote.data_dir()).unwrap();
    std::os::unix::fs::symlink(local.data_dir(), remote.data_dir()).unwrap();
    let hold = || {
        // the first pack of the running backup is not answered for a while
        s3.faults().clear();
        s3.plan(faults::on("PUT", "/packs/").first(1).delay(std::time::Duration::from_secs(4)))
    };

    let held = hold();
    let first = remote.backup(&[]).spawn();
    held.wait_fired();
    // the same host: the state directory is locked
    remote.backup(&[]).run().exits(15).says("another lifeboat is working on instance prod");
    // another host, that is another state directory: the lease
    let outcome = remote.backup(&[]).env("LIFEBOAT_STATE_DIR", remote.path("other").to_str().unwrap());
    let refused = outcome.run().exits(15).says("is locked by");
    assert!(refused.stderr.contains(&first.pid().to_string()), "{refused}");
    first.finish().ok();
    // given back: another host may at once
    remote.backup(&[]).env("LIFEBOAT_STATE_DIR", remote.path("other").to_str().unwrap()).run().ok();

    // killed: its own host may at once, another one has to wait
    let held = hold();
    let first = remote.backup(&["--kind", "dump"]).spawn();
    held.wait_fired();
    let killed = first.kill9();
    assert_eq!(killed.signal, Some(9));
    s3.faults().clear();
    let outcome = remote.backup(&[]).env("LIFEBOAT_STATE_DIR", remote.path("other").to_str().unwrap());
    outcome.run().exits(15).says("is locked by");
    remote.backup(&[]).run().ok();
    Archive::of(&remote);

    // in a local repository a second state directory meets the file lock
    let lock = local.path("repo/instances/prod/lease");
    local.back_up(&["--kind", "dump"]);
    let file =
        fs::OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&lock).unwrap();
    rustix::fs::flock(&file, rustix::fs::FlockOperation::NonBlockingLockExclusive).unwrap();
    local.backup(&[]).run().exits(15);
    drop(file);
    local.back_up(&[]);
}
