//! kill -9 in the middle of `lifeboat promote`: no open tenant has another one's files, and the same command
//! goes on, from wherever it was.

use std::fs;
use std::path::PathBuf;

use lifeboat_tests::site::Site;
use lifeboat_tests::tenant::State;
use lifeboat_tests::{Cluster, children, small_tenant};
use rustix::process::Signal;

use crate::databases;
use crate::promote::{Client, promote, state_of, until};

struct World {
    cluster: Cluster,
    site: Site,
    old: State,
    new: State,
}

impl World {
    fn start() -> World {
        let cluster = Cluster::start_default();
        let site = Site::local(&cluster);
        small_tenant(&cluster, &site.data_dir(), "shop", 1);
        small_tenant(&cluster, &site.data_dir(), "live", 2);
        let (old, new) = (state_of(&cluster, &site, "shop"), state_of(&cluster, &site, "live"));
        World { cluster, site, old, new }
    }

    fn ask(&self, sql: &str) -> String {
        self.cluster.psql("postgres", sql)
    }

    fn journal(&self) -> PathBuf {
        self.site.path("lifeboat-state/prod/promote/shop.json")
    }

    /// Starts the command, and kills it once its session waits for a lock.
    fn kill_at_lock(&self) {
        let running = promote(&self.site, "live", "shop", &[]).spawn();
        until("a wait for a lock", || {
            let waits = "select count(*) from pg_stat_activity where wait_event_type = 'Lock' and query like '%ALTER DATABASE%'";
            self.ask(waits) != "0"
        });
        let killed = running.kill9();
        assert_eq!(killed.code, None, "{killed}");
    }

    /// The server gives up what the killed one had asked for.
    fn end_waiting(&self) {
        self.ask("select pg_terminate_backend(pid) from pg_stat_activity where wait_event_type = 'Lock'");
        until("the end of the waiting session", || {
            self.ask("select count(*) from pg_stat_activity where wait_event_type = 'Lock'") == "0"
        });
    }

    /// Whatever is open as the tenant has its own files.
    #[track_caller]
    fn assert_no_lie(&self) {
        if databases(&self.cluster).contains(&"shop".to_owned()) {
            let is = state_of(&self.cluster, &self.site, "shop");
            assert!(is == self.old || is == self.new, "the tenant is open with files of another state");
        }
    }

    /// The same command goes on; afterwards everything is put back for the next round.
    #[track_caller]
    fn finish(&self, more: &[&str]) {
        self.assert_no_lie();
        assert!(self.journal().exists());
        // Another copy has to wait.
        promote(&self.site, "other", "shop", &[]).run().exits(16).says("lifeboat promote live --as shop");
        promote(&self.site, "live", "shop", more).run().ok();
        assert!(!self.journal().exists());
        assert!(state_of(&self.cluster, &self.site, "shop") == self.new);
        self.undo();
    }

    #[track_caller]
    fn undo(&self) {
        let replaced = self.replaced();
        promote(&self.site, &replaced, "shop", &[]).run().ok();
        assert!(state_of(&self.cluster, &self.site, "shop") == self.old);
        promote(&self.site, &self.replaced(), "live", &[]).run().ok();
        assert!(state_of(&self.cluster, &self.site, "live") == self.new);
        assert_eq!(databases(&self.cluster), ["live", "postgres", "shop"]);
    }

    fn replaced(&self) -> String {
        self.ask("select datname from pg_database where datname like '%.replaced-%'")
    }
}

#[test]
fn killed_anywhere_the_same_command_goes_on() {
    let world = World::start();
    // The journal is there, nothing is closed yet.
    let blocker =
        Client::connect(&world.cluster, "postgres", "begin; alter database shop connection limit 7;");
    world.kill_at_lock();
    assert!(world.journal().exists());
    world.end_waiting();
    blocker.leave();
    world.finish(&[]);

    // Both are closed, and a session is still in one of them: its backend does not answer.
    let odoo = Client::connect(&world.cluster, "shop", "select 1;");
    let pid =
        world.ask("select pid from pg_stat_activity where application_name = 'odoo-77'").parse().unwrap();
    children::signal(pid, Signal::STOP);
    let running = promote(&world.site, "live", "shop", &["--disconnect"]).spawn();
    until("closed databases", || databases(&world.cluster) == ["postgres"]);
    running.kill9();
    children::signal(pid, Signal::CONT);
    assert!(world.site.data_dir().join("filestore/live").is_dir(), "files move when nobody is connected");
    world.finish(&["--disconnect"]);
    drop(odoo);

    // The filestores have their new names, the databases their old ones.
    let held = "begin; comment on database shop is 'held';";
    let blocker = Client::connect(&world.cluster, "postgres", held);
    world.kill_at_lock();
    world.end_waiting();
    blocker.leave();
    let files = world.site.data_dir().join("filestore");
    assert!(!files.join("live").exists() && files.join("shop").is_dir());
    assert_eq!(databases(&world.cluster), ["postgres"], "closed until both have their names");
    world.finish(&[]);

    // The same between the two directories.
    let blocker = Client::connect(&world.cluster, "postgres", held);
    world.kill_at_lock();
    world.end_waiting();
    blocker.leave();
    fs::rename(files.join("shop"), files.join("live")).unwrap();
    world.finish(&[]);

    // All is done but the last word about it: the server did what the killed one had asked for.
    let blocker = Client::connect(&world.cluster, "postgres", held);
    world.kill_at_lock();
    blocker.leave();
    until("the new names", || databases(&world.cluster).contains(&"shop".to_owned()));
    world.finish(&[]);
}

#[test]
fn what_fails_is_put_back() {
    let world = World::start();
    let odoo = Client::connect(&world.cluster, "shop", "select 1;");
    let pid =
        world.ask("select pid from pg_stat_activity where application_name = 'odoo-77'").parse().unwrap();
    children::signal(pid, Signal::STOP);
    // A stop while sessions are ending.
    let running = promote(&world.site, "live", "shop", &["--disconnect"]).spawn();
    until("closed databases", || databases(&world.cluster) == ["postgres"]);
    running.signal(Signal::TERM);
    running.finish().exits(18).says("everything is as it was before");
    children::signal(pid, Signal::CONT);
    drop(odoo);
    // The rename is refused once the files were moved: the name is held longer than we wait.
    let blocker = Client::connect(&world.cluster, "postgres", "begin; comment on database shop is 'held';");
    promote(&world.site, "live", "shop", &[]).run().exits(13).says("everything is as it was before");
    blocker.leave();
    assert!(!world.journal().exists());
    for (name, state) in [("shop", &world.old), ("live", &world.new)] {
        assert!(state_of(&world.cluster, &world.site, name) == *state, "{name}");
    }
}
