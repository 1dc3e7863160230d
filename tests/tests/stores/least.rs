//! The least rights of docs/repositories.md on Azure: what each token can do, and what it cannot.

use lifeboat_tests::site::Site;
use lifeboat_tests::{Azurite, skip, small_tenant};

use crate::{cluster, private, whole::Place};

#[test]
fn each_sas_allows_what_its_host_does() {
    let azurite = match Azurite::start() {
        Ok(azurite) => azurite,
        Err(why) => skip!("{why}"),
    };
    let cluster = cluster();
    let (dir, file) = private("azure", &format!("sas_token = {}\n", azurite.sas("rwl")));
    let give = |permissions: &str| {
        std::fs::write(dir.path().join("azure"), format!("sas_token = {}\n", azurite.sas(permissions)))
            .unwrap();
    };
    let place = Place { url: azurite.url("odoo"), endpoint: azurite.endpoint(), credentials: file };
    let site = Site::remote(&cluster, &place.url, &place.settings());
    small_tenant(&cluster, &site.data_dir(), "shop", 5);
    site.back_up(&[]);
    site.run(&["status"]).run().ok();

    // A restore host: reads, and stores the reports of its drills.
    give("rcl");
    let identity = ["--identity", "lifeboat-identity.txt"];
    site.run(&["restore", "--yes", "--tenant", "shop", "--as", "copy"]).args(identity).run().ok();
    site.drill("shop", "").run().ok();
    give("rl");
    site.run(&["verify"]).run().ok();
    let denied = site.backup(&[]).run().exits(6);
    let place = "read, write and list the container lifeboat of the storage account acme";
    assert!(denied.stderr.contains(place), "{denied}");
    assert!(!denied.stderr.contains("sig="), "{denied}");
    // Without listing, what is not there cannot be told from what may not be seen.
    give("rw");
    site.run(&["list"]).run().exits(6);
}
