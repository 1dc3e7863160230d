//! A site that is ready for releases: a base backup, and an agent that streams and follows.

use std::fs;
use std::time::{Duration, Instant};

use lifeboat_tests::site::Site;
use lifeboat_tests::tenant::{Tenant, small_tenant};
use lifeboat_tests::{Cluster, Options, Outcome, Program, Running, S3};
use serde_json::Value;

/// A cluster with tenants, a site, and its agent.
pub struct World {
    pub cluster: Cluster,
    pub site: Site,
    pub tenants: Vec<Tenant>,
    /// The store, where it is not a directory.
    pub s3: Option<S3>,
    agent: Option<Running>,
}

/// What the tests' releases need: one approval. The drill has tests of its own.
pub const TIERS: &str = "\n[tier.standard]\nnot_required = [\"drill\", \"migration\"]\noverride = [\"freeze\", \"agent\"]\n\
    [tier.strict]\napprovals = 2\n";

impl World {
    pub fn new(names: &[&str]) -> World {
        World::with(names, TIERS)
    }

    /// With this at the end of the configuration.
    pub fn with(names: &[&str], settings: &str) -> World {
        World::bare(names, settings).ready()
    }

    /// With its repository on S3, and these variables for every run, the agent's too.
    pub fn on_s3(names: &[&str], settings: &str, env: &[(&str, &str)]) -> World {
        let (cluster, s3) = (cluster(&[]), S3::start());
        let mut site = Site::s3(&cluster, &s3, "site");
        env.iter().for_each(|(name, value)| site.set(name, value));
        World { s3: Some(s3), ..World::of(cluster, site, names, settings) }.ready()
    }

    /// With these settings of PostgreSQL.
    pub fn with_server(names: &[&str], server: &[(&str, &str)]) -> World {
        let cluster = cluster(server);
        let site = Site::local(&cluster);
        World::of(cluster, site, names, TIERS).ready()
    }

    /// Without a base backup and an agent.
    pub fn bare(names: &[&str], settings: &str) -> World {
        let cluster = cluster(&[]);
        let site = Site::local(&cluster);
        World::of(cluster, site, names, settings)
    }

    fn of(cluster: Cluster, site: Site, names: &[&str], settings: &str) -> World {
        let text = fs::read_to_string(site.config()).unwrap();
        fs::write(site.config(), format!("{text}{settings}")).unwrap();
        let tenants: Vec<Tenant> = names
            .iter()
            .enumerate()
            .map(|(seed, name)| small_tenant(&cluster, &site.data_dir(), name, seed as u64 + 1))
            .collect();
        World { cluster, site, tenants, s3: None, agent: None }
    }

    fn ready(mut self) -> World {
        self.site.back_up(&["--kind", "base"]);
        self.start_agent();
        self
    }

    /// Starts the agent and waits until it streams.
    pub fn start_agent(&mut self) {
        self.agent = Some(self.site.run(&["agent", "--no-progress"]).spawn());
        self.streams();
    }

    pub fn kill_agent(&mut self) {
        self.agent.take().unwrap().kill9();
        let streams = "select count(*) from pg_replication_slots where slot_name = 'lifeboat' and active";
        until("the slot is free", || self.cluster.psql("postgres", streams) == "0");
    }

    /// Another way to the store, for faults that only checkpoints meet.
    pub fn door(&self) -> S3 {
        self.s3.as_ref().unwrap().other_door()
    }

    /// Stops the server, and promotes it in place as a standby that has everything: a new timeline.
    pub fn promote(&self) {
        self.cluster.stop();
        fs::write(self.cluster.data_dir().join("standby.signal"), "").unwrap();
        self.cluster.start_again();
        self.cluster.psql("postgres", "select pg_promote()");
        let open = "select pg_is_in_recovery()";
        until("the server is open", || self.cluster.psql("postgres", open) == "f");
    }

    /// Waits until the agent streams: after a restart it connects again.
    pub fn streams(&self) {
        let streams = "select count(*) from pg_replication_slots where slot_name = 'lifeboat' and active";
        until("the agent streams", || self.cluster.psql("postgres", streams) == "1");
    }

    /// How many restore points of checkpoints the server made since its start.
    pub fn points(&self) -> usize {
        self.cluster.log().matches("restore point \"lifeboat-").count()
    }

    /// `lifeboat checkpoint` of a release that one person approved, not started.
    pub fn checkpoint(&self, release: &str, more: &[&str]) -> Program {
        self.site
            .run(&["checkpoint", "--release", release, "--approved-by", "anna"])
            .args(more.iter().map(|arg| (*arg).to_owned()))
    }

    /// One that must pass; what it printed.
    #[track_caller]
    pub fn pass(&self, release: &str, more: &[&str]) -> Value {
        self.checkpoint(release, more).arg("--json").run().ok().json()
    }

    /// One that a gate must block; the whole report.
    #[track_caller]
    pub fn blocked(&self, release: &str, more: &[&str], gate: &str) -> Value {
        let outcome: Outcome = self.checkpoint(release, more).arg("--json").run().exits(19);
        let report = outcome.json();
        let found = gates(&report);
        let blocks = found.iter().any(|(name, outcome, _)| name == gate && outcome != "passed");
        assert!(blocks, "gate {gate} should block: {found:#?}");
        assert!(report["stored"].is_null(), "nothing is stored");
        report
    }

    /// The file of a release's evidence.
    pub fn evidence(&self, release: &str) -> std::path::PathBuf {
        self.site.stored.join("instances/prod/releases").join(release).join("checkpoint.json")
    }
}

fn cluster(more: &[(&str, &str)]) -> Cluster {
    let settings = [("wal_level", "replica"), ("max_wal_senders", "5")].iter().chain(more);
    let settings = settings.map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    Cluster::with(Options { settings, ..Options::default() })
}

/// Name, outcome and finding of each gate.
pub fn gates(report: &Value) -> Vec<(String, String, String)> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let all = report["checkpoint"]["gates"].as_array().unwrap();
    all.iter().map(|gate| (text(&gate["gate"]), text(&gate["outcome"]), text(&gate["found"]))).collect()
}

/// What was found for a gate.
pub fn found(report: &Value, gate: &str) -> String {
    gates(report).into_iter().find(|(name, ..)| name == gate).unwrap().2
}

#[track_caller]
pub fn until(what: &str, mut is: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !is() {
        assert!(begun.elapsed() < Duration::from_secs(60), "{what}: not within a minute");
        std::thread::sleep(Duration::from_millis(50));
    }
}
