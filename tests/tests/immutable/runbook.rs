//! The commands of runbooks/stolen-credentials.md, in order, as the page has them, after a thief was there.

use std::fs;

use lifeboat_tests::program::workspace_root;
use lifeboat_tests::site::Site;
use lifeboat_tests::{Cluster, S3, Versioned, small_tenant};

use crate::past::{ago, back_up};

/// The time in the page.
const TIME: &str = "2026-11-20T06:00:00Z";

#[test]
fn the_runbooks_commands_bring_back_what_was_there_before_the_thief() {
    let text = fs::read_to_string(workspace_root().join("runbooks/stolen-credentials.md")).unwrap();
    let mut lines: Vec<&str> = text.lines().map(str::trim).collect();
    lines.retain(|line| line.starts_with("lifeboat "));
    assert_eq!(lines.len(), 6, "{lines:?}");

    let cluster = Cluster::start_default();
    let bucket = Versioned::default();
    let s3 = S3::versioned(&bucket);
    bucket.set_ahead(-9 * 86_400);
    let site = Site::s3(&cluster, &s3, "odoo");
    small_tenant(&cluster, &site.data_dir(), "shop", 3);
    back_up(&site, &bucket, 1);
    let files = bucket.content();
    for key in files.keys().filter(|key| key.contains("/packs/")) {
        bucket.hide(key);
    }
    // Found, then as it was: all of it.
    for (line, code) in lines.into_iter().zip([10, 0, 0, 0, 0, 0]) {
        let line = line.replace(TIME, &ago(3_600)).replace("retail_north", "shop");
        let words: Vec<&str> = line.split_whitespace().skip(1).collect();
        let run = site.run(&words);
        match words[0] {
            "restore" => run.args(["--yes", "--identity", "lifeboat-identity.txt"]).run().exits(code),
            _ => run.run().exits(code),
        };
    }
    assert!(cluster.psql("postgres", "select datname from pg_database").contains("shop_"), "it is restored");
}
