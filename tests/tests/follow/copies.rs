//! Copies beside their tenants are not followed, nor what a restore is filling; a copy that becomes the
//! tenant is.

use std::collections::BTreeSet;

use lifeboat_tests::filestore::Filestore;
use lifeboat_tests::small_tenant;

use crate::world::{Repo, World, end};

#[test]
fn a_copy_is_not_followed_until_it_is_the_tenant() {
    let world = World::start(1);
    world.lifeboat(&["backup"]).run().ok();
    let agent = world.following(world.agent().env("LIFEBOAT_AGENT_FOLLOW_INTERVAL", "1s"));
    let data_dir = world.site.data_dir();
    let staged = Filestore::of(&data_dir, "x.lifeboat-incomplete").add(b"of a restore that is under way");
    let before = Repo::of(&world.site).batches().len();
    let identity = ["--identity", "lifeboat-identity.txt"];
    world.lifeboat(&["restore", "--yes", "--tenant", "t1", "--as", "look"]).args(identity).run().ok();
    let of_copy = Filestore::of(&data_dir, "look").add(b"somebody tries something in the copy");
    // A scan finds a new tenant; it has seen the others, too.
    let t2 = small_tenant(&world.cluster, &data_dir, "t2", 2);
    let names: BTreeSet<String> = t2.filestore().files().into_keys().collect();
    world.wait_held(&names);
    let repo = Repo::of(&world.site);
    let held = repo.held();
    assert!(!held.contains(&of_copy) && !held.contains(&staged), "copies are followed");
    let stored: u64 = repo.batches()[before..].iter().map(|m| m.arrivals().unwrap().files).sum();
    assert!(stored <= names.len() as u64, "{stored} files were stored for {} new ones", names.len());

    let promote =
        ["promote", "look", "--as", "t1", "--yes-replace", "t1", "--although-neutralized", "--disconnect"];
    world.lifeboat(&promote).run().ok();
    let new = world.tenants[0].upload(&world.cluster, "new", b"of the new state");
    world.wait_held(&BTreeSet::from([new, of_copy]));
    end(agent);
}
