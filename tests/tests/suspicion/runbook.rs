//! The commands of the runbook, in order, as the page has them.

use std::fs;

use lifeboat_tests::Cluster;
use lifeboat_tests::program::workspace_root;
use lifeboat_tests::site::Site;

use crate::world::{backed_up, best_day, delete, status, tenants, with};

#[test]
fn the_runbooks_commands_run_as_they_stand() {
    let text = fs::read_to_string(workspace_root().join("runbooks/suspicious-backup.md")).unwrap();
    let text = text.replace("\\\n", " ");
    let mut lines: Vec<&str> = text.lines().map(str::trim).collect();
    lines.retain(|line| line.starts_with("lifeboat ") || line.starts_with("sudo -u lifeboat lifeboat "));
    assert_eq!(lines.len(), 6, "{lines:?}");

    let cluster = Cluster::start_default();
    let site = Site::local(&cluster);
    let names = tenants(&cluster, &site);
    let name = names[0].as_str();
    let good = backed_up(&site, name, &["--tenant", name])["dump"]["id"].as_str().unwrap().to_owned();
    let (day, orders) = best_day(&cluster, name);
    delete(&cluster, name, &format!("delete from sale_order where create_date::date = '{day}'"));
    let bad = backed_up(&site, name, &["--tenant", name])["dump"]["id"].as_str().unwrap().to_owned();

    for (line, code) in lines.into_iter().zip([3, 0, 3, 0, 0, 0]) {
        let line = line
            .replace("SUSPICIOUS_SNAPSHOT", &bad)
            .replace("SNAPSHOT", &good)
            .replace("retail_north", name);
        let line = line.trim_start_matches("sudo -u lifeboat ");
        // What is between quotes is one word.
        let words = |(at, part): (usize, &'_ str)| -> Vec<String> {
            match at % 2 {
                0 => part.split_whitespace().map(str::to_owned).collect(),
                _ => vec![part.to_owned()],
            }
        };
        let args: Vec<String> = line.split('\'').enumerate().flat_map(words).skip(1).collect();
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        let mut command = site.run(&args);
        if ["restore", "diff"].contains(&args[0]) {
            command = command.args(["--identity", "lifeboat-identity.txt"]);
        }
        if args[0] == "restore" {
            command = command.arg("--yes");
        }
        let outcome = command.run().exits(code);
        if args[..2] == ["suspicion", "list"] {
            with(outcome, &good);
        }
    }
    let sql = format!(
        "select count(*) from sale_order where create_date::date = '{day}' and state in ('sale', 'done')"
    );
    assert_eq!(cluster.psql(&format!("{name}_check"), &sql).trim(), orders.to_string());
    status(&site).run().ok();
}
