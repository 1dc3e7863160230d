//! `repository.lock`: what a backup stores is locked as long as its class promises, and a thief cannot delete
//! it.

use lifeboat_tests::site::Site;
use lifeboat_tests::{Cluster, Ministack, Program, small_tenant};

use super::bucket;

/// What every test here promises: locks of two days and more.
pub const CLASS: &str = "\n[class.all]\ntenants = ['*']\nwindow = '1h'\ndaily = 3\nweekly = 0\nmonthly = 0\n";

/// A site whose repository is locked.
pub fn site(cluster: &Cluster, server: &Ministack) -> Site {
    let mut site = Site::s3(cluster, server.s3(), "p");
    site.set("LIFEBOAT_REPOSITORY_LOCK", "governance");
    let text = std::fs::read_to_string(site.config()).unwrap();
    std::fs::write(site.config(), format!("{text}{CLASS}")).unwrap();
    site
}

/// A server with a small tenant, and a site whose repository is locked.
pub fn shop(server: &Ministack, seed: u64) -> (Cluster, Site) {
    let cluster = Cluster::start_default();
    let site = site(&cluster, server);
    small_tenant(&cluster, &site.data_dir(), "shop", seed);
    (cluster, site)
}

/// Keys below a prefix with their version, the latest first; markers are left out.
pub fn stored(server: &Ministack, prefix: &str) -> Vec<(String, String)> {
    let answer = server.expect("GET", &format!("?versions&prefix={prefix}"), &[], "");
    let field = |text: &str, name: &str| {
        let (_, rest) = text.split_once(&format!("<{name}>")).unwrap();
        rest.split_once('<').unwrap().0.to_owned()
    };
    let versions = answer.split("<Version>").skip(1);
    versions.map(|one| (field(one, "Key"), field(one, "VersionId"))).collect()
}

/// When the lock of a version ends.
pub fn locked_until(server: &Ministack, key: &str, id: &str) -> Option<String> {
    let (_, answer) = server.ask("GET", &format!("/{key}?retention&versionId={id}"), &[], "");
    Some(answer.split_once("<RetainUntilDate>")?.1.split_once('<')?.0.to_owned())
}

#[test]
fn everything_that_a_backup_stores_is_locked_and_a_thief_cannot_delete_it() {
    let server = bucket!();
    let (_cluster, site) = shop(&server, 5);
    site.backup(&[]).run().ok();
    let all = stored(&server, "p/instances/");
    let (mut locked, mut open) = (Vec::new(), Vec::new());
    for (key, id) in &all {
        match locked_until(&server, key, id) {
            Some(_) => locked.push((key.as_str(), id)),
            None => open.push(key.as_str()),
        }
    }
    assert!(open.iter().all(|key| key.ends_with("/lease")), "not locked: {open:?}");
    for name in ["instance.json", "manifest.json", "manifest.json.sig", "packs/000000", "index"] {
        assert!(locked.iter().any(|(key, _)| key.contains(name)), "{name} in {locked:?}");
    }
    for (key, id) in &locked {
        let (status, _) = server.ask("DELETE", &format!("/{key}?versionId={id}"), &[], "");
        assert_eq!(status, 403, "{key} was deleted");
    }
}

#[test]
fn wal_and_base_backups_are_locked_as_well() {
    let server = bucket!();
    let cluster = Cluster::start_default();
    let site = site(&cluster, &server);
    site.back_up(&["--kind", "base"]);
    cluster.psql("postgres", "create table filled as select generate_series(1, 100)");
    let name = cluster.psql("postgres", "select pg_walfile_name(pg_switch_wal())");
    let path = cluster.data_dir().join("pg_wal").join(name.trim());
    site.run(&["wal", "push"]).arg(path).run().ok();
    for prefix in ["p/instances/prod/wal/0", "p/instances/prod/snapshots/"] {
        let all = stored(&server, prefix);
        assert!(!all.is_empty(), "{prefix}");
        for (key, id) in &all {
            assert!(locked_until(&server, key, id).is_some(), "{key}");
        }
    }
    // Expire knows these objects as well.
    let done = site.run(&["expire", "--yes", "--json"]).run().exits(3).json();
    let kept = stored(&server, "p/instances/").iter().filter(|(key, _)| !key.ends_with("/lease")).count();
    assert_eq!(done["locks"]["checked"], kept + 1, "with lifeboat.json: {done}");
    assert_eq!(done["locks"]["too_short_keys"], serde_json::json!(["lifeboat.json"]), "{done}");
}

#[test]
fn init_locks_what_makes_the_place_a_repository() {
    let server = bucket!();
    let dir = tempfile::tempdir().unwrap();
    let init = |url: &str, name: &str| {
        let cwd = dir.path().join(name);
        std::fs::create_dir(&cwd).unwrap();
        let program = Program::lifeboat().cwd(cwd).envs(server.s3().env());
        program.args([
            "init",
            "--instance",
            "prod",
            "--repository",
            url,
            "--set",
            "repository.lock=compliance",
        ])
    };
    let set = ["--set", "repository.allow_http=true", "--set"];
    let endpoint = format!("repository.endpoint={}", server.s3().endpoint());
    init(&server.s3().url("q"), "a").args(set).args([endpoint]).run().ok();
    let (key, id) = stored(&server, "q/lifeboat.json").remove(0);
    assert!(locked_until(&server, &key, &id).is_some());
    // Where nothing can be locked, there is no repository.
    let local = dir.path().join("repo").display().to_string();
    init(&local, "b").run().exits(4);
    assert!(!dir.path().join("repo/lifeboat.json").exists());
}

#[test]
fn a_backup_whose_objects_cannot_be_locked_publishes_nothing() {
    let server = bucket!();
    let (cluster, site) = shop(&server, 5);
    let denied = server.s3().plan(lifeboat_tests::faults::on("GET", "retention").respond(403));
    let outcome = site.backup(&[]).run();
    assert_eq!(outcome.code, Some(6), "{outcome:?}");
    assert!(denied.fired() > 0 && outcome.stderr.contains("without the lock"), "{outcome:?}");
    let manifests = stored(&server, "p/").into_iter().filter(|(key, _)| key.ends_with("manifest.json"));
    assert_eq!(manifests.count(), 0);
    // In a place without locks a backup does not even begin.
    let site = Site::local(&cluster);
    let outcome = site.backup(&[]).env("LIFEBOAT_REPOSITORY_LOCK", "compliance").run().exits(4);
    assert!(outcome.stderr.contains("a directory has no locks"), "{outcome:?}");
}
