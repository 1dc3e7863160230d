//! `lifeboat status`: what would be lost if it were gone now.

use lifeboat_tests::site::Site;
use lifeboat_tests::{Cluster, small_tenant};

#[test]
fn each_tenant_stands_where_its_newest_state_puts_it() {
    let cluster = Cluster::start_default();
    let site = Site::local(&cluster);
    site.run(&["status"]).run().exits(5).says("has no backup of instance prod");
    small_tenant(&cluster, &site.data_dir(), "shop", 3);
    small_tenant(&cluster, &site.data_dir(), "books", 4);
    site.back_up(&["--tenant", "shop", "--release", "r1"]);
    site.edit("[odoo]", "[odoo]\ntenants = [\"shop\", \"books\"]");
    let told = site.run(&["status"]).run().exits(3);
    let line = |tenant: &str| told.stdout.lines().position(|line| line.starts_with(tenant)).unwrap();
    assert!(line("books") < line("shop"), "the worst first: {told}");
    assert!(told.stdout.contains("NEVER BACKED UP") && told.stdout.contains("everything"), "{told}");

    site.back_up(&["--tenant", "books"]);
    let well = site.run(&["status", "--json"]).run().ok().json();
    let shop = well["tenants"].as_array().unwrap().iter().find(|t| t["tenant"] == "shop").unwrap().clone();
    assert_eq!((shop["standing"].as_str(), shop["dump"]["release"].as_str()), (Some("ok"), Some("r1")));
    assert!(shop["rpo_seconds"].as_u64().unwrap() < 600, "{shop}");
    std::thread::sleep(std::time::Duration::from_millis(2100));
    let late = site.run(&["status", "--max-age", "1s"]).run().exits(3);
    assert!(late.stdout.contains("LATE"), "{late}");
    site.run(&["status", "--max-age", "soon"]).run().exits(2);

    // A base backup holds every tenant, with a dump or without.
    site.edit("tenants = [\"shop\", \"books\"]", "tenants = [\"shop\", \"books\", \"third\"]");
    site.run(&["status"]).run().exits(3);
    site.back_up(&["--kind", "base"]);
    let told = site.run(&["status"]).run().ok();
    assert!(told.stdout.contains("base backup") && !told.stdout.contains("NEVER"), "{told}");
}
