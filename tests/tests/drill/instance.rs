//! A drill of a whole instance: base backup and WAL, production's own pages and indexes, and each tenant.

use std::fs;
use std::io::{Seek, SeekFrom, Write};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use lifeboat_tests::compare::walk;
use lifeboat_tests::installed::hand_over;
use lifeboat_tests::{Program, damage};
use serde_json::Value;

use crate::shop::{Shop, state};

/// A plan for the whole instance, with these lines.
fn plan(shop: &Shop, more: &str) -> Program {
    let program = shop.drill("t1", "");
    let config = shop.site.config().display().to_string();
    let scratch = shop.site.path("scratch");
    fs::create_dir_all(&scratch).unwrap();
    let text = format!(
        "config = {config:?}\ninstance = true\n{more}\n[scratch]\ndir = {:?}\n",
        scratch.display().to_string()
    );
    fs::write(shop.site.path("drill.toml"), text).unwrap();
    program
}

/// Everything that a whole instance needs.
fn back_up(shop: &Shop) {
    shop.back_up(&[]);
    shop.back_up(&["--kind", "base"]);
}

/// A backup that says what is wrong with the source.
fn back_up_with_warnings(shop: &Shop, args: &[&str]) {
    let done = shop.site.run(args).run();
    assert!(matches!(done.code, Some(0 | 3)), "{done}");
    hand_over(&shop.site.path(""));
}

fn reasons(report: &Value) -> String {
    format!("{:#}", report["reasons"])
}

/// The verdict of each tenant, by name.
fn verdicts(report: &Value) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let parts = report["tenants"].as_array().unwrap().iter();
    let mut all: Vec<_> = parts.map(|part| (text(&part["tenant"]), text(&part["verdict"]))).collect();
    all.sort();
    all
}

fn is_clean(shop: &Shop) {
    let left: Vec<_> =
        fs::read_dir(shop.site.path("scratch")).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert!(left.is_empty(), "{left:?}");
}

const OWNED: &str = "CREATE ROLE odoo LOGIN; ALTER DATABASE t2 OWNER TO odoo; DO $$ DECLARE r regclass; BEGIN \
    FOR r IN SELECT oid FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p') LOOP \
    EXECUTE 'ALTER TABLE ' || r || ' OWNER TO odoo'; END LOOP; END $$; \
    ALTER TABLE res_partner ENABLE ROW LEVEL SECURITY; ALTER TABLE res_partner FORCE ROW LEVEL SECURITY";

#[test]
fn a_clean_instance_passes_at_the_end_and_at_any_second() {
    let shop = Shop::made_up(&["t1", "t2"]);
    // As usual: Odoo's own role, which is no superuser, owns the tables.
    shop.cluster.psql("t2", OWNED);
    back_up(&shop);
    std::thread::sleep(std::time::Duration::from_millis(2500)); // a window of seconds
    shop.cluster.psql("t1", "UPDATE res_partner SET write_date = now() WHERE id = 1");
    shop.archive();
    let run = plan(&shop, "").run();
    println!("{}", run.stderr);
    let report = run.ok().json();
    let passed = |name: &str| (name.to_owned(), "passed".to_owned());
    assert_eq!(verdicts(&report), [passed("t1"), passed("t2")], "{report:#}");
    for part in ["archive", "page checksums", "tenants", "indexes", "files", "hard checks"] {
        assert_eq!(state(&report, part), "done", "{part}: {:#}", report["findings"]);
    }
    assert!(report["integrity"]["pages"].as_u64().unwrap() > 1000);
    assert!(report["integrity"]["indexes"].as_u64().unwrap() > 300, "of every database");
    assert!(report.get("tenant").is_none());
    is_clean(&shop);

    // A file that came after the backup of the filestore is no lost file.
    let young = "UPDATE ir_attachment SET create_date = '2020-01-01'; INSERT INTO ir_attachment (name, type, \
                 store_fname, checksum, file_size, create_date) VALUES ('x', 'binary', \
                 'ab/ab4c61ddcc5e8a2dabede0f3b482cd9aea9434d0', 'ab4c61ddcc5e8a2dabede0f3b482cd9aea9434d0', 5, \
                 now() at time zone 'UTC')";
    shop.cluster.psql("t1", young);
    shop.archive();
    let later = plan(&shop, "").run().ok().json();
    assert_eq!((state(&later, "files").as_str(), &later["integrity"]["later"]), ("not-run", &1.into()));

    let random = plan(&shop, "target = \"random\"\nseed = 7").run().ok().json();
    assert_eq!(random["seed"], 7);
    assert_eq!(random["verdict"], "passed");
}

/// The file of a relation, below the data directory; the server is stopped meanwhile.
fn edit(shop: &Shop, database: &str, relation: &str, change: impl Fn(&std::path::Path)) {
    let file = shop.cluster.psql(database, &format!("SELECT pg_relation_filepath('{relation}')"));
    shop.cluster.psql(database, "CHECKPOINT");
    shop.cluster.stop();
    change(&shop.cluster.data_dir().join(file));
    shop.cluster.start_again();
}

#[test]
fn an_index_page_that_is_gone_in_production_is_named() {
    let shop = Shop::made_up(&["t1", "t2"]);
    shop.back_up(&[]);
    let largest = "SELECT c.oid::regclass::text FROM pg_class c JOIN pg_index i ON i.indexrelid = c.oid \
                   JOIN pg_am a ON a.oid = c.relam WHERE a.amname = 'btree' AND c.relnamespace = 'public'::regnamespace \
                   ORDER BY pg_relation_size(c.oid) DESC, 1 LIMIT 1";
    let index = shop.cluster.psql("t2", largest);
    // A page of zeros is a new page: no checksum is wrong, and a dump notices nothing.
    edit(&shop, "t2", &index, |file| {
        let mut open = fs::OpenOptions::new().write(true).open(file).unwrap();
        open.seek(SeekFrom::Start(8192)).unwrap();
        open.write_all(&[0; 8192]).unwrap();
    });
    shop.back_up(&["--kind", "base"]);
    shop.archive();
    let report = plan(&shop, "").run().exits(1).json();
    assert_eq!(state(&report, "page checksums"), "done");
    assert_eq!(state(&report, "indexes"), "failed");
    assert!(reasons(&report).contains("t2: indexes"), "{}", reasons(&report));
    assert!(reasons(&report).contains(&index), "{index}: {}", reasons(&report));
    assert_eq!(verdicts(&report)[0].1, "passed", "t1 is right");
    assert_eq!(verdicts(&report)[1].1, "failed");
    // What the drill of the tenant's dump says of it: indexes are built anew.
    shop.drill("t2", "").run().ok();
}

#[test]
fn a_page_that_rotted_in_production_is_named_with_its_table() {
    let shop = Shop::made_up(&["t1", "t2"]);
    shop.back_up(&[]);
    edit(&shop, "t2", "mail_message", |file| damage::flip_bit(file, (8192 / 2 + 3) * 8));
    back_up_with_warnings(&shop, &["backup", "--kind", "base"]);
    shop.archive();
    let report = plan(&shop, "").run().exits(1).json();
    assert_eq!(state(&report, "page checksums"), "failed", "{}", reasons(&report));
    assert!(
        reasons(&report).contains("t2: page checksums: public.mail_message of database t2"),
        "{}",
        reasons(&report)
    );
    assert_eq!(report["integrity"]["bad_pages"], 1);
    assert_eq!(verdicts(&report)[0], ("t1".to_owned(), "passed".to_owned()), "{}", reasons(&report));
}

#[test]
fn a_damaged_base_backup_fails_the_drill_and_every_tenant() {
    let shop = Shop::made_up(&["t1"]);
    back_up(&shop);
    shop.archive();
    let mut packs = Vec::new();
    walk(&shop.site.path("repo/instances/prod/snapshots"), &mut |path| packs.push(path.to_owned()));
    let size = |path: &PathBuf| fs::metadata(path).unwrap().len();
    let base = packs.into_iter().filter(|path| path.is_file() && path.to_string_lossy().contains("-base-"));
    let largest = base.max_by_key(size).unwrap();
    damage::flip_bit(&largest, size(&largest) * 4);
    let report = plan(&shop, "").run().exits(1).json();
    assert_eq!(state(&report, "restore"), "failed", "{:#}", report["findings"]);
    assert_eq!(verdicts(&report), [("t1".to_owned(), "failed".to_owned())]);
    is_clean(&shop);
    let status = shop.site.run(&["status"]).run().exits(3);
    assert!(lifeboat_tests::site::words(&status).contains("the newest restore drill of t1"), "{status}");
}

#[test]
fn what_is_wrong_with_one_tenant_names_that_tenant() {
    let shop = Shop::made_up(&["t1", "t2", "gone"]);
    let blob = shop.cluster.psql("t2", "SELECT min(store_fname) FROM ir_attachment WHERE file_size > 0");
    fs::remove_file(shop.site.data_dir().join("filestore/t2").join(blob)).unwrap();
    back_up_with_warnings(&shop, &["backup"]);
    shop.cluster.psql("postgres", "DROP DATABASE gone");
    shop.cluster.psql(
        "t1",
        "UPDATE stock_quant SET quantity = quantity + 1 WHERE id = (SELECT min(id) FROM stock_quant)",
    );
    shop.back_up(&["--kind", "base"]);
    shop.archive();
    let run = plan(&shop, "").run().exits(1);
    let report = run.json();
    let told = reasons(&report);
    assert!(told.contains("gone: tenants: a dump of this tenant is stored"), "{told}");
    assert!(told.contains("t1: check STK"), "{told}");
    assert!(told.contains("t2: files: 1 referenced files are missing"), "{told}");
    assert_eq!(report["tenants"].as_array().unwrap().len(), 3);
    assert!(report["tenants"].as_array().unwrap().iter().all(|part| part["verdict"] == "failed"));
    for (tenant, others) in [("t1", "t2: "), ("t2", "t1: ")] {
        let parts = report["tenants"].as_array().unwrap();
        let part = parts.iter().find(|part| part["tenant"] == tenant).unwrap();
        assert!(!part["reasons"].to_string().contains(others), "{part:#}");
    }

    // Two of them are known; the third is not.
    let known = |check: &str| {
        format!("[[accept]]\ncheck = {check:?}\nmax = 1\nreason = \"moved away\"\nuntil = \"2199-01-31\"\n")
    };
    let accepted = plan(&shop, &[known("tenants"), known("files")].concat()).run().exits(1).json();
    assert!(!reasons(&accepted).contains("gone: ") && !reasons(&accepted).contains("t2: "));
    assert!(reasons(&accepted).contains("t1: check STK"));

    // Shown, listed, compared, and known to `status`.
    let drill = |args: &[&str]| {
        let config = shop.site.config();
        Program::restore_drill().args(args.to_vec()).arg("--config").arg(config).run().ok().stdout
    };
    let shown = drill(&["show", "latest"]);
    assert!(shown.contains("instance prod") && shown.contains("t1: check STK"), "{shown}");
    assert!(drill(&["list"]).contains("(instance)"));
    let page = drill(&["report", "latest", "--format", "html"]);
    assert!(page.contains("<h2>Tenants</h2>") && page.contains("Restore drill, whole <strong>instance"));
    let md = drill(&["report", "latest", "--format", "md"]);
    assert!(md.contains("# Restore drill FAILED: instance prod") && md.contains("## Tenants"), "{md}");
    let junit = drill(&["report", "latest", "--format", "junit"]);
    assert!(junit.contains("classname=\"drill.tenant\" name=\"t1\""), "{junit}");
    let first = report["drill"].as_str().unwrap();
    let compared = drill(&["compare", first, "latest"]);
    assert!(compared.contains("tenant t2: failed -> passed"), "{compared}");
    let status = lifeboat_tests::site::words(&shop.site.run(&["status"]).run());
    assert!(status.contains("the newest restore drill of t1") && status.contains("failed"), "{status}");
    assert!(!status.contains("the newest restore drill of t2"), "{status}");
}

#[test]
fn the_next_drill_removes_what_a_killed_one_left() {
    let shop = Shop::made_up(&["t1"]);
    back_up(&shop);
    shop.archive();
    for moment in ["  | restore instance", "  pages "] {
        let run = plan(&shop, "").spawn();
        let deadline = Instant::now() + Duration::from_secs(60);
        while !run.stderr_so_far().contains(moment) {
            assert!(Instant::now() < deadline, "{}", run.stderr_so_far());
            std::thread::sleep(Duration::from_millis(5));
        }
        let killed = run.kill9();
        assert!(!killed.stderr.contains("tear down"), "{killed}");
        plan(&shop, "").run().ok().says("removed ");
        is_clean(&shop);
        let dir = shop.site.path("scratch").display().to_string();
        let left = fs::read_dir("/proc").unwrap().filter_map(|entry| {
            let line = fs::read(entry.ok()?.path().join("cmdline")).ok()?;
            Some(String::from_utf8_lossy(&line).into_owned()).filter(|line| line.contains(&dir))
        });
        assert_eq!(left.collect::<Vec<_>>(), Vec::<String>::new());
    }
}

#[test]
fn what_does_not_go_with_an_instance_is_refused() {
    let shop = Shop::made_up(&["t1"]);
    for (more, said) in [
        ("tenant = \"t1\"", "give either instance or tenants"),
        ("tenants = [\"t*\"]", "give either instance or tenants"),
        ("sample = 1", "it goes with tenants"),
        ("release = \"1.0\"", "to a point in time: use target"),
        ("[odoo]\ncommand = [\"/x\"]", "[odoo] does not go with instance = true"),
    ] {
        plan(&shop, more).run().exits(2).says(said);
    }
    plan(&shop, "").args(["--snapshot", "20261120T015812Z-dump-4f3a9c1e"]).run().exits(2).says("--target");
    plan(&shop, "").args(["--tenant", "t1"]).run().exits(2).says("t1 is no tenant of");
    plan(&shop, "").run().exits(4).says("base backup");
}
