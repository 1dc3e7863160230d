//! `lifeboat expire`: what stays and for which reasons, what nobody needs any more, and how that is deleted.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant, SystemTime};

use lifeboat_tests::children::{HANGS, POLL, signal};
use lifeboat_tests::compare::walk;
use lifeboat_tests::faults::{self, Served};
use lifeboat_tests::site::Site;
use lifeboat_tests::{Cluster, Outcome, S3, small_tenant};
use rustix::process::Signal;
use serde_json::Value;

use crate::words::{push, segment};

pub const CLASS: &str =
    "\n[class.shops]\ntenants = ['*']\nwindow = '2d'\ndaily = 6\nweekly = 0\nmonthly = 0\n";

/// A backup of so many days ago: by its host's clock, and by the store's.
fn back_up(site: &Site, days: u64) -> (String, String) {
    let folder = site.stored.join("instances/prod/snapshots");
    let folders = || -> Vec<PathBuf> {
        fs::read_dir(&folder).into_iter().flatten().map(|entry| entry.unwrap().path()).collect()
    };
    let before = folders();
    let run = site.backup(&["--tenant", "shop", "--json"]).off_by(&format!("-{days}d"));
    let tenant = run.run().ok().json()["tenants"][0].clone();
    let then = SystemTime::now() - Duration::from_secs(days * 86_400);
    for made in folders().iter().filter(|folder| !before.contains(folder)) {
        walk(made, &mut |path| {
            if path.is_file() {
                fs::File::options().append(true).open(path).unwrap().set_modified(then).unwrap();
            }
        });
    }
    let id = |kind: &str| tenant[kind]["id"].as_str().unwrap().to_owned();
    (id("dump"), id("filestore"))
}

fn plan(site: &Site, more: &[&str]) -> Outcome {
    site.run(&["expire", "--dry-run", "--json"]).args(more.to_vec()).run()
}

pub fn goes(plan: &Value) -> Vec<&str> {
    plan["plan"]["snapshots"].as_array().unwrap().iter().map(|one| one["id"].as_str().unwrap()).collect()
}

pub fn reasons(plan: &Value, id: &str) -> String {
    let all = plan["plan"]["stays"].as_array().unwrap();
    all.iter().find(|one| one["id"] == id).map_or("it goes".to_owned(), |one| one["reasons"].to_string())
}

#[test]
fn what_nobody_promised_goes_and_the_rest_stays_for_a_reason() {
    let cluster = Cluster::start_default();
    let site = Site::local(&cluster);
    small_tenant(&cluster, &site.data_dir(), "shop", 3);
    let old = back_up(&site, 9);
    let start = back_up(&site, 4);
    let day = back_up(&site, 1);
    let newest = back_up(&site, 0);
    plan(&site, &[]).exits(4).says("there is no recovery class");
    let text = fs::read_to_string(site.config()).unwrap();
    fs::write(site.config(), format!("{text}{CLASS}")).unwrap();
    let shown = plan(&site, &[]).ok().json();
    assert!(goes(&shown).contains(&old.0.as_str()), "{shown}");
    assert!(!goes(&shown).iter().any(|id| [&start.0, &day.0, &newest.0].contains(&&(*id).to_owned())));
    // Later filestores have their files in its packs.
    assert!(reasons(&shown, &old.1).contains("needed-by"), "{shown}");
    let of_start = reasons(&shown, &start.0);
    assert!(of_start.contains("window-start") && of_start.contains("daily"), "{of_start}");
    assert!(reasons(&shown, &newest.0).contains("newest"), "{shown}");
    let page = site.run(&["expire", "--dry-run"]).run().ok().stdout;
    assert!(page.contains("shop: 1 snapshot not needed any more") && page.contains(&old.0), "{page}");
    assert!(page.contains("to announce now"), "{page}");
    assert!(site.stored.join("instances/prod/snapshots").join(&old.0).is_dir(), "nothing was deleted");

    // A year later the newest stays, and what it needs.
    let later = plan(&site, &["--as-of", "2028-01-01T00:00:00Z"]).ok().json();
    assert!(
        goes(&later).contains(&start.0.as_str()) && !goes(&later).contains(&newest.0.as_str()),
        "{later}"
    );
    assert!(reasons(&later, &old.1).contains("needed-by"), "{later}");

    // Backups stop: nothing goes because of that. Two years later, by every clock of this host.
    let stopped = site.run(&["expire", "--dry-run", "--json"]).off_by("+730d").run().ok().json();
    assert!(!goes(&stopped).contains(&day.0.as_str()), "{stopped}");
    assert!(stopped["plan"]["notes"].to_string().contains("expiry stops with the backups"), "{stopped}");

    // A clock that went back: no age can be told.
    site.run(&["expire", "--dry-run"]).off_by("-30d").run().exits(16).says("the store's clock says");

    // A damaged manifest may need any filestore: whoever damages it must not make us delete these.
    let manifest = site.stored.join("instances/prod/snapshots").join(&newest.1).join("manifest.json");
    let bytes = fs::read(&manifest).unwrap();
    fs::write(&manifest, b"{}").unwrap();
    let damaged = plan(&site, &["--as-of", "2028-01-01T00:00:00Z"]).exits(3).json();
    assert!(damaged["not_known"].to_string().contains(&newest.1), "{damaged}");
    assert!(!goes(&damaged).iter().any(|id| id.contains("-filestore-")), "{damaged}");
    assert!(!goes(&damaged).contains(&newest.0.as_str()), "it may be whole once more: {damaged}");
    fs::write(&manifest, bytes).unwrap();
}

/// A site with backups of 9, 4, 1 and 0 days ago, and classes under which the first dump goes.
pub fn old_site(cluster: &Cluster) -> (Site, [(String, String); 4]) {
    let site = Site::local(cluster);
    small_tenant(cluster, &site.data_dir(), "shop", 3);
    let all = [9, 4, 1, 0].map(|days| back_up(&site, days));
    set_classes(&site, CLASS);
    (site, all)
}

fn set_classes(site: &Site, classes: &str) {
    let text = fs::read_to_string(site.config()).unwrap();
    let without = text.split("\n[class.").next().unwrap();
    fs::write(site.config(), format!("{without}{classes}")).unwrap();
}

fn expire(site: &Site, later: &str) -> Outcome {
    site.run(&["expire", "--yes", "--json"]).off_by(later).run()
}

fn folder(site: &Site, id: &str) -> PathBuf {
    site.stored.join("instances/prod/snapshots").join(id)
}

#[test]
fn what_goes_is_announced_and_deleted_a_day_later() {
    let cluster = Cluster::start_default();
    let (site, [old, start, _, newest]) = old_site(&cluster);
    site.run(&["expire"]).run().exits(16).says("pass --yes");
    assert!(!site.stored.join("instances/prod/expiry").exists(), "nothing was announced");

    let first = expire(&site, "+0s").ok().json();
    let announced = first["announces"]["snapshots"].to_string();
    assert!(announced.contains(&old.0) && !announced.contains(&start.0), "{first}");
    assert_eq!(first["done"]["objects"], 0, "{first}");
    // A restore says that what it reads is about to go, and from when on.
    let restore = |id: &str, more: &[&str]| {
        site.run(&["restore", "--tenant", "shop", "--dry-run", "--snapshot", id])
            .args(more.to_vec())
            .run()
            .ok()
    };
    let run = first["done"]["announced"].as_str().unwrap();
    for flags in [["--stored-only"].as_slice(), &["--as", "copy", "--identity", "lifeboat-identity.txt"]] {
        let plan = restore(&old.0, flags).stdout;
        let plain = plan.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(
            plain.contains(&format!(
                "expire has announced to delete {}, which is read (tombstone {run})",
                old.0
            )),
            "{plan}"
        );
        assert!(
            plain.contains("it may be deleted from 20") && plain.contains("hold add NAME --snapshot"),
            "{plan}"
        );
        assert!(!restore(&newest.0, flags).stdout.contains("announced to delete"));
    }
    let page = site.run(&["expire", "--yes"]).off_by("+23h").run().ok();
    assert!(page.stdout.contains("nothing is to be announced or deleted now"), "{page}");
    assert!(page.stderr.contains("announced earlier"), "{page}");
    assert!(folder(&site, &old.0).is_dir());
    // A run that is killed after the manifest leaves the rest, which is no damage.
    let (manifest, aside) = (folder(&site, &old.0).join("manifest.json"), site.path("aside"));
    fs::rename(&manifest, &aside).unwrap();
    site.run(&["verify", "--no-progress"]).off_by("+25h").run().ok();
    fs::rename(&aside, &manifest).unwrap();

    let second = expire(&site, "+25h").ok().json();
    assert!(second["deletes"]["snapshots"].to_string().contains(&old.0), "{second}");
    assert!(second["done"]["objects"].as_u64().unwrap() >= 4, "{second}");
    assert!(!folder(&site, &old.0).exists(), "not even its directory stays");
    assert!(folder(&site, &old.1).is_dir(), "its packs hold files of later filestores");
    site.run(&["verify", "--deep", "--no-progress", "--identity", "lifeboat-identity.txt"]).run().ok();
    for (id, copy) in [(&start.0, "copy_a"), (&newest.0, "copy_b")] {
        let restore = ["restore", "--tenant", "shop", "--snapshot", id, "--as", copy, "--yes"];
        site.run(&restore).args(["--identity", "lifeboat-identity.txt"]).run().ok();
    }
    let third = expire(&site, "+26h").ok().json();
    assert!(third["done"].is_null() && third["deletes"]["snapshots"] == serde_json::json!([]), "{third}");
}

#[test]
fn an_announcement_counts_only_as_it_was_signed_and_while_nobody_needs_what_it_names() {
    let cluster = Cluster::start_default();
    let (site, [old, ..]) = old_site(&cluster);
    let tombstones = || -> Vec<PathBuf> {
        let mut found = Vec::new();
        walk(&site.stored.join("instances/prod/expiry"), &mut |path| {
            found.extend(path.ends_with("tombstone.json").then(|| path.to_owned()));
        });
        found
    };
    expire(&site, "+0s").ok();
    let [tombstone] = tombstones().try_into().unwrap();
    // Somebody without a key writes another snapshot into it, or a signature for it.
    let text = fs::read_to_string(&tombstone).unwrap();
    fs::write(&tombstone, text.replace("\"batches\": []", "\"batches\": [ ]")).unwrap();
    let shown = site.run(&["expire", "--dry-run", "--json"]).off_by("+25h").run().exits(3).json();
    assert!(shown["not_believed"].to_string().contains("does not match"), "{shown}");
    assert_eq!(shown["deletes"]["snapshots"], serde_json::json!([]), "{shown}");
    assert!(shown["announces"]["snapshots"].to_string().contains(&old.0), "{shown}");
    fs::write(&tombstone, &text).unwrap();

    // A class promises more now: what was announced is needed after all. Later it is not, once more.
    set_classes(&site, &CLASS.replace("'2d'", "'30d'"));
    let wider = expire(&site, "+25h").ok().json();
    assert_eq!(wider["withdraws"].as_array().unwrap().len(), 1, "{wider}");
    assert!(tombstones().is_empty() && folder(&site, &old.0).is_dir(), "{wider}");
    set_classes(&site, CLASS);
    let again = expire(&site, "+26h").ok().json();
    assert!(again["announces"]["snapshots"].to_string().contains(&old.0), "{again}");
    assert!(folder(&site, &old.0).is_dir(), "it has its own grace: {again}");

    // A run that is killed while it deletes: the manifest is gone, the rest is deleted later.
    fs::remove_file(folder(&site, &old.0).join("manifest.json")).unwrap();
    let rest = expire(&site, "+27h").ok().json();
    assert!(rest["announces"]["unfinished"].to_string().contains(&old.0), "{rest}");
    expire(&site, "+55h").ok();
    assert!(!folder(&site, &old.0).exists());
}

#[test]
fn a_run_that_would_delete_much_is_refused() {
    let cluster = Cluster::start_default();
    let (site, all) = old_site(&cluster);
    set_classes(
        &site,
        "\n[class.shops]\ntenants = ['*']\nwindow = '0s'\ndaily = 1\nweekly = 0\nmonthly = 0\n",
    );
    expire(&site, "+3d").exits(16).says("the limit is 30 %").says("--max-percent");
    assert!(!site.stored.join("instances/prod/expiry").exists());
    site.run(&["expire", "--yes", "--max-percent", "100"]).off_by("+3d").run().ok();
    expire(&site, "+4d").ok();
    assert!(!folder(&site, &all[0].0).exists() && folder(&site, &all[3].0).is_dir());
    site.run(&["verify", "--no-progress"]).run().ok();
}

/// WAL and base backups that no window holds go as well: what is left can be restored, and no check
/// complains.
#[test]
fn wal_and_base_backups_go_with_the_window() {
    let cluster = Cluster::start_default();
    cluster.psql("postgres", "alter system set wal_keep_size = '1GB'");
    cluster.psql("postgres", "select pg_reload_conf()");
    let site = Site::local(&cluster);
    let wal = || -> Vec<PathBuf> {
        let mut found = Vec::new();
        walk(&site.stored.join("instances/prod/wal"), &mut |path| {
            found.extend(path.to_string_lossy().ends_with(".zst.age").then(|| path.to_owned()));
        });
        found
    };
    // Four base backups, each with the WAL after it, of 12, 8, 4 and 0 days ago.
    let (mut bases, mut before, mut pushed) = (Vec::new(), BTreeSet::new(), BTreeSet::new());
    for days in [12, 8, 4, 0] {
        let run = site.backup(&["--kind", "base", "--full", "--json"]).off_by(&format!("-{days}d"));
        let made = run.run().ok().json();
        bases.push(made["manifest"]["id"].as_str().unwrap().to_owned());
        let last = segment(&cluster);
        let complete =
            |path: &PathBuf| path <= &last && path.to_string_lossy().len() == last.to_string_lossy().len();
        let mut files = Vec::new();
        walk(&cluster.data_dir().join("pg_wal"), &mut |path| files.push(path.to_owned()));
        files
            .iter()
            .filter(|path| complete(path) && pushed.insert((*path).clone()))
            .for_each(|path| push(&site, path));
        let then = SystemTime::now() - Duration::from_secs(days * 86_400);
        walk(&site.stored, &mut |path| {
            if path.is_file() && before.insert(path.to_owned()) {
                fs::File::options().append(true).open(path).unwrap().set_modified(then).unwrap();
            }
        });
    }
    set_classes(&site, "\n[class.all]\ntenants = ['*']\nwindow = '2d'\ndaily = 0\nweekly = 0\nmonthly = 0\n");
    site.run(&["verify", "--no-progress"]).run().ok();
    let all = wal().len();
    site.run(&["expire", "--yes", "--max-percent", "100", "--json"]).run().ok();
    let done = expire(&site, "+25h").ok().json();
    assert!(done["deletes"]["wal_objects"].as_u64().unwrap() > 0, "{done}");
    assert!(!folder(&site, &bases[0]).exists() && !folder(&site, &bases[1]).exists(), "{done}");
    assert!(folder(&site, &bases[2]).is_dir() && folder(&site, &bases[3]).is_dir(), "{done}");
    assert!(wal().len() < all && wal().len() >= all / 3, "{} of {all}", wal().len());
    site.run(&["verify", "--no-progress"]).run().ok();
    let rescued = site.path("rescued");
    let restore = site.run(&["restore", "--yes", "--instance-to"]).arg(&rescued);
    restore.args(["--identity", "lifeboat-identity.txt"]).run().ok();
}

/// A backup that is stopped for days looks like one that was killed. It must not publish what expire deleted.
#[test]
fn a_backup_that_slept_past_the_grace_does_not_publish() {
    let (cluster, s3) = (Cluster::start_default(), S3::start());
    let site = Site::s3(&cluster, &s3, "odoo");
    small_tenant(&cluster, &site.data_dir(), "shop", 3);
    site.back_up(&["--tenant", "shop"]);
    set_classes(&site, CLASS);
    // In one piece, or the last request of several.
    let stores = |served: &Served| match served.method.as_str() {
        "PUT" => !served.query.contains("partNumber"),
        method => method == "POST" && served.query.contains("uploadId"),
    };
    let (pid, is_asleep) = (Arc::new(AtomicU32::new(0)), Arc::new(AtomicBool::new(false)));
    let (sleeper, asleep) = (pid.clone(), is_asleep.clone());
    let sleeps = move |_: &Served| {
        while sleeper.load(Ordering::SeqCst) == 0 {
            std::thread::sleep(POLL);
        }
        signal(sleeper.load(Ordering::SeqCst), Signal::STOP);
        asleep.store(true, Ordering::SeqCst);
    };
    s3.plan(faults::on("*", "index.zst.age").only(stores).first(1).land_and_call(sleeps));
    let backup = site.backup(&["--kind", "filestore", "--tenant", "shop"]).spawn();
    pid.store(backup.pid(), Ordering::SeqCst);
    let begun = Instant::now();
    while !is_asleep.load(Ordering::SeqCst) {
        assert!(begun.elapsed() < HANGS, "it never stored an index");
        std::thread::sleep(POLL);
    }

    let folder = "odoo/instances/prod/snapshots";
    let keys = s3.keys(folder);
    let of = |key: &str| key[folder.len() + 1..].split('/').next().unwrap().to_owned();
    let published: BTreeSet<String> =
        keys.iter().filter(|key| key.ends_with("manifest.json")).map(|key| of(key)).collect();
    let asleep = keys.iter().map(|key| of(key)).find(|id| !published.contains(id)).unwrap();
    let asleep_folder = format!("{folder}/{asleep}");
    let day = Duration::from_secs(86_400);
    s3.age(&asleep_folder, 5 * day);
    let first = site.run(&["expire", "--yes", "--json"]).run().ok().json();
    assert!(first["announces"]["unfinished"].to_string().contains(&asleep), "{first}");
    s3.age("odoo/instances/prod/expiry", day + Duration::from_secs(60));
    let second = site.run(&["expire", "--yes", "--json"]).run().ok().json();
    assert_eq!(second["deletes"]["unfinished"], serde_json::json!([asleep]), "{second}");
    assert!(s3.keys(&asleep_folder).is_empty(), "{second}");

    backup.signal(Signal::CONT);
    let woken = backup.finish();
    assert!(woken.code != Some(0) && woken.stderr.contains("is being deleted as unfinished"), "{woken}");
    assert!(!s3.keys(&asleep_folder).iter().any(|key| key.ends_with("manifest.json")), "{woken}");
    site.back_up(&["--kind", "filestore", "--tenant", "shop"]);
    site.run(&["verify", "--no-progress"]).run().ok();
}
