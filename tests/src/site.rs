//! What one test backs up with: a configuration that `lifeboat init` wrote, a repository on disk
//! or on S3, and Odoo's data directory.

use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use crate::filestore::make_dir;
use crate::place;
use crate::{Cluster, Outcome, Program, S3};
use tempfile::TempDir;

/// One agent's host.
pub struct Site {
    dir: TempDir,
    /// What every run gets, on top of the configuration file.
    env: Vec<(String, String)>,
    /// The repository as a directory: that of S3 holds each object as a file.
    pub stored: PathBuf,
    /// Where the programs of the cluster's version are.
    bin_dir: PathBuf,
}

impl Site {
    /// A repository in a directory.
    pub fn local(cluster: &Cluster) -> Site {
        let mut site = Site::empty(cluster);
        site.stored = site.path("repo");
        let url = site.stored.display().to_string();
        site.init(cluster, &url, &[]);
        site
    }

    /// A repository in this directory.
    pub fn local_at(cluster: &Cluster, repository: &Path) -> Site {
        let site = Site { stored: repository.to_owned(), ..Site::empty(cluster) };
        site.init(cluster, &repository.display().to_string(), &[]);
        site
    }

    /// A repository on S3, which answers within seconds or not at all.
    pub fn s3(cluster: &Cluster, s3: &S3, prefix: &str) -> Site {
        let site = Site { stored: s3.object(prefix), ..Site::empty(cluster) };
        let settings = site.reach(s3);
        site.init(cluster, &s3.url(prefix), &settings);
        site
    }

    /// A repository on S3 and a configuration, where there is no cluster: for what is read only.
    pub fn s3_alone(s3: &S3, prefix: &str) -> Site {
        let site = Site::bare(PathBuf::new());
        let settings = site.reach(s3);
        site.init_with(&s3.url(prefix), &settings);
        site
    }

    /// How S3 is reached.
    fn reach(&self, s3: &S3) -> Vec<String> {
        let keys = self.path("s3-keys");
        let value = |name: &str| s3.env().into_iter().find(|(n, _)| n == name).unwrap().1;
        let (id, secret) = (value("AWS_ACCESS_KEY_ID"), value("AWS_SECRET_ACCESS_KEY"));
        fs::write(&keys, format!("access_key_id = {id}\nsecret_access_key = {secret}\n")).unwrap();
        fs::set_permissions(&keys, PermissionsExt::from_mode(0o600)).unwrap();
        vec![
            format!("repository.endpoint={}", s3.endpoint()),
            "repository.allow_http=true".to_owned(),
            format!("repository.credentials_file={}", keys.display()),
            "repository.request_timeout=2s".to_owned(),
            "repository.retry_deadline=4s".to_owned(),
        ]
    }

    /// A repository elsewhere, reached with these settings (`repository.endpoint=...`).
    pub fn remote(cluster: &Cluster, url: &str, settings: &[String]) -> Site {
        let site = Site::empty(cluster);
        site.init(cluster, url, settings);
        site
    }

    fn empty(cluster: &Cluster) -> Site {
        Site::bare(cluster.bin_dir().to_owned())
    }

    fn bare(bin_dir: PathBuf) -> Site {
        let dir = place::new_dir("site-");
        make_dir(&dir.path().join("odoo/filestore"));
        Site { dir, env: Vec::new(), stored: PathBuf::new(), bin_dir }
    }

    fn init(&self, cluster: &Cluster, url: &str, more: &[String]) {
        let mut settings = vec![
            format!("postgres.host={}", cluster.host()),
            format!("postgres.port={}", cluster.port()),
            format!("postgres.user={}", cluster.user()),
            format!("postgres.bin_dir={}", cluster.bin_dir().display()),
            "backup.low_priority=false".to_owned(),
            "agent.listen=off".to_owned(), // many agents run at once here
        ];
        settings.extend_from_slice(more);
        self.init_with(url, &settings);
    }

    fn init_with(&self, url: &str, settings: &[String]) {
        let data_dir = self.data_dir().display().to_string();
        let mut init =
            self.run(&["init", "--instance", "prod", "--repository", url, "--data-dir", &data_dir]);
        for setting in settings {
            init = init.args(["--set".to_owned(), setting.clone()]);
        }
        init.run().ok();
    }

    /// A path beside the configuration.
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// The configuration.
    pub fn config(&self) -> PathBuf {
        self.path("lifeboat.toml")
    }

    /// Odoo's data directory.
    pub fn data_dir(&self) -> PathBuf {
        self.path("odoo")
    }

    /// The known filestore of a tenant.
    pub fn known_file(&self, tenant: &str) -> PathBuf {
        self.path("lifeboat-state/prod/filestore").join(format!("{tenant}.known.zst"))
    }

    /// Gives every later run this variable.
    pub fn set(&mut self, name: &str, value: impl ToString) {
        self.env.push((name.to_owned(), value.to_string()));
    }

    /// A command line, run beside the configuration.
    pub fn run(&self, args: &[&str]) -> Program {
        Program::lifeboat().cwd(self.dir.path()).envs(self.env.clone()).args(args.to_vec())
    }

    /// `lifeboat backup`, not started.
    pub fn backup(&self, args: &[&str]) -> Program {
        self.run(&["backup"]).args(args.to_vec())
    }

    /// `lifeboat backup --json` that must succeed; what it printed.
    #[track_caller]
    pub fn back_up(&self, args: &[&str]) -> serde_json::Value {
        self.backup(args).arg("--json").run().ok().json()
    }

    /// `restore-drill run` of this tenant's newest snapshot, not started; `more` is added to its plan.
    /// Programs that no package brought are found on the PATH.
    pub fn drill(&self, tenant: &str, more: &str) -> Program {
        let plan = self.path("drill.toml");
        let config = self.config().display().to_string();
        fs::write(&plan, format!("config = {config:?}\ntenant = {tenant:?}\n{more}")).unwrap();
        let path = std::env::var_os("PATH").unwrap_or_default();
        let path = [self.bin_dir.clone()].into_iter().chain(std::env::split_paths(&path));
        Program::restore_drill()
            .cwd(self.dir.path())
            .env("PATH", std::env::join_paths(path).unwrap())
            .env("LIFEBOAT_SEAL_IDENTITY_FILES", self.path("lifeboat-identity.txt"))
            .arg("run")
            .arg(plan)
    }

    /// Puts the identity of `init` under a passphrase, as `age -p` does.
    pub fn protect_identity(&self, passphrase: &str) {
        let path = self.path("lifeboat-identity.txt");
        let plain = fs::read(&path).unwrap();
        let mut recipient = age::scrypt::Recipient::new(age::secrecy::SecretString::from(passphrase));
        recipient.set_work_factor(8);
        let encryptor = age::Encryptor::with_recipients(std::iter::once(&recipient as _)).unwrap();
        let mut writer = encryptor.wrap_output(Vec::new()).unwrap();
        writer.write_all(&plain).unwrap();
        fs::write(&path, writer.finish().unwrap()).unwrap();
    }

    /// Changes text of the configuration file.
    pub fn edit(&self, from: &str, to: &str) {
        let text = fs::read_to_string(self.config()).unwrap();
        assert!(text.contains(from), "{from:?} is not in {text}");
        fs::write(self.config(), text.replacen(from, to, 1)).unwrap();
    }
}

/// The words of an outcome, both streams.
pub fn words(outcome: &Outcome) -> String {
    format!("{}\n{}", outcome.stdout, outcome.stderr)
}
