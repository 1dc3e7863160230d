//! `lifeboat diff`, and what a backup says that lost something.

use std::fs;

use lifeboat_tests::site::{Site, words};
use lifeboat_tests::{Cluster, small_tenant};

const IDENTITY: [&str; 2] = ["--identity", "lifeboat-identity.txt"];

/// The dump of one backup.
fn back_up(site: &Site) -> String {
    site.back_up(&["--kind", "dump"])["tenants"][0]["dump"]["id"].as_str().unwrap().to_owned()
}

#[test]
fn two_dumps_are_compared_and_a_loss_is_in_the_status() {
    let cluster = Cluster::start_default();
    let site = Site::local(&cluster);
    small_tenant(&cluster, &site.data_dir(), "shop", 41);
    cluster.psql("shop", include_str!("more.sql"));
    let first = back_up(&site);
    site.run(&["diff", "--tenant", "shop"]).args(IDENTITY).run().exits(5).says("shop has 1 dump");
    site.run(&["diff", &first]).args(IDENTITY).run().exits(2);
    let same = site.run(&["diff", "--tenant", "shop", "--database", "shop"]).args(IDENTITY).run().ok();
    assert!(words(&same).contains("no difference"), "{same}");

    cluster.psql("shop", "update product_pricelist_item set fixed_price = 0; update product_template set list_price = list_price + 1 where id < 4");
    let second = back_up(&site);
    let shown = words(&site.run(&["diff", &second, &first]).args(IDENTITY).run().exits(3));
    for text in [
        "before  20",
        "LOST 1: no normal work explains it",
        "product_pricelist_item.fixed_price: 41 of 41 values that were there are zero or empty now",
        "CHANGED 1: ",
        "product_template.list_price: 3 of ",
    ] {
        assert!(shown.contains(text), "{text}: {shown}");
    }
    let json = site.run(&["diff", "--tenant", "shop", "--json"]).args(IDENTITY).run().exits(3).json();
    assert_eq!(
        (&json["before"]["snapshot"], &json["after"]["snapshot"]),
        (&first.into(), &second.as_str().into())
    );
    assert_eq!(
        (&json["lost"], &json["changed"], &json["not_compared"]),
        (&1.into(), &1.into(), &serde_json::json!([]))
    );
    let lost = &json["changes"][0];
    assert_eq!((&lost["weight"], &lost["about"]), (&"lost".into(), &"values".into()));
    assert_eq!(lost["what"], "product_pricelist_item.fixed_price");
    assert!(lost["examples"][0].as_str().unwrap().ends_with(" to 0"), "{lost}");

    // The host that backs up has no identity: it compared the two itself.
    let said = "product_pricelist_item.fixed_price: 41 of 41 values that were there are zero or empty now";
    let status = words(&site.run(&["status", "--max-age", "400d"]).run().exits(3));
    assert!(status.contains("SUSPICIOUS") && status.contains(said), "{status}");
    let kept = fs::read(site.path("lifeboat-state/prod/suspicion/shop.baseline.zst")).unwrap();
    let mut plain = Vec::new();
    std::io::Read::read_to_end(&mut zstd::Decoder::new(kept.as_slice()).unwrap(), &mut plain).unwrap();
    let plain = String::from_utf8(plain).unwrap();
    assert!(plain.contains("fixed_price") && !plain.contains("seller1"), "names of columns, no content");

    // and what is live now, with the dump
    cluster.psql("shop", "update res_users set password = null");
    let live = site.run(&["diff", &second, "--database", "shop"]).args(IDENTITY).run().exits(3);
    assert!(words(&live).contains("res_users.password: "), "{live}");
    let wrong = site.run(&["diff", &second, "20261120T015812Z-dump-4f3a9c1e"]).args(IDENTITY).run();
    wrong.exits(5);
}
