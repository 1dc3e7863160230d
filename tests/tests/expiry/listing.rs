//! A listing that leaves something out: what another snapshot names is asked for by its name.

use lifeboat_tests::faults::on;
use lifeboat_tests::site::Site;
use lifeboat_tests::{Cluster, S3, small_tenant};

use crate::promised::Class;

#[test]
fn what_a_listing_leaves_out_and_another_snapshot_names_is_not_missing() {
    let (cluster, s3) = (Cluster::start_default(), S3::start());
    let site = Site::s3(&cluster, &s3, "odoo");
    small_tenant(&cluster, &site.data_dir(), "shop", 3);
    let backup = site.back_up(&["--tenant", "shop"]);
    let filestore = backup["tenants"][0]["filestore"]["id"].as_str().unwrap().to_owned();
    let text = std::fs::read_to_string(site.config()).unwrap();
    let class = Class { window_days: 2, daily: 0, weekly: 0 };
    std::fs::write(site.config(), text + &class.text()).unwrap();
    let plan = || site.run(&["expire", "--dry-run", "--json"]).run().ok().json();
    let whole = plan();

    let left_out = filestore.clone();
    let planned = s3.plan(on("GET", "list-type=2").leave_out(move |key| key.contains(&left_out)));
    let short = plan();
    assert!(planned.fired() > 0);
    let stays = |plan: &serde_json::Value| plan["plan"]["stays"].clone();
    let kept = |plan: &serde_json::Value, id: &str| {
        stays(plan).as_array().unwrap().iter().any(|one| one["id"] == id)
    };
    assert!(kept(&whole, &filestore) && kept(&short, &filestore), "{short}");
    // The dump is not taken for an incomplete one.
    assert_eq!(short["plan"]["notes"], whole["plan"]["notes"], "{short}");
}
