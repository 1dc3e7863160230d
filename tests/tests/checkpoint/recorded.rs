//! What the record of a release holds besides its gates, who sees it, and what comes back by its name.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;

use lifeboat_tests::cluster::free_port;
use lifeboat_tests::compare::sha256;
use serde_json::{Value, json};

use crate::copy::Copied;
use crate::world::{World, until};

const IMAGE: &str = "sha256:1111111111111111111111111111111111111111111111111111111111111111";
const OTHER: &str = "sha256:2222222222222222222222222222222222222222222222222222222222222222";

#[test]
fn a_record_is_of_one_image_and_the_list_shows_each() {
    let world = World::new(&["shop"]);
    world.pass("r1", &["--image", IMAGE]);
    assert_eq!(world.pass("r1", &["--image", IMAGE])["existed"], true);
    let another = world.checkpoint("r1", &["--image", OTHER]).run().exits(16);
    another.says("release r1 has a checkpoint of another image").says(OTHER);
    // A record that names no image is not that of any.
    world.pass("r2", &["--dump"]);
    world.checkpoint("r2", &["--image", IMAGE]).run().exits(16).says("was made for none");
    assert_eq!(world.points(), 1, "a call that is refused makes no point");

    let point = world.pass("r1", &[])["checkpoint"]["point"].clone();
    let shown = world.site.run(&["list", "--releases"]).run().ok().stdout;
    let line = |release: &str| {
        let found = shown.lines().find(|line| line.starts_with(&format!("{release} ")));
        found.unwrap_or_else(|| panic!("{release} is not in {shown}")).to_owned()
    };
    assert!(line("r1").contains(point["lsn"].as_str().unwrap()) && line("r1").contains("passed"), "{shown}");
    assert!(line("r2").contains("dumps"), "{shown}");
    let rows = world.site.run(&["list", "--releases", "--json"]).run().ok().json()["checkpoints"].clone();
    let row = |of: usize, name: &str| rows[of][name].clone();
    assert_eq!((row(0, "release"), row(0, "point")), (json!("r1"), point));
    assert_eq!((row(1, "release"), row(1, "point")), (json!("r2"), Value::Null));
    assert_eq!(
        (row(0, "tenants"), row(0, "overridden"), row(0, "drill")),
        (json!(["shop"]), json!([]), Value::Null)
    );
}

#[test]
fn what_is_attached_and_configured_is_in_the_evidence_and_comes_back_from_the_repository() {
    let mut world = World::new(&["shop"]);
    let conf = world.site.path("odoo.conf");
    world.site.set("LIFEBOAT_CONFIGURATION_FILES", conf.display());
    let modules = world.site.path("modules");
    fs::create_dir_all(modules.join("sale")).unwrap();
    fs::write(modules.join("sale/__manifest__.py"), "{'version': '17.0.1.2'}\n").unwrap();
    let attach = ["--attach", modules.to_str().unwrap()];
    fs::write(&conf, "workers = 4\nadmin_passwd = hunter2\n").unwrap();
    let first = world.pass("r1", &attach);
    let artifact = &first["checkpoint"]["artifacts"][0];
    assert_eq!(artifact["name"], "modules/sale/__manifest__.py");
    assert_eq!(artifact["sha256"], sha256(&modules.join("sale/__manifest__.py")));
    assert_eq!(first["checkpoint"]["configuration"]["changed"], json!([]), "there is none before it");
    fs::write(&conf, "workers = 8\nadmin_passwd = hunter2\n").unwrap();
    let second = world.pass("r2", &[]);
    let changed = second["checkpoint"]["configuration"]["changed"].to_string();
    assert!(changed.contains("odoo.conf"), "{changed}");
    assert_ne!(
        first["checkpoint"]["configuration"]["sha256"],
        second["checkpoint"]["configuration"]["sha256"]
    );
    let third = world.pass("r3", &[]);
    assert_eq!(third["checkpoint"]["configuration"]["changed"], json!([]));
    let page = fs::read_to_string(world.evidence("r2").with_file_name("evidence.md")).unwrap();
    assert!(page.contains("odoo.conf") && !page.contains("hunter2"), "{page}");

    let diff = world.site.run(&["config", "diff", "r1", "r2"]).run().exits(3);
    assert!(diff.stdout.contains("odoo.conf"), "{diff}");
    fs::remove_dir_all(&modules).unwrap();
    let (to, identity) = (world.site.path("back"), world.site.path("lifeboat-identity.txt"));
    let restore = ["config", "restore", "--release", "r1", to.to_str().unwrap()];
    world.site.run(&restore).arg("--identity").arg(identity).run().ok();
    assert_eq!(sha256(&to.join("artifacts/modules/sale/__manifest__.py")), artifact["sha256"]);
    let back = to.join("files").join(conf.strip_prefix("/").unwrap());
    let back = fs::read_to_string(back).unwrap();
    assert!(back.starts_with("workers = 4\n") && !back.contains("hunter2"), "{back}");
}

#[test]
fn the_whole_instance_comes_back_to_the_point_as_one_tenant_does() {
    let world = World::new(&["shop", "depot"]);
    let names = "select string_agg(name, ',' order by id) from res_partner";
    let both = |of: &dyn Fn(&str) -> String| ["shop", "depot"].map(of);
    let before = both(&|tenant| world.cluster.psql(tenant, names));
    let point = world.pass("r1", &[])["checkpoint"]["point"].clone();
    for tenant in ["shop", "depot"] {
        world.cluster.psql(tenant, "update res_partner set name = 'written by the release'");
    }
    world.pass("r2", &[]);
    for (flag, release) in [("--before-release", "r1"), ("--release", "r1")] {
        let copied = Copied::new();
        let restore = ["restore", flag, release, "--start", "--yes", "--json", "--instance-to"];
        let identity = world.site.path("lifeboat-identity.txt");
        let restore = world.site.run(&restore).arg(copied.data_dir()).arg("--identity").arg(identity);
        let report = restore.run().ok().json();
        copied.started(&world.cluster, report["started"]["socket_dir"].as_str().unwrap());
        assert_eq!(both(&|tenant| copied.psql(tenant, names)), before, "{flag}: {point}");
    }
    let nowhere = Copied::new();
    let restore = ["restore", "--before-release", "r9", "--yes", "--instance-to"];
    world.site.run(&restore).arg(nowhere.data_dir()).run().exits(5).says("no checkpoint of release r9");
}

#[test]
fn the_agents_page_says_when_a_checkpoint_was_stored_and_what_each_gate_found() {
    let mut world = World::new(&["shop"]);
    world.kill_agent();
    let address = format!("127.0.0.1:{}", free_port());
    world.site.set("LIFEBOAT_AGENT_LISTEN", &address);
    world.start_agent();
    let page = || {
        let mut socket = TcpStream::connect(&address).unwrap();
        socket.write_all(b"GET /metrics HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").unwrap();
        let mut answer = String::new();
        socket.read_to_string(&mut answer).unwrap();
        answer
    };
    let value = |name: &str| -> Option<f64> {
        let page = page();
        let line = page.lines().find_map(|line| line.strip_prefix(&format!("{name} ")).map(str::to_owned));
        line.map(|number| number.parse().unwrap())
    };
    const STORED: &str = "lifeboat_checkpoint_timestamp_seconds";
    const BLOCKED: &str = "lifeboat_checkpoint_blocked_timestamp_seconds";
    assert_eq!((value(STORED), value(BLOCKED)), (None, None));
    let now = || lifeboat::clock::now().as_microsecond() as f64 / 1e6;
    let begun = now();
    world.pass("r1", &[]);
    until("it is on the page", || value(STORED).is_some());
    let stored = value(STORED).unwrap();
    assert!((begun..=now()).contains(&stored), "{stored}");
    assert!(value("lifeboat_checkpoint_duration_seconds").is_some_and(|took| took > 0.0));
    let gate = |gate: &str, outcome: &str| {
        value(&format!("lifeboat_checkpoint_gate{{gate=\"{gate}\",outcome=\"{outcome}\"}}"))
    };
    assert_eq!((gate("wal", "passed"), gate("drill", "not-required")), (Some(1.0), Some(1.0)), "{}", page());
    world.blocked("r2", &["--tier", "strict"], "approval");
    until("the block is on the page", || value(BLOCKED).is_some());
    assert_eq!((gate("approval", "failed"), gate("approval", "passed")), (Some(1.0), None), "{}", page());
    assert_eq!(value(STORED), Some(stored), "the age of the newest one goes on");
}
