//! The plan that the repository alone gives: without identity and server, and it is what a restore then
//! binds.

use lifeboat_tests::site::Site;
use lifeboat_tests::{Cluster, small_tenant};
use serde_json::Value;

use crate::words::{push, segment};

/// Whether a restore is made from exactly what its plan said. Its age grows, and who binds it warns of more.
#[track_caller]
pub fn assert_is_bound(plan: &Value, restore: &Value) {
    let said = plan.as_object().unwrap_or_else(|| panic!("no plan: {plan}"));
    assert!(said.contains_key("snapshot") && said.contains_key("warnings"), "{plan}");
    for (key, value) in said {
        match key.as_str() {
            "loss_seconds" if value.is_i64() => {
                let [then, now] = [value, &restore[key]].map(|seconds| seconds.as_i64().unwrap());
                assert!((then - now).abs() < 600, "{then} {now}");
            }
            "warnings" => {
                let told = restore[key].as_array().unwrap();
                assert!(value.as_array().unwrap().iter().all(|one| told.contains(one)), "{value} {told:?}");
            }
            _ => assert_eq!(*value, restore[key], "{key}: {plan} {restore}"),
        }
    }
}

#[test]
fn a_plan_needs_neither_identity_nor_server_and_is_what_is_bound() {
    let cluster = Cluster::start_default();
    cluster.psql("postgres", "alter system set wal_keep_size = '1GB'");
    cluster.psql("postgres", "select pg_reload_conf()");
    let site = Site::local(&cluster);
    small_tenant(&cluster, &site.data_dir(), "shop", 9);
    site.back_up(&["--kind", "base"]);
    site.back_up(&["--tenant", "shop", "--release", "7"]);
    cluster.psql("shop", "create table later (n int)");
    for _ in 0..2 {
        push(&site, &segment(&cluster));
    }
    site.back_up(&["--kind", "base"]);
    site.back_up(&["--tenant", "shop"]);
    let base = site.run(&["list", "--kind", "base", "--json"]).run().ok().json()["snapshots"][0].clone();
    let (early, before) =
        (base["id"].as_str().unwrap().to_owned(), base["point"].as_str().unwrap().to_owned());
    let dir = site.path("rescued").display().to_string();
    let all: [&[&str]; 9] = [
        &["--tenant", "shop"],
        &["--tenant", "shop", "--release", "7"],
        &["--tenant", "shop", "--database-only"],
        &["--tenant", "shop", "--to-time", &before],
        &["--tenant", "shop", "--to", "latest"],
        &["--instance-to", &dir],
        &["--instance-to", &dir, "--to-time", &before],
        &["--instance-to", &dir, "--snapshot", &early, "--to", "immediate"],
        &["--instance-to", &dir, "--restore-command", "false"],
    ];
    let plan = |args: &[&str]| {
        site.run(&["restore", "--dry-run", "--stored-only", "--json"]).args(args.to_vec()).run()
    };
    // Neither a server nor an identity: the one is stopped, the other moved away.
    let identity = site.path("lifeboat-identity.txt");
    let away = site.path("away.txt");
    std::fs::rename(&identity, &away).unwrap();
    cluster.stop();
    let plans: Vec<Value> = all.iter().map(|args| plan(args).ok().json()).collect();
    plan(&["--tenant", "shop", "--to-restore-point", "r"]).exits(16).says("is not known without an identity");
    plan(&["--tenant", "nobody"]).exits(5).says("no dump of nobody");
    plan(&["--instance-to", &dir, "--to-time", "2020-01-01T00:00:00Z"]).exits(16).says("cannot be reached");
    let shown = site.run(&["restore", "--dry-run", "--stored-only", "--tenant", "shop"]).run().ok();
    assert!(shown.stdout.contains("fetches     at most"), "{shown}");
    assert!(!std::path::Path::new(&dir).exists());
    site.run(&["restore", "--stored-only", "--tenant", "shop"]).run().exits(2);
    std::fs::rename(&away, &identity).unwrap();
    cluster.start_again();
    for (args, plan) in all.iter().zip(&plans) {
        let restore = site.run(&["restore", "--dry-run", "--json", "--identity"]).arg(&identity);
        let restore = restore.args(args.to_vec()).run().ok().json();
        let restore = if restore["scratch"].is_object() { &restore["scratch"] } else { &restore };
        assert_is_bound(plan, restore);
    }
    assert_eq!(plans[3]["tenant"], "shop");
    assert_eq!(
        (&plans[3]["snapshot"], &plans[6]["snapshot"]),
        (&Value::from(early.as_str()), &Value::from(early.as_str()))
    );
    assert!(plans[2]["files"].is_null() && plans[0]["files"]["files"].as_u64() > Some(0), "{plans:?}");
}
