//! A physical copy on a server that sorts texts otherwise than production did: which indexes to rebuild is
//! told.

use lifeboat_tests::Cluster;
use lifeboat_tests::installed::hand_over;
use lifeboat_tests::site::Site;

use crate::copy::Copied;

#[test]
fn indexes_in_another_order_are_named_with_what_to_run_and_the_exit_code_says_it() {
    let cluster = Cluster::start_default();
    for name in ["shop", "the \"old\" one"] {
        let name = name.replace('"', "\"\"");
        let sql =
            format!("create database \"{name}\" template template0 locale_provider icu icu_locale 'de'");
        cluster.psql("postgres", &sql);
    }
    let site = Site::local(&cluster);
    hand_over(&site.path("")); // the restored server fetches from there
    let made_on = site.back_up(&["--kind", "base"])["manifest"]["base"]["made_on"].clone();
    assert!(made_on["platform"].as_str().unwrap().contains(std::env::consts::ARCH), "{made_on}");
    assert!(made_on["icu"].as_str().is_some_and(|version| version.contains('.')), "{made_on}");
    let restore = |copied: &Copied, more: &str| {
        site.run(&["restore", "--yes", "--json", "--identity", "lifeboat-identity.txt", "--instance-to"])
            .arg(copied.data_dir())
            .args(["--to", "immediate", more])
            .run()
    };
    let same = Copied::new();
    let done = restore(&same, "--start").ok();
    same.started(&cluster, done.json()["started"]["socket_dir"].as_str().unwrap());
    assert_eq!(done.json()["started"]["rebuild"], serde_json::json!([]), "{done}");
    same.stop();

    // written by another version, as an upgrade of the operating system leaves it
    cluster.psql("postgres", "update pg_database set datcollversion = '1.2' where datname like '%old%'");
    site.back_up(&["--kind", "base"]);
    let copied = Copied::new();
    let plan = restore(&copied, "--dry-run").ok();
    assert!(plan.json()["sorts_otherwise"].to_string().contains("--start compares"), "{plan}");
    let done = restore(&copied, "--start").exits(3);
    copied.started(&cluster, done.json()["started"]["socket_dir"].as_str().unwrap());
    let rebuild = done.json()["started"]["rebuild"].clone();
    assert_eq!((rebuild.as_array().unwrap().len(), &rebuild[0]["database"]), (1, &"the \"old\" one".into()));
    assert!(rebuild[0]["why"].as_str().unwrap().contains("ICU 1.2"), "{rebuild}");
    // what it says can be run as it stands
    for statement in rebuild[0]["statements"].as_array().unwrap() {
        copied.psql("the \"old\" one", statement.as_str().unwrap());
    }
    let sql =
        "select count(*) from pg_database where datcollversion <> pg_database_collation_actual_version(oid)";
    assert_eq!(copied.psql("postgres", sql), "0");
    copied.stop();
}
