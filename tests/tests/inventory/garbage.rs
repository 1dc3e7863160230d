//! `lifeboat expire`: what belongs to no snapshot goes by its age alone, and what Lifeboat did not write
//! stays.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::mpsc::channel;
use std::time::{Duration, SystemTime};

use lifeboat::archive::manifest::Origin;
use lifeboat::archive::signature::SigningKey;
use lifeboat::archive::suspicion::SuspicionRecord;
use lifeboat::config::{Config, Inputs};
use lifeboat::repository::Repository;
use lifeboat_tests::children::HANGS;
use lifeboat_tests::compare::walk;
use lifeboat_tests::faults;
use lifeboat_tests::site::Site;
use lifeboat_tests::{Cluster, Program, S3, small_tenant};
use serde_json::Value;

use crate::expire::CLASS;

const DAY: Duration = Duration::from_secs(86_400);

fn give_class(site: &Site) {
    let text = fs::read_to_string(site.config()).unwrap();
    fs::write(site.config(), format!("{text}{CLASS}")).unwrap();
}

/// Makes a file, or all below a directory, so much older.
fn age(path: &Path, by: Duration) {
    let older = |path: &Path| {
        let file = fs::File::options().append(true).open(path).unwrap();
        file.set_modified(SystemTime::now() - by).unwrap();
    };
    if path.is_file() {
        return older(path);
    }
    walk(path, &mut |path| {
        if path.is_file() {
            older(path);
        }
    });
}

fn write(path: &Path, days: u32) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, "left").unwrap();
    age(path, days * DAY);
}

/// Stores the signed record of a suspicious backup, as a backup does.
fn suspicion(site: &Site, dump: &str, keep: Duration) {
    let text = fs::read_to_string(site.config()).unwrap();
    let config = Config::parse(&site.config(), &text, &Inputs::default()).unwrap();
    let store = async {
        let repository = Repository::configured(&config).await.unwrap();
        let origin: Origin = repository.origin().await.unwrap();
        let key = SigningKey::load(config.signing.key_file.as_deref().unwrap()).unwrap();
        let of = (dump.parse().unwrap(), "shop".parse().unwrap());
        let record = SuspicionRecord::new(origin, of, vec!["rows-gone".to_owned()], Vec::new(), keep);
        let place = repository.suspicion_record(&record.snapshot);
        place.write(repository.store(), record.to_json().unwrap(), &key).await.unwrap();
    };
    tokio::runtime::Runtime::new().unwrap().block_on(store);
}

fn of_garbage(json: &Value) -> Vec<&str> {
    json["plan"]["garbage"].as_array().unwrap().iter().map(|one| one["name"].as_str().unwrap()).collect()
}

#[test]
fn garbage_is_announced_and_deleted_and_what_is_foreign_or_young_stays() {
    let cluster = Cluster::start_default();
    let site = Site::local(&cluster);
    small_tenant(&cluster, &site.data_dir(), "shop", 3);
    let done = site.back_up(&["--tenant", "shop"])["tenants"][0].clone();
    let dump = done["dump"]["id"].as_str().unwrap();
    give_class(&site);
    let instance = site.stored.join("instances/prod");
    let own = instance.join("snapshots").join(dump);
    // Old drills of two tenants: of shop, a newer report is stored as well.
    small_tenant(&cluster, &site.data_dir(), "mill", 4);
    site.back_up(&["--tenant", "mill"]);
    let drills = || -> Vec<PathBuf> {
        let found = fs::read_dir(instance.join("drills")).into_iter().flatten();
        found.map(|entry| entry.unwrap().path()).collect()
    };
    let drill = |tenant: &str, days: u32| -> PathBuf {
        let before = drills();
        site.drill(tenant, "").run();
        let made = drills().into_iter().find(|one| !before.contains(one)).unwrap();
        age(&made, days * DAY);
        made
    };
    let (oldest, of_mill, older) = (drill("shop", 600), drill("mill", 600), drill("shop", 500));
    let newest = drill("shop", 0);

    let goes = [
        own.join("packs/000099.tar.zst.age"),
        site.stored.join("probe/probe-0011223344556677"),
        instance.join("suspicions").join(format!("{dump}.json")),
    ];
    let stays = [
        own.join("packs/000098.tar.zst.age"),
        own.join("notes.txt"),
        instance.join("snapshots/lost+found/notes.txt"),
        of_mill.join("report.json"),
        newest.join("report.json"),
    ];
    write(&goes[0], 3);
    write(&goes[1], 3);
    suspicion(&site, dump, Duration::from_secs(3_600));
    age(&goes[2], 3 * DAY);
    write(&stays[0], 0);
    write(&stays[1], 3);
    write(&stays[2], 3);
    let batch =
        instance.join("arrivals/20261101/20261101T000000Z-arrivals-00000000/packs/000000.tar.zst.age");
    write(&batch, 3);
    let staged = own.join("packs/000000.tar.zst.age#77");
    let running = own.join("packs/000001.tar.zst.age#78");
    write(&staged, 3);
    write(&running, 0);

    let page = site.run(&["expire", "--dry-run"]).run().ok().stdout;
    assert!(page.contains("foreign, never deleted: instances/prod/snapshots/lost+found/notes.txt"), "{page}");
    let shown = site.run(&["expire", "--yes", "--json", "--max-percent", "60"]).run().ok().json();
    let garbage = of_garbage(&shown);
    for path in goes.iter().chain([&oldest, &older]) {
        let key = path.strip_prefix(&site.stored).unwrap().to_str().unwrap();
        assert!(garbage.contains(&key), "{key}: {shown}");
        assert!(shown["announces"]["garbage"].to_string().contains(key), "{shown}");
    }
    assert_eq!(garbage.len(), 5, "{shown}");
    assert_eq!(shown["done"]["uploads"], 1, "{shown}");
    assert!(!staged.exists() && running.exists(), "what is still written stays");
    assert!(goes.iter().chain([&batch]).all(|path| path.exists()), "only announced: {shown}");

    // Whoever can write stores a piece of it again: that withdraws nothing of the rest.
    let withdrawn = |program: Program| program.run().ok().json()["withdraws"].as_array().unwrap().len();
    let plan = || site.run(&["expire", "--dry-run", "--json"]);
    write(&goes[1], 0);
    assert_eq!(withdrawn(plan()), 0);
    write(&goes[1], 3);
    // Reports that are kept for longer since: the tombstone goes.
    assert_eq!(withdrawn(plan().env("LIFEBOAT_EXPIRE_DRILLS", "3650d")), 1);

    // A day later the young object is as old, and is announced then.
    let second = site.run(&["expire", "--yes", "--json"]).off_by("+25h").run().ok().json();
    assert!(goes.iter().chain([&oldest, &older, &batch]).all(|path| !path.exists()), "{second}");
    assert!(stays.iter().all(|path| path.exists()), "{second}");
    let verify = site.run(&["verify", "--no-progress"]).run();
    assert!(verify.code == Some(0) && !verify.stdout.contains("bad:"), "{verify}");
}

#[test]
fn a_first_run_that_would_delete_most_reports_is_refused() {
    let cluster = Cluster::start_default();
    let site = Site::local(&cluster);
    small_tenant(&cluster, &site.data_dir(), "shop", 3);
    site.back_up(&["--tenant", "shop"]);
    give_class(&site);
    for number in 0..4 {
        write(
            &site.stored.join(format!("instances/prod/drills/20200101T000000Z-drill-{number}/report.md")),
            900,
        );
    }
    site.run(&["expire", "--yes"]).run().exits(16).says("would announce 100 %");
    assert!(!site.stored.join("instances/prod/expiry").exists());
}

#[test]
fn an_upload_goes_when_nothing_of_it_was_stored_for_a_grace_and_a_running_one_never() {
    let (cluster, s3) = (Cluster::start_default(), S3::start());
    let site = Site::s3(&cluster, &s3, "odoo");
    let tenant = small_tenant(&cluster, &site.data_dir(), "shop", 3);
    site.back_up(&["--tenant", "shop"]);
    give_class(&site);
    // Larger than a part: what cannot be compressed.
    let mut noise = vec![0; 24 << 20];
    fs::File::open("/dev/urandom")
        .and_then(|mut file| std::io::Read::read_exact(&mut file, &mut noise))
        .unwrap();
    tenant.filestore().put(&noise);
    let (reached, waits) = channel();
    let (go, gone) = channel::<()>();
    let gone = std::sync::Mutex::new(gone);
    let stops = move |_: &faults::Served| {
        reached.send(()).unwrap();
        let _ = gone.lock().unwrap().recv_timeout(HANGS);
    };
    s3.plan(faults::on("POST", "uploadId").first(1).call(stops));
    let backup = site.backup(&["--kind", "filestore", "--tenant", "shop"]).spawn();
    waits.recv_timeout(HANGS).expect("no multipart upload was about to be completed");

    // Begun days ago, and its newest part was stored just now.
    s3.age_uploads(5 * DAY, false);
    let running = site.run(&["expire", "--yes", "--json"]).run().ok().json();
    assert_eq!(running["plan"]["uploads"], serde_json::json!([]), "{running}");
    assert_eq!(s3.open_uploads(), 1);
    go.send(()).unwrap();
    let done = backup.finish();
    assert_eq!(done.code, Some(0), "{done}");

    // The same, killed.
    let hangs = s3.plan(faults::on("POST", "uploadId").first(1).hang());
    tenant.filestore().put(&noise[1..]);
    let backup = site.backup(&["--kind", "filestore", "--tenant", "shop"]).spawn();
    hangs.wait_fired();
    backup.kill9();
    assert_eq!(s3.open_uploads(), 1);
    s3.age_uploads(5 * DAY, true);
    let killed = site.run(&["expire", "--yes", "--json"]).run().ok().json();
    assert_eq!(killed["done"]["uploads"], 1, "{killed}");
    assert_eq!(s3.open_uploads(), 0);
    site.back_up(&["--kind", "filestore", "--tenant", "shop"]);
    site.run(&["verify", "--no-progress"]).run().ok();
}
