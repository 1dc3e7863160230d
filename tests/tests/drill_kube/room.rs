//! A cluster with our image, a PostgreSQL with tenants, and a repository that pods reach.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use lifeboat_tests::installed::hand_over;
use lifeboat_tests::kube::Kube;
use lifeboat_tests::program::bin_dir;
use lifeboat_tests::site::Site;
use lifeboat_tests::{Cluster, Options, Program, S3, small_tenant};
use serde_json::Value;

use crate::image;

pub const IMAGE: &str = "registry.example.com/lifeboat-drill:1";
pub const LIMIT: Duration = Duration::from_secs(300);
const MANAGED: &str = "app.kubernetes.io/managed-by=restore-drill";

pub struct Room {
    pub kube: Kube, // the first to end: before what its pods use
    pub cluster: Cluster,
    pub s3: S3,
    pub site: Site,
}

impl Room {
    pub fn open(kube: Kube) -> Room {
        let settings = [("archive_mode", "on"), ("archive_command", "false"), ("archive_timeout", "0")];
        let settings = settings.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
        let cluster = Cluster::with(Options { settings, ..Options::default() });
        let s3 = S3::start_at(&kube.address());
        let site = Site::s3(&cluster, &s3, "odoo");
        small_tenant(&cluster, &site.data_dir(), "t1", 1);
        small_tenant(&cluster, &site.data_dir(), "t2", 2);
        let root = site.path("image");
        image::fill(&root, &cluster, &kube.program());
        kube.image(IMAGE, &root);
        fs::remove_dir_all(root).unwrap();
        hand_over(&site.path(""));
        let push = bin_dir().join("lifeboat");
        let push = format!("{} --config {} wal push %p", push.display(), site.config().display());
        cluster.psql("postgres", &format!("alter system set archive_command = '{push}'"));
        cluster.psql("postgres", "select pg_reload_conf()");
        let room = Room { kube, cluster, s3, site };
        for args in [&[][..], &["--kind", "base"], &["--kind", "filestore"]] {
            room.back_up(args);
        }
        std::thread::sleep(Duration::from_millis(1500)); // a window of seconds
        room.archive();
        room
    }

    /// As the server's own user: what it writes, archive_command must be able to add to.
    pub fn back_up(&self, args: &[&str]) {
        let program = Program::at("/usr/bin/setpriv".into())
            .args(["--reuid", "postgres", "--regid", "postgres", "--clear-groups", "--"])
            .arg(bin_dir().join("lifeboat"));
        program.cwd(self.site.path("")).arg("backup").args(args.to_vec()).limit(LIMIT).run().ok();
    }

    /// Ends the segment and waits until all of it is stored.
    fn archive(&self) {
        self.cluster.psql("t1", "UPDATE res_partner SET write_date = now() WHERE id = 1");
        let segment = self.cluster.switch_wal();
        let sql = format!("select coalesce(last_archived_wal, '') >= '{segment}' from pg_stat_archiver");
        until("the segment is archived", || self.cluster.psql("postgres", &sql) == "t");
    }

    /// The table of the plan; `more` are further keys of it.
    pub fn table(&self, kubeconfig: &Path, more: &str) -> String {
        let port = self.port();
        format!(
            "[kubernetes]\nimage = {IMAGE:?}\nkubectl = {:?}\nkubeconfig = {:?}\nmemory = \"768Mi\"\n\
             cpu = \"2\"\nstorage = \"1Gi\"\nrepository = [\"{}/32:{port}\"]\n{more}",
            self.kube.program(),
            kubeconfig,
            self.kube.address(),
        )
    }

    /// The store's.
    pub fn port(&self) -> String {
        self.s3.endpoint().rsplit(':').next().unwrap().to_owned()
    }

    /// A drill of t1; `plan` comes before the table, `more` into it.
    pub fn drill(&self, plan: &str, more: &str) -> Program {
        self.drill_as(self.kube.kubeconfig(), plan, more)
    }

    /// The same, with another account.
    pub fn drill_as(&self, kubeconfig: &Path, plan: &str, more: &str) -> Program {
        let plan = format!("{plan}\n{}", self.table(kubeconfig, more));
        self.site.drill("t1", &plan).arg("--json").limit(LIMIT)
    }

    /// An own check that takes this long: then the drill is in the pod that proves.
    pub fn slow_check(&self, seconds: u32) -> String {
        let dir = self.site.path("checks/own");
        fs::create_dir_all(&dir).unwrap();
        let text = format!(
            "-- id: SLOW01\n-- area: own\n-- severity: hard\n-- title: takes its time\n-- versions: >=15\n\
             -- requires: res_partner.id\n-- reason: so that a test can look\n\
             SELECT 'x' FROM pg_sleep({seconds}) WHERE false;\n"
        );
        fs::write(dir.join("SLOW01.sql"), text).unwrap();
        format!("[checks]\nextra_dir = {:?}", self.site.path("checks"))
    }

    /// The namespaces of drills.
    pub fn namespaces(&self) -> Vec<String> {
        let told = self.kube.kubectl(&["get", "namespaces", "-l", MANAGED, "-o", "name"], "");
        told.lines().map(|line| line.trim_start_matches("namespace/").to_owned()).collect()
    }

    /// The namespace of the drill that was just started.
    pub fn namespace(&self) -> String {
        let mut found = Vec::new();
        until("a drill has a namespace", || {
            found = self.namespaces();
            !found.is_empty()
        });
        assert_eq!(found.len(), 1, "{found:?}");
        found.remove(0)
    }

    /// Waits until the pod of this part runs in a namespace; its name.
    pub fn pod(&self, namespace: &str, part: &str) -> String {
        let label = format!("lifeboat.example/part={part}");
        let args = ["get", "pods", "-n", namespace, "-l", &label, "--field-selector=status.phase=Running"];
        let mut name = String::new();
        until(&format!("the pod {part} runs"), || {
            name = self.kube.kubectl(&[&args[..], &["-o", "name"]].concat(), "").trim().to_owned();
            !name.is_empty()
        });
        name.trim_start_matches("pod/").to_owned()
    }

    pub fn json(&self, args: &[&str]) -> Value {
        serde_json::from_str(&self.kube.kubectl(&[args, &["-o", "json"]].concat(), "")).unwrap()
    }

    /// Asserts that no namespace of a drill is left.
    #[track_caller]
    pub fn clean(&self) {
        assert_eq!(self.namespaces(), Vec::<String>::new());
    }

    /// Removes what a story that failed left.
    pub fn forget(&self) {
        self.kube.try_kubectl(&["delete", "namespace", "-l", MANAGED, "--timeout=60s"], "");
    }

    /// A file beside the configuration.
    pub fn path(&self, name: &str) -> PathBuf {
        self.site.path(name)
    }
}

pub fn until(what: &str, mut is: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !is() {
        assert!(begun.elapsed() < Duration::from_secs(90), "{what}: not within 90 s");
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// The stage of a report.
pub fn stage<'a>(report: &'a Value, name: &str) -> &'a Value {
    let stages = report["stages"].as_array().unwrap();
    stages
        .iter()
        .find(|stage| stage["name"] == name)
        .unwrap_or_else(|| panic!("no stage {name}: {stages:#?}"))
}

/// The worst of what was found about a part.
pub fn worst<'a>(report: &'a Value, part: &str) -> &'a str {
    let rank =
        |state: &str| ["done", "not-run", "unknown", "failed"].iter().position(|known| *known == state);
    let all = states(report, part).into_iter();
    all.max_by_key(|state| rank(state).unwrap()).unwrap_or_else(|| panic!("no finding about {part}"))
}

/// The states of the findings about a part.
pub fn states<'a>(report: &'a Value, part: &str) -> Vec<&'a str> {
    let own = report["findings"].as_array().unwrap().iter().filter(|finding| finding["part"] == part);
    own.map(|finding| finding["state"].as_str().unwrap()).collect()
}
