//! What comes back is what went in, to the row and to the byte.

use lifeboat_tests::compare::{assert_same_database, assert_same_tree};
use lifeboat_tests::site::Site;
use lifeboat_tests::{Cluster, S3, load_real, real_tenants, skip, small_tenant};

use crate::{drill, restore};

/// Backs up, restores as the real thing under another name, compares all of it.
pub fn there_and_back(cluster: &Cluster, site: &Site, tenant: &str, copy: &str) {
    let done =
        restore(site, &["--tenant", tenant, "--as", copy, "--no-neutralize", "--json"]).run().ok().json();
    assert_eq!(done["baseline"]["differences"].as_array().unwrap().len(), 0);
    assert!(done["baseline"]["tables"].as_u64().unwrap() > 10);
    assert_same_database((cluster, tenant), (cluster, copy));
    let filestores = site.data_dir().join("filestore");
    assert_same_tree(&filestores.join(tenant), &filestores.join(copy));
    let left: Vec<_> = std::fs::read_dir(&filestores).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert!(left.iter().all(|name| !name.to_string_lossy().contains("lifeboat")), "{left:?}");
    let owner = "SELECT pg_get_userbyid(datdba), datistemplate, datacl IS NULL, shobj_description(oid, 'pg_database') \
                 FROM pg_database WHERE datname = ";
    let said = |name: &str| cluster.psql("postgres", &format!("{owner}'{name}'"));
    let (was, is) = (said(tenant), said(copy));
    assert_eq!(was.split('|').next(), is.split('|').next(), "the owner is the same");
    assert!(is.contains("|f|"), "it is open: {is}");
}

#[test]
fn a_small_tenant_comes_back_from_a_directory_also_after_changes() {
    let cluster = Cluster::start_default();
    let site = Site::local(&cluster);
    let tenant = small_tenant(&cluster, &site.data_dir(), "shop", 7);
    site.back_up(&["--release", "r1"]);
    there_and_back(&cluster, &site, "shop", "copy1");
    // A chain: files come, files go, one is cut into extents.
    tenant.upload(
        &cluster,
        "big.bin",
        &(0..9_500_000u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect::<Vec<_>>(),
    );
    site.back_up(&["--release", "r2"]);
    tenant.upload(&cluster, "late.txt", b"came late");
    cluster
        .psql("shop", "UPDATE res_partner SET name = 'changed' WHERE id = (SELECT max(id) FROM res_partner)");
    site.back_up(&["--release", "r3"]);
    there_and_back(&cluster, &site, "shop", "copy3");
    // An older release still gives its own state.
    restore(&site, &["--tenant", "shop", "--release", "r1", "--as", "copy1again", "--no-neutralize"])
        .run()
        .ok();
    assert_same_database((&cluster, "copy1"), (&cluster, "copy1again"));
    let filestores = site.data_dir().join("filestore");
    assert_same_tree(&filestores.join("copy1"), &filestores.join("copy1again"));
}

#[test]
fn a_small_tenant_comes_back_from_s3_and_a_copy_is_silent() {
    let cluster = Cluster::start_default();
    let s3 = S3::start();
    let site = Site::s3(&cluster, &s3, "dr");
    small_tenant(&cluster, &site.data_dir(), "shop", 8);
    cluster.psql("shop", "create table far_feed (token text); insert into far_feed values ('hush')");
    site.back_up(&[]);
    there_and_back(&cluster, &site, "shop", "copy");
    let done = restore(&site, &["--tenant", "shop", "--as", "silent", "--json"]).run().ok().json();
    assert!(
        done["plan"]["neutralize"].as_bool().unwrap(),
        "another name is a copy, and copies are neutralized"
    );
    let unknown = &done["neutralized"]["unknown"];
    let feed = unknown["listed"].as_array().unwrap().iter().find(|one| one["name"] == "far_feed.token");
    let feed = feed.unwrap_or_else(|| panic!("{unknown}"));
    assert_eq!(
        (&feed["kind"], &feed["origin"], &feed["rows"]),
        (&"column".into(), &"nobody".into(), &1.into())
    );
    let said = done["warnings"].to_string();
    assert!(
        said.contains("not neutralized, look at it: column far_feed.token, of no module, 1 row"),
        "{said}"
    );
    let live = "SELECT (SELECT count(*) FROM ir_mail_server WHERE active AND smtp_host NOT LIKE '%.invalid'), \
                (SELECT count(*) FROM mail_mail WHERE state = 'outgoing'), \
                (SELECT value FROM ir_config_parameter WHERE key = 'database.is_neutralized')";
    assert_eq!(cluster.psql("silent", live).trim().to_lowercase(), "0|0|true");
    let uuid = "SELECT value FROM ir_config_parameter WHERE key = 'database.uuid'";
    assert_ne!(cluster.psql("silent", uuid), cluster.psql("shop", uuid));
    // The disaster: the tenant itself is gone, and comes back as itself, live.
    cluster.psql("postgres", "DROP DATABASE shop WITH (FORCE)");
    let filestore = site.data_dir().join("filestore/shop");
    std::fs::remove_dir_all(&filestore).unwrap();
    let back = restore(&site, &["--tenant", "shop", "--as", "shop", "--json"]).run().ok().json();
    assert!(!back["plan"]["neutralize"].as_bool().unwrap(), "its own name is the real thing");
    assert_same_database((&cluster, "copy"), (&cluster, "shop"));
    assert_same_tree(&site.data_dir().join("filestore/copy"), &filestore);
}

#[test]
fn the_real_tenants_come_back_and_pass_a_drill() {
    let names = real_tenants();
    if names.is_empty() {
        skip!("no real tenants on this machine");
    }
    let cluster = Cluster::start_default();
    let site = Site::local(&cluster);
    for name in &names {
        load_real(&cluster, &site.data_dir(), name, name).unwrap();
    }
    site.back_up(&[]);
    for name in &names {
        there_and_back(&cluster, &site, name, &format!("{name}_copy"));
    }
    for name in &names {
        drill(&site, name, "").run().ok();
    }
}

#[test]
fn a_drill_passes_on_good_data_and_fails_on_broken_books() {
    let cluster = Cluster::start_default();
    let site = Site::local(&cluster);
    small_tenant(&cluster, &site.data_dir(), "shop", 9);
    site.back_up(&[]);
    let passed = drill(&site, "shop", "").run().ok();
    assert!(passed.stderr.contains("PASSED"), "{}", passed.stderr);
    let drills = site.path("lifeboat-repository/instances/prod/drills");
    let drills = if drills.exists() { drills } else { site.path("repo/instances/prod/drills") };
    let report = std::fs::read_dir(&drills).unwrap().next().unwrap().unwrap().path();
    for name in ["report.json", "report.md", "report.html", "junit.xml", "report.json.sig"] {
        assert!(report.join(name).exists(), "{name}");
    }
    let status = site.run(&["status"]).run().ok();
    assert!(status.stdout.contains("last drill   shop: passed"), "{status}");
    // The books no longer balance: the backup is faithful, and the drill says that the data is not right.
    cluster.psql(
        "shop",
        "UPDATE stock_quant SET quantity = quantity + 1 WHERE id = (SELECT min(id) FROM stock_quant)",
    );
    site.back_up(&[]);
    let failed = drill(&site, "shop", "").run().exits(1);
    let status = site.run(&["status"]).run().exits(3);
    let words = status.stdout.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(
        words.contains("problem: the newest restore drill of shop, at ") && words.contains(" failed: check "),
        "{status}"
    );
    assert_eq!(site.run(&["status", "--json"]).run().exits(3).json()["drills"][0]["verdict"], "failed");
    let words = failed.stderr.lines().filter_map(|line| line.trim().strip_prefix("- check "));
    let found: Vec<(String, u64)> = words
        .map(|said| said.split_once(": ").unwrap())
        .map(|(id, said)| (id.to_owned(), said.split(' ').next().unwrap().parse().unwrap()))
        .collect();
    assert!(!found.is_empty(), "{failed}");
    // Known ones fail no drill, and no report is silent about them.
    let accept = |until: &str| -> String {
        let entry = |(id, n): &(String, u64)| {
            format!("[[accept]]\ncheck = {id:?}\nmax = {n}\nreason = \"ticket 4711\"\nuntil = {until:?}\n")
        };
        found.iter().map(entry).collect()
    };
    let known = drill(&site, "shop", &accept("2999-12-31")).arg("--json").run().ok();
    for (id, n) in &found {
        let line = format!("accepted: {id}: {n} violations (at most {n}, until 2999-12-31): ticket 4711");
        assert!(known.stderr.contains(&line), "{known}");
    }
    let report = known.json();
    assert_eq!(report["summary"]["hard"]["accepted"], found.len() as u64, "{known}");
    let stored = drills.join(report["drill"].as_str().unwrap()).join("report.md");
    let text = std::fs::read_to_string(&stored).unwrap();
    assert!(text.contains("## Accepted by the plan") && text.contains("ticket 4711"), "{text}");
    // An acceptance whose time is over, one of no check.
    drill(&site, "shop", &accept("2020-01-01")).run().exits(1).says("until 2020-01-01; that day is over");
    let other = accept("2999-12-31").replace(&found[0].0, "XYZ99");
    drill(&site, "shop", &other).run().exits(2).says("\"XYZ99\" is no check");
}
