//! `lifeboat promote`: a copy becomes the tenant, with its files, and the old state stays; the printed undo
//! brings it back. What is in use, neutralized or without files is refused unless it was asked for.

use std::io::Write;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use lifeboat_tests::filestore::Filestore;
use lifeboat_tests::program::bin_dir;
use lifeboat_tests::site::Site;
use lifeboat_tests::tenant::{State, state};
use lifeboat_tests::{Cluster, Outcome, Program, children, small_tenant};

use crate::{databases, restore};

/// What a database and the filestore of its name hold.
pub fn state_of(cluster: &Cluster, site: &Site, name: &str) -> State {
    state(cluster, name, &Filestore::of(&site.data_dir(), name))
}

/// `lifeboat promote`, the tenant's name said.
pub fn promote(site: &Site, copy: &str, tenant: &str, more: &[&str]) -> Program {
    site.run(&["promote", copy, "--as", tenant, "--yes-replace", tenant]).args(more.to_vec())
}

/// Waits for what must come.
#[track_caller]
pub fn until(what: &str, mut seen: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !seen() {
        assert!(Instant::now() < deadline, "{what} did not come");
        std::thread::sleep(children::POLL);
    }
}

/// A client that is connected and stays; gone with the database's sessions, or when dropped.
pub struct Client(Child);

impl Client {
    /// Runs these statements, and stays in the session.
    pub fn connect(cluster: &Cluster, database: &str, sql: &str) -> Client {
        let mut psql = cluster.client("psql");
        psql.args(["-XAtq", "-d", database]).env("PGAPPNAME", "odoo-77").stdin(Stdio::piped());
        let mut child = psql.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        writeln!(child.stdin.as_mut().unwrap(), "{sql}").unwrap();
        let client = Client(child);
        let idle = "select count(*) from pg_stat_activity where application_name = 'odoo-77' \
                    and datname = '{}' and state like 'idle%' and query <> ''";
        let idle = idle.replace("{}", &database.replace('\'', "''"));
        until("the client's session", || cluster.psql("postgres", &idle) != "0");
        client
    }

    /// Ends the session; what it had not committed is gone.
    pub fn leave(mut self) {
        drop(self.0.stdin.take());
        self.0.wait().unwrap();
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Runs a printed command in a shell, as a person pastes it, elsewhere; `more` goes behind it.
pub fn paste(command: &str, more: &str) -> Outcome {
    let path = format!("{}:/usr/bin:/bin", bin_dir().display());
    Program::at("/bin/sh".into()).cwd("/").env("PATH", path).args(["-c", &format!("{command} {more}")]).run()
}

fn is_open(cluster: &Cluster, name: &str) -> bool {
    databases(cluster).contains(&name.to_owned())
}

#[test]
fn a_copy_becomes_the_tenant_and_the_printed_undo_brings_the_old_one_back() {
    let cluster = Cluster::start_default();
    let site = Site::local(&cluster);
    let (shop, live) = ("it's \"my\".shop", "it's \"a\".copy");
    small_tenant(&cluster, &site.data_dir(), shop, 1);
    small_tenant(&cluster, &site.data_dir(), live, 2);
    let quoted = "\"it's \"\"my\"\".shop\"";
    cluster.psql(
        "postgres",
        &format!(
            "create role bi; revoke connect on database {quoted} from public; grant connect on database {quoted} to bi; \
             alter database {quoted} set work_mem to '17MB'; alter role bi in database {quoted} set search_path to 'a b', public; \
             alter database {quoted} connection limit 17; comment on database {quoted} is 'the one'"
        ),
    );
    let hangs = |name: &str| {
        let name = name.replace('\'', "''");
        cluster.psql("postgres", &format!(
            "select (select array_agg(a::text order by a::text) from unnest(datacl) a), datconnlimit, datallowconn, shobj_description(d.oid, 'pg_database'), \
             (select array_agg((setrole::regrole, setconfig) order by setrole) from pg_db_role_setting where setdatabase = d.oid) \
             from pg_database d where datname = '{name}'"
        ))
    };
    let (old, new) = (state_of(&cluster, &site, shop), state_of(&cluster, &site, live));
    let rights = hangs(shop);
    let before = databases(&cluster);
    // Nobody typed the name; the wrong one; a plan only.
    site.run(&["promote", live, "--as", shop]).without_terminal().run().exits(16).says("nobody typed");
    site.run(&["promote", live, "--as", shop, "--yes-replace", live]).run().exits(16);
    let plan = site.run(&["promote", live, "--as", shop, "--dry-run"]).run().ok();
    assert!(plan.stdout.contains("connected   nobody") && plan.stdout.contains("no: it is live"), "{plan}");
    assert_eq!(databases(&cluster), before);

    let config = site.config().display().to_string();
    let done = promote(&site, live, shop, &["--config", &config, "--json"]).run().ok().json();
    assert!(state_of(&cluster, &site, shop) == new, "the tenant is what the copy was");
    assert_eq!(hangs(shop), rights, "what hangs on the name stays with it");
    let replaced = done["plan"]["replaced"].as_str().unwrap();
    assert!(replaced.starts_with("it's \"my\".shop.replaced-2"), "{replaced}");
    assert!(!is_open(&cluster, replaced) && !is_open(&cluster, live));
    assert!(site.data_dir().join("filestore").join(replaced).is_dir());
    assert!(!site.data_dir().join("filestore").join(live).exists());

    let undo = done["undo"].as_str().unwrap();
    paste(undo, "").exits(16); // it asks, too
    paste(undo, "--yes-replace 'it'\\''s \"my\".shop'").ok();
    assert!(state_of(&cluster, &site, shop) == old, "the tenant is what it was");
    assert_eq!(hangs(shop), rights);
    assert_eq!(databases(&cluster), ["it's \"my\".shop", "postgres"], "the copy is the old state now");
}

#[test]
fn who_is_connected_is_told_and_ended_only_when_asked_for() {
    let cluster = Cluster::start_default();
    let site = Site::local(&cluster);
    small_tenant(&cluster, &site.data_dir(), "shop", 1);
    small_tenant(&cluster, &site.data_dir(), "live", 2);
    let new = state_of(&cluster, &site, "live");
    let odoo = Client::connect(&cluster, "shop", "select 1;");
    let refused = promote(&site, "live", "shop", &[]).run().exits(16).says("--disconnect");
    assert!(refused.stderr.contains("1 session of \"odoo-77\" as postgres in shop"), "{refused}");
    let json = promote(&site, "live", "shop", &["--dry-run", "--json"]).run().exits(16).json();
    assert_eq!(json["connected"][0]["application"], "odoo-77");
    assert!(is_open(&cluster, "shop") && is_open(&cluster, "live"));
    let done = promote(&site, "live", "shop", &["--disconnect"]).run().ok();
    assert!(done.stdout.contains("ended: 1 session of \"odoo-77\""), "{done}");
    assert!(state_of(&cluster, &site, "shop") == new);
    let undo = done.stdout.lines().find_map(|line| line.strip_prefix("undo: ")).unwrap();
    assert!(undo.ends_with("--as shop --disconnect"), "{undo}");
    drop(odoo);
}

#[test]
fn a_neutralized_copy_or_one_without_files_is_promoted_only_when_asked_for() {
    let cluster = Cluster::start_default();
    let site = Site::local(&cluster);
    small_tenant(&cluster, &site.data_dir(), "shop", 1);
    site.back_up(&[]);
    restore(&site, &["--tenant", "shop", "--as", "look"]).run().ok();
    let old = state_of(&cluster, &site, "shop");
    let refused = promote(&site, "look", "shop", &[]).run().exits(16).says("neutralized");
    let next = refused.stderr.lines().find(|line| line.contains("lifeboat restore")).unwrap();
    assert!(next.contains("restore --tenant shop --as shop_live --no-neutralize --identity FILE"), "{next}");
    assert!(state_of(&cluster, &site, "shop") == old);
    promote(&site, "look", "shop", &["--although-neutralized"]).run().ok();
    let flag = "select value from ir_config_parameter where key = 'database.is_neutralized'";
    assert_eq!(cluster.psql("shop", flag), "True");

    // Without files: what was there does not become the files of another database.
    small_tenant(&cluster, &site.data_dir(), "bare", 3);
    let files = site.data_dir().join("filestore");
    std::fs::rename(files.join("bare"), site.path("elsewhere")).unwrap();
    promote(&site, "bare", "shop", &[]).run().exits(16).says("no filestore");
    let done = promote(&site, "bare", "shop", &["--without-filestore", "--json"]).run().ok().json();
    assert!(!files.join("shop").exists());
    assert!(files.join(done["plan"]["replaced"].as_str().unwrap()).is_dir());

    // Where there is no tenant of that name, nothing is replaced, and the undo gives the name back.
    small_tenant(&cluster, &site.data_dir(), "fresh", 4);
    let fresh = state_of(&cluster, &site, "fresh");
    std::fs::create_dir(files.join("lost")).unwrap();
    std::fs::write(files.join("lost/mine"), "mine").unwrap();
    let done = promote(&site, "fresh", "lost", &["--json"]).run().ok().json();
    assert!(state_of(&cluster, &site, "lost") == fresh);
    let undo = done["undo"].as_str().unwrap();
    let (command, more) = undo.split_once(" && ").unwrap();
    paste(&format!("cd '{}' && {command} --yes-replace fresh && {more}", site.path("").display()), "").ok();
    assert!(state_of(&cluster, &site, "fresh") == fresh);
    assert_eq!(std::fs::read_to_string(files.join("lost/mine")).unwrap(), "mine");
    promote(&site, "nobody", "shop", &[]).run().exits(5);
    promote(&site, "shop", "shop", &[]).run().exits(16);
}
