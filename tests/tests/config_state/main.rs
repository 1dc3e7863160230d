//! The configuration as a snapshot: captured from real files and a real Kubernetes, compared, restored; and
//! no secret in anything that is stored, printed or logged.
#![allow(clippy::unwrap_used, clippy::disallowed_methods)] // a test panics, and touches files as a user does

mod agent;
mod artifacts;
mod capture;
mod hostile;
mod kube;

use std::fs;
use std::path::{Path, PathBuf};

use lifeboat_tests::site::{Site, words};
use lifeboat_tests::{Cluster, Outcome, S3, compare};
use serde_json::Value;

/// What must never be found anywhere.
pub const SECRET: &str = "s3cr3t-of-the-test";
/// What it is changed to.
pub const OTHER_SECRET: &str = "an0ther-s3cr3t";

/// A site, and a folder that stands for /etc/odoo.
pub struct World {
    /// The host.
    pub site: Site,
    /// The folder that is captured.
    pub etc: PathBuf,
    _cluster: Cluster,
}

impl World {
    /// With an odoo.conf and a few files beside it.
    pub fn start() -> World {
        let cluster = Cluster::start_default();
        let site = Site::local(&cluster);
        World::of(cluster, site)
    }

    /// The same with a repository in a bucket.
    pub fn on_s3(s3: &S3) -> World {
        let cluster = Cluster::start_default();
        let site = Site::s3(&cluster, s3, "dr");
        World::of(cluster, site)
    }

    fn of(cluster: Cluster, mut site: Site) -> World {
        let etc = site.path("etc-odoo");
        fs::create_dir_all(etc.join("conf.d")).unwrap();
        site.set("LIFEBOAT_CONFIGURATION_FILES", etc.display());
        let world = World { site, etc, _cluster: cluster };
        world.write("odoo.conf", &format!("[options]\ndb_host = db\ndb_password = {SECRET}\nworkers = 4\n"));
        world.write("conf.d/extra.yaml", &format!("smtp:\n  host: mail\n  password: \"{SECRET}\"\n"));
        world.write("modules.txt", "sale 17.0.1.0\nstock 17.0.1.0\n");
        world
    }

    /// Writes a file of the captured folder.
    pub fn write(&self, name: &str, text: &str) {
        fs::write(self.etc.join(name), text).unwrap();
    }

    /// `lifeboat backup --kind config`, its manifest.
    #[track_caller]
    pub fn capture(&self, args: &[&str]) -> Value {
        let told = self.site.backup(&["--kind", "config", "--json", "-vvv"]).args(args.to_vec()).run().ok();
        no_secret(&words(&told));
        told.json()["manifest"].clone()
    }

    /// `lifeboat config` with these arguments.
    pub fn config(&self, args: &[&str]) -> Outcome {
        let told = self.site.run(&["config"]).args(args.to_vec()).arg("-vvv").run();
        no_secret(&words(&told));
        told
    }

    /// The identity, as an argument.
    pub fn identity(&self) -> String {
        self.site.path("lifeboat-identity.txt").display().to_string()
    }

    /// The escaped path of a captured file, as manifests have it.
    pub fn path(&self, name: &str) -> String {
        format!("files{}", self.etc.join(name).display())
    }

    /// Everything below the site but the captured folder itself: no file has a secret in it.
    #[track_caller]
    pub fn nothing_leaked(&self) {
        let root = self.site.path("");
        compare::walk(&root, &mut |path| {
            if path.is_file() && !path.starts_with(&self.etc) {
                no_secret_in(path, &fs::read(path).unwrap());
            }
        });
    }
}

/// A text without either secret.
#[track_caller]
pub fn no_secret(text: &str) {
    assert!(!text.contains(SECRET) && !text.contains(OTHER_SECRET), "a secret is in: {text}");
}

#[track_caller]
fn no_secret_in(path: &Path, content: &[u8]) {
    for secret in [SECRET, OTHER_SECRET] {
        let found = content.windows(secret.len()).any(|part| part == secret.as_bytes());
        assert!(!found, "{secret} is in {}", path.display());
    }
}

/// The ID of a manifest.
pub fn id(manifest: &Value) -> String {
    manifest["id"].as_str().unwrap().to_owned()
}
