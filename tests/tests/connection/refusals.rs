//! Databases that nobody can enter: each is named with the mend that fits, can be excluded, and keeps no
//! other tenant from being backed up.

use lifeboat_tests::site::Site;
use lifeboat_tests::{Cluster, small_tenant};

#[test]
fn each_refusal_has_the_mend_that_fits_and_stops_nobody_else() {
    let cluster = Cluster::start_default();
    let mut site = Site::local(&cluster);
    small_tenant(&cluster, &site.data_dir(), "zzz_last", 7);
    cluster.psql("postgres", "create role backup login; grant pg_read_all_data to backup");
    let mut cases = vec![("closed_by_provider", "pg_hba.conf"), ("full_up", "CONNECTION LIMIT -1")];
    cases.push(("no_connect", "GRANT CONNECT ON DATABASE \"no_connect\" TO \"backup\""));
    // minor releases since August 2023 know it
    cases.push(("half_gone", "DROP DATABASE \"half_gone\""));
    for (name, _) in &cases {
        cluster.create_db(name);
    }
    cluster.psql("postgres", "alter database full_up connection limit 0");
    cluster.psql("postgres", "update pg_database set datconnlimit = -2 where datname = 'half_gone'");
    cluster.psql("postgres", "revoke connect on database no_connect from public");
    let hba = cluster.data_dir().join("pg_hba.conf");
    let text = std::fs::read_to_string(&hba).unwrap();
    std::fs::write(&hba, format!("local closed_by_provider all reject\n{text}")).unwrap();
    cluster.psql("postgres", "select pg_reload_conf()");
    site.edit("user = \"postgres\"", "user = \"backup\"");

    let told = super::doctor(&site);
    for (name, mend) in &cases {
        let line = told.lines().find(|line| line.contains(&format!("\\\"{name}\\\"")));
        let line = line.unwrap_or_else(|| panic!("{name} is not in {told}")).replace('\\', "");
        assert!(line.contains(mend) && line.contains("odoo.exclude"), "{name}: {line}");
    }
    let outcome = site.backup(&[]).run().exits(3);
    assert!(outcome.stdout.contains("zzz_last"), "the tenant after them is backed up: {outcome}");
    for (name, _) in &cases {
        assert!(outcome.stderr.contains(name), "{name}: {outcome}");
    }
    let names: Vec<&str> = cases.iter().map(|(name, _)| *name).collect();
    site.set("LIFEBOAT_ODOO_EXCLUDE", names.join(","));
    site.backup(&[]).run().ok();
}

#[test]
fn a_wrong_password_and_an_unknown_role_are_told_apart_with_what_was_tried() {
    let cluster = Cluster::start_default();
    let site = Site::local(&cluster);
    cluster.psql("postgres", "create role backup login password 'right'");
    let hba = cluster.data_dir().join("pg_hba.conf");
    let text = std::fs::read_to_string(&hba).unwrap();
    std::fs::write(&hba, format!("host all backup 127.0.0.1/32 scram-sha-256\n{text}")).unwrap();
    cluster.psql("postgres", "select pg_reload_conf()");
    site.edit(&format!("host = \"{}\"", cluster.host()), "host = \"127.0.0.1\"");
    site.edit("user = \"postgres\"", "user = \"backup\"");
    let tried = format!(
        "database \"postgres\" at 127.0.0.1:{} as backup (postgres.tls = \"prefer\")",
        cluster.port()
    );
    site.backup(&[]).run().exits(13).says(&tried).says("set postgres.password_file");
    let wrong = site.backup(&[]).env("PGPASSWORD", "wrong").run().exits(13);
    wrong.says(&tried).says("28P01").says("password of \"backup\"");
    site.edit("user = \"backup\"", "user = \"nobody\"");
    site.backup(&[]).run().exits(13).says("28000").says("\"nobody\"");
}
