//! Production in Kubernetes: what the files of deploy/ expect to find, and how a test applies them.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use lifeboat_tests::filestore::make_dir;
use lifeboat_tests::installed::hand_over;
use lifeboat_tests::kube::Kube;
use lifeboat_tests::program::workspace_root;
use lifeboat_tests::{Cluster, Options, Outcome, Program, S3, small_tenant};
use serde_json::Value;
use tempfile::TempDir;

use super::image;
use crate::world::until;

/// The image of our files.
pub const LIFEBOAT: &str = "registry.example.com/lifeboat:0.1.0";
pub const PASSWORD: &str = "pass-word of the role";
/// How long what a command waits for in Kubernetes may take.
const WAIT: &str = "--timeout=120s";
/// How long a script of commands may take.
const SCRIPT_LIMIT: Duration = Duration::from_secs(300);

/// A Kubernetes; a PostgreSQL and a store on this machine, which its pods reach; Odoo's files on its node.
pub struct Production {
    pub kube: Kube, // the first to end: before what its pods use
    pub cluster: Cluster,
    pub s3: S3,
    dir: TempDir,
}

impl Production {
    /// With PostgreSQL set up by deploy/postgresql, as the page says, and a namespace for restricted pods.
    pub fn start(kube: Kube) -> Production {
        let dir = tempfile::Builder::new().prefix("pods-").tempdir_in(lifeboat_tests::place::ours()).unwrap();
        make_dir(&dir.path().join("odoo/filestore"));
        make_dir(&dir.path().join("work"));
        let cluster = server(&kube, dir.path());
        small_tenant(&cluster, &dir.path().join("odoo"), "shop", 1);
        for (file, database) in
            [("roles.sql", "postgres"), ("replication-grants.sql", "postgres"), ("tenant-grants.sql", "shop")]
        {
            cluster.psql(database, &deploy(&format!("postgresql/{file}")));
        }
        cluster.psql("postgres", &format!("alter role lifeboat password '{PASSWORD}'"));
        let s3 = S3::start_at(&kube.address());
        let root = dir.path().join("image");
        image::fill(&root, &cluster);
        kube.image(LIFEBOAT, &root);
        fs::remove_dir_all(root).unwrap();
        let production = Production { kube, cluster, s3, dir };
        production.prepare();
        production
    }

    /// The namespace, PostgreSQL's address in it, and Odoo's claim.
    fn prepare(&self) {
        let (address, port) = (self.kube.address(), self.cluster.port());
        let objects = format!(
            "apiVersion: v1\nkind: Namespace\n\
             metadata: {{name: production, labels: {{pod-security.kubernetes.io/enforce: restricted}}}}\n\
             ---\napiVersion: v1\nkind: Service\nmetadata: {{name: postgres, namespace: production}}\n\
             spec: {{ports: [{{port: 5432}}]}}\n\
             ---\napiVersion: v1\nkind: Endpoints\nmetadata: {{name: postgres, namespace: production}}\n\
             subsets: [{{addresses: [{{ip: {address}}}], ports: [{{port: {port}}}]}}]\n\
             ---\napiVersion: v1\nkind: PersistentVolume\nmetadata: {{name: odoo-data}}\n\
             spec: {{storageClassName: '', capacity: {{storage: 1Gi}}, accessModes: [ReadWriteOnce], \
             hostPath: {{path: {data}}}}}\n\
             ---\napiVersion: v1\nkind: PersistentVolumeClaim\n\
             metadata: {{name: odoo-data, namespace: production}}\n\
             spec: {{storageClassName: '', volumeName: odoo-data, accessModes: [ReadWriteOnce], \
             resources: {{requests: {{storage: 1Gi}}}}}}\n",
            data = self.dir.path().join("odoo").display(),
        );
        self.kube.kubectl(&["apply", "-f", "-"], &objects);
        self.kube.kubectl(&["config", "set-context", "--current", "--namespace=production"], "");
    }

    /// A file in the directory in which commands run.
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join("work").join(name)
    }

    pub fn write(&self, name: &str, text: impl AsRef<[u8]>) {
        fs::write(self.path(name), text).unwrap();
    }

    pub fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap().trim().to_owned()
    }

    /// Any program, there, which finds kubectl and its cluster.
    pub fn program(&self, path: &str) -> Program {
        let bin = self.kube.program();
        let path_variable = format!("{}:/usr/bin:/bin", bin.parent().unwrap().display());
        let program = Program::at(path.into()).env("PATH", path_variable).env("HOME", self.dir.path());
        program.env("KUBECONFIG", self.kube.kubeconfig()).cwd(self.path("")).limit(SCRIPT_LIMIT)
    }

    /// Commands of a page, as its reader runs them.
    #[track_caller]
    pub fn sh(&self, script: &str) -> Outcome {
        let done = self.program("/bin/sh").args(["-e", "-x"]).input(script).run();
        assert!(done.code == Some(0), "{done}\n{}", self.found());
        done
    }

    /// Waits for a condition of an object.
    #[track_caller]
    pub fn wait(&self, object: &str, condition: &str) {
        let done =
            self.kube.try_kubectl(&["wait", object, &format!("--for=condition={condition}"), WAIT], "");
        assert!(done.code == Some(0), "{done}\n{}", self.found());
    }

    /// The pods with this label.
    pub fn pods(&self, label: &str) -> Vec<Value> {
        let told = self.kube.kubectl(&["get", "pods", "-l", label, "-o", "json"], "");
        let list: Value = serde_json::from_str(&told).unwrap();
        list["items"].as_array().unwrap().clone()
    }

    /// What is there, for a test that fails.
    fn found(&self) -> String {
        let of = |args: &[&str]| self.kube.try_kubectl(args, "").to_string();
        let mut text = of(&["describe", "pods"]) + &of(&["get", "events"]);
        for pod in self.kube.kubectl(&["get", "pods", "-o", "name"], "").lines() {
            text += &of(&["logs", pod, "--all-containers", "--prefix", "--tail=40"]);
        }
        text
    }

    /// The repository as a text of our files: what stands in them for it is replaced.
    pub fn with_repository(&self, text: &str) -> String {
        let text = replaced(text, "s3://acme-backups/odoo", &self.s3.url("odoo"));
        // No cloud: the reader's own store, which is in this region, and not reached by TLS.
        let region = "LIFEBOAT_REPOSITORY_REGION";
        let line = text.lines().find(|line| line.contains(region)).unwrap().to_owned();
        let own = replaced(&line, "eu-central-1", "us-east-1");
        let endpoint = line.replace(region, "LIFEBOAT_REPOSITORY_ENDPOINT");
        let endpoint = endpoint.replace("eu-central-1", &self.s3.endpoint());
        let http = line.replace(region, "LIFEBOAT_REPOSITORY_ALLOW_HTTP");
        let http = http.replace("\"eu-central-1\"", "\"true\"").replace("eu-central-1", "\"true\"");
        replaced(&text, &line, &[own, endpoint, http].join("\n"))
    }

    /// Waits until the agent streams.
    pub fn streams(&self) {
        let streams = "select count(*) from pg_replication_slots where slot_name = 'lifeboat' and active";
        until("the agent streams", || self.cluster.psql("postgres", streams) == "1");
    }

    /// Writes the credentials of the store, as its tools do.
    pub fn write_credentials(&self, name: &str) {
        let value = |name: &str| self.s3.env().into_iter().find(|(n, _)| n == name).unwrap().1;
        let (id, secret) = (value("AWS_ACCESS_KEY_ID"), value("AWS_SECRET_ACCESS_KEY"));
        self.write(name, format!("access_key_id = {id}\nsecret_access_key = {secret}\n"));
    }

    /// The file of a release's evidence in the repository.
    pub fn evidence(&self, release: &str) -> PathBuf {
        self.s3.object("odoo/instances/production/releases").join(release).join("checkpoint.json")
    }
}

/// A server that pods may reach by TLS, as the role with its password.
fn server(kube: &Kube, dir: &Path) -> Cluster {
    let request = "req -new -x509 -days 30 -nodes -subj /CN=postgres -keyout server.key -out server.crt";
    Program::at("/usr/bin/openssl".into()).args(request.split(' ')).cwd(dir).run().ok();
    let at = |name: &str| dir.join(name).display().to_string();
    hand_over(&dir.join("server.key"));
    let settings = [
        ("listen_addresses", format!("127.0.0.1,{}", kube.address())),
        ("ssl", "on".to_owned()),
        ("ssl_cert_file", at("server.crt")),
        ("ssl_key_file", at("server.key")),
        ("max_slot_wal_keep_size", "1GB".to_owned()),
    ];
    let settings = settings.map(|(name, value)| (name.to_owned(), value)).into();
    fs::set_permissions(dir, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let cluster = Cluster::with(Options { settings, ..Options::default() });
    let hba = cluster.data_dir().join("pg_hba.conf");
    let lines = blocks("3. Start and check", "text"); // 10.0.0.0/8 is the pods' network here, too
    fs::write(&hba, lines + &fs::read_to_string(&hba).unwrap()).unwrap();
    cluster.psql("postgres", "select pg_reload_conf()");
    cluster
}

/// A file of deploy/.
pub fn deploy(path: &str) -> String {
    fs::read_to_string(workspace_root().join("deploy").join(path)).unwrap()
}

/// The text with this placeholder of ours replaced, which is in it once.
#[track_caller]
pub fn replaced(text: &str, placeholder: &str, value: &str) -> String {
    assert_eq!(text.matches(placeholder).count(), 1, "{placeholder:?} is not once in {text}");
    text.replace(placeholder, value)
}

/// The commands of a section of deploy/kubernetes/README.md.
pub fn commands(section: &str) -> String {
    // Without this it waits for ten minutes.
    blocks(section, "sh").replace("rollout status", &format!("rollout status {WAIT}"))
}

/// What the section has in blocks of this language.
pub fn blocks(section: &str, language: &str) -> String {
    let page = deploy("kubernetes/README.md");
    let (_, after) = page.split_once(&format!("\n## {section}\n")).expect("the page has this section");
    let text = after.split("\n## ").next().unwrap();
    let begins = format!("```{language}\n");
    let found: String = text.split(&begins).skip(1).map(|block| block.split("```").next().unwrap()).collect();
    assert!(!found.is_empty(), "no {language} in {section}");
    found
}
