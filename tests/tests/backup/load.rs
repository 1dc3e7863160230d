//! Odoo at work during the backup: the collector is kept out, and whatever is uploaded, deleted
//! and collected meanwhile, every file that the dumped database names is stored. And memory.

use std::fs;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use lifeboat::archive::manifest::SnapshotKind;
use lifeboat_tests::faults::on;
use lifeboat_tests::filestore::Seeded;
use lifeboat_tests::{Cluster, S3, Tenant, children, small_tenant};

use crate::archive::Archive;
use crate::both_kinds::named_by_dump;
use lifeboat_tests::site::Site;

/// The largest resident memory of a backup in the default configuration.
const MEMORY_MAX: u64 = 256 << 20;

#[test]
fn no_collector_starts_while_the_filestore_is_stored() {
    let cluster = Cluster::start_default();
    let s3 = S3::start();
    let site = Site::s3(&cluster, &s3, "f");
    small_tenant(&cluster, &site.data_dir(), "acme", 61);
    let held = s3.plan(on("PUT", "-filestore-").nth(1).delay(std::time::Duration::from_secs(5)));
    let running = site.backup(&[]).env("LIFEBOAT_REPOSITORY_REQUEST_TIMEOUT", "1min").spawn();
    held.wait_fired();
    let collect = "begin; lock ir_attachment in share mode nowait; rollback;";
    let refused = cluster.try_psql("acme", collect).unwrap_err();
    assert!(refused.contains("could not obtain lock"), "{refused}");
    cluster
        .psql("acme", "update ir_attachment set name = name where id = (select min(id) from ir_attachment)");
    running.finish().ok();
    cluster.psql("acme", collect);
}

/// What Odoo's collector does: under its lock, deletes listed files that no row names.
fn collect_garbage(cluster: &Cluster, tenant: &Tenant) {
    let mut listed = Vec::new();
    lifeboat_tests::compare::walk(&tenant.filestore().dir().join("checklist"), &mut |path| {
        if path.is_file() {
            let name = path.strip_prefix(tenant.filestore().dir().join("checklist")).unwrap();
            listed.push((name.to_str().unwrap().to_owned(), path.to_owned()));
        }
    });
    let names: Vec<String> = listed.iter().map(|(name, _)| format!("('{name}')")).collect();
    if names.is_empty() {
        return;
    }
    // the deletion is done by the server inside the locked transaction, as Odoo's is
    let sql = format!(
        "set lock_timeout = '2s'; begin; lock ir_attachment in share mode; \
         select v.n from (values {}) v(n) where not exists (select from ir_attachment where store_fname = v.n); \
         commit;",
        names.join(",")
    );
    let Ok(unused) = cluster.try_psql(&tenant.name, &sql) else { return };
    for name in unused.lines() {
        let _ = fs::remove_file(tenant.filestore().path(name));
    }
    for (_, path) in listed {
        let _ = fs::remove_file(path);
    }
}

#[test]
fn under_load_every_file_that_the_dump_names_is_stored() {
    let cluster = Cluster::start_default();
    let site = Site::local(&cluster);
    let tenant = small_tenant(&cluster, &site.data_dir(), "acme", 62);
    let (stop, rounds) = (AtomicBool::new(false), AtomicU32::new(0));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut random = Seeded::new(62);
            while !stop.load(Ordering::Relaxed) {
                let n = rounds.fetch_add(1, Ordering::Relaxed);
                let bytes = 2000 + n as usize;
                let stored = tenant.upload(&cluster, &format!("load {n}"), &random.noise(bytes));
                if n.is_multiple_of(2) {
                    tenant.filestore().list_for_collection(&stored);
                    cluster
                        .psql("acme", &format!("delete from ir_attachment where store_fname = '{stored}'"));
                }
                if n.is_multiple_of(3) {
                    collect_garbage(&cluster, &tenant);
                }
            }
        });
        for _ in 0..4 {
            let outcome = site.backup(&["--json"]).run();
            if outcome.code != Some(0) {
                stop.store(true, Ordering::Relaxed);
            }
            outcome.ok();
        }
        stop.store(true, Ordering::Relaxed);
    });
    assert!(rounds.load(Ordering::Relaxed) > 10, "there was a load");
    let archive = Archive::of(&site);
    let dumps: Vec<_> = archive.ids().into_iter().filter(|id| id.as_str().contains("-dump-")).collect();
    assert_eq!(dumps.len(), 4);
    for id in dumps {
        let dump = archive.manifest(&id);
        let link = dump.link().unwrap();
        let stored = archive.contents(archive.manifest(&link.snapshot));
        for name in named_by_dump(&cluster, &archive.stream(dump)) {
            let content =
                stored.get(&name).unwrap_or_else(|| panic!("{name} of {id} is not stored ({})", link.fence));
            assert_eq!(lifeboat_tests::filestore::store_fname(content), name);
        }
    }
}

#[test]
fn memory_stays_below_its_bound_with_many_files() {
    let cluster = Cluster::start_default();
    let site = Site::local(&cluster);
    cluster.create_db("many");
    cluster.psql(
        "many",
        "create table ir_module_module (name text, state text, latest_version text); \
        insert into ir_module_module values ('base', 'installed', '17.0.1.3'); \
        create table ir_config_parameter (key text, value text); \
        create table ir_attachment (id serial, store_fname text, file_size int, db_datas bytea)",
    );
    let store = lifeboat_tests::filestore::Filestore::of(&site.data_dir(), "many");
    let mut random = Seeded::new(63);
    let large = random.noise(48 << 20);
    fs::create_dir_all(store.dir()).unwrap();
    for n in 0..2_u8 {
        let mut content = large.clone();
        content[0] = n;
        store.put(&content);
    }
    let mut rows = String::from("copy ir_attachment (store_fname, file_size) from stdin;\n");
    for n in 0..20_000_u32 {
        let content = [&n.to_le_bytes()[..], &large[(n as usize * 97)..][..2_000]].concat();
        rows += &format!("{}\t{}\n", store.put(&content), content.len());
    }
    cluster.psql("many", &(rows + "\\.\n"));
    let mut running = site.backup(&["--json"]).spawn();
    let mut peak = 0;
    while running.is_running() {
        let status = fs::read_to_string(format!("/proc/{}/status", running.pid())).unwrap_or_default();
        let line = status.lines().find(|line| line.starts_with("VmHWM:"));
        let kib = line.and_then(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok());
        peak = peak.max(kib.unwrap_or(0) << 10);
        std::thread::sleep(children::POLL);
    }
    let outcome = running.finish().ok();
    println!("peak {} MiB in {:?}", peak >> 20, outcome.took);
    assert!(peak > 1 << 20 && peak < MEMORY_MAX, "{} MiB", peak >> 20);
    let archive = Archive::of(&site);
    let facts = archive.newest(SnapshotKind::Filestore, Some("many")).filestore().cloned().unwrap();
    assert_eq!((facts.files, facts.problem_files), (20_002, 0));
}
