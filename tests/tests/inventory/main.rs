//! What is stored, asked in every way that there is: the answers are the same, whatever lies there and
//! whatever a writer's clock said.
#![allow(clippy::unwrap_used, clippy::disallowed_methods)] // a test panics, and changes what a stranger would

mod clocks;
mod compact;
mod dropped;
mod expire;
mod fleet;
mod garbage;
mod holds;
mod lineage;
mod page;
mod plans;
mod policy;
mod requests;
mod screen;
mod words;

use lifeboat_tests::site::Site;
use serde_json::Value;

/// What each command says is the newest dump of a tenant.
fn newest(site: &Site, tenant: &str) -> Vec<(&'static str, String)> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let json = |args: &[&str]| site.run(args).arg("--json").run().json();
    let status = json(&["status"]);
    let of = |list: &Value| {
        let all = list.as_array().unwrap();
        all.iter().find(|one| one["tenant"] == tenant).unwrap().clone()
    };
    let list = json(&["list", "--tenant", tenant, "--kind", "dump"]);
    let listed = list["snapshots"].as_array().unwrap().clone();
    let listed: Vec<Value> = listed.into_iter().filter(|one| one["standing"] == "stored").collect();
    let identity = site.path("lifeboat-identity.txt").display().to_string();
    let restore =
        json(&["restore", "--tenant", tenant, "--as", "newest_copy", "--identity", &identity, "--dry-run"]);
    let window = json(&["window"]);
    let plan = json(&["restore", "--tenant", tenant, "--dry-run", "--stored-only"]);
    let verify = json(&["verify"]);
    let whole = verify["newest_whole"].as_array().unwrap();
    let whole = whole.iter().find(|one| one["tenant"] == tenant).unwrap();
    let drill = site.drill(tenant, "").arg("--json").run().json();
    vec![
        ("status", text(&of(&status["tenants"])["dump"]["snapshot"])),
        ("list", text(&listed.last().unwrap()["id"])),
        ("restore", text(&restore["snapshot"])),
        ("window", text(&of(&window["tenants"])["restore"]["snapshot"])),
        ("plan", text(&plan["snapshot"])),
        ("verify", text(&whole["snapshot"])),
        ("drill", text(&drill["snapshot"]["id"])),
    ]
}
