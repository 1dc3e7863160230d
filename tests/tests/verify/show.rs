//! `lifeboat show`: the manifest without a key, the baseline with one.

use lifeboat::archive::manifest::SnapshotKind;
use lifeboat_tests::site::Site;
use lifeboat_tests::{Cluster, small_tenant};

use crate::forge::{Forge, folders};

#[test]
fn the_baseline_is_shown_to_whoever_holds_the_identity() {
    let cluster = Cluster::start_default();
    let site = Site::local(&cluster);
    small_tenant(&cluster, &site.data_dir(), "shop", 3);
    site.back_up(&[]);
    let newest = |kind| {
        let folder = folders(&site.stored, kind).pop().unwrap();
        folder.file_name().unwrap().to_string_lossy().into_owned()
    };
    let dump = newest(SnapshotKind::Dump);
    let show = |args: &[&str]| site.run(&["show"]).args(args.to_vec()).run();
    let with = ["--identity", "lifeboat-identity.txt"];

    let sealed = show(&[&dump]).ok();
    assert!(sealed.stdout.contains("encrypted (baseline.zst.age): --identity FILE shows"), "{sealed}");
    assert!(!sealed.stdout.contains("table "), "{sealed}");
    assert!(show(&[&dump, "--json"]).ok().json().get("baseline").is_none());

    let count = |sql: &str| cluster.psql("shop", sql).trim().to_owned();
    let open = show(&[&[dump.as_str()], &with[..]].concat()).ok();
    let modules = count("select count(*) from ir_module_module where state = 'installed'");
    let rows = count("select count(*) from ir_attachment");
    for text in [
        format!("baseline   {modules} modules, "),
        "module     base ".to_owned(),
        format!("table      public.ir_attachment: {rows} rows, highest id "),
    ] {
        assert!(open.stdout.contains(&text), "{text:?} is not in {open}");
    }
    // People get the largest tables, machines all of them.
    assert!(open.stdout.lines().count() < 200, "{open}");
    let told = show(&[&[dump.as_str(), "--json"], &with[..]].concat()).ok().json();
    let tables = told["baseline"]["tables"].as_array().unwrap();
    assert!(
        tables.iter().any(|t| t["name"] == "ir_attachment" && t["rows"].as_u64() == rows.parse().ok()),
        "{tables:?}"
    );
    assert_eq!(told["id"], dump, "beside the manifest as it is stored");

    show(&[&[newest(SnapshotKind::Globals).as_str()], &with[..]].concat())
        .exits(2)
        .says("only a dump has a baseline");
    let other = Site::local(&cluster);
    let identity = other.path("lifeboat-identity.txt").display().to_string();
    show(&[&dump, "--identity", &identity]).exits(12).says("no identity in");
    show(&[&dump, "--identity", "absent.txt"]).exits(12);
    // A baseline that is not what was signed is not shown.
    let mut forge = Forge::newest(&site, SnapshotKind::Dump);
    forge.seal("baseline.zst.age", b"{}");
    show(&[&[dump.as_str()], &with[..]].concat()).exits(10).says("baseline.zst.age");
    forge.undo();
}
