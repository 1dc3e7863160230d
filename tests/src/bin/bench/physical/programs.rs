//! The programs that are measured on a whole cluster: Lifeboat and pgBackRest, each with a fresh
//! repository a round, run as the server's own user, with two workers, zstd at level 3, encrypted.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use lifeboat_tests::S3;

use super::server::{Server, as_server_user, finish, lifeboat, make_own_dir};
use crate::aside::set_aside;
use crate::measured::{Cost, cost};

/// One way to back up a cluster and to get it back.
pub trait Contender {
    /// In the tables.
    fn name(&self) -> &'static str;
    /// Throws away what the round before left, and sets up an empty repository.
    fn begin(&mut self, server: &Server);
    /// A base backup: full, or what changed since the last one.
    fn backup(&self, server: &Server, full: bool) -> Cost;
    /// The same where the times of files are not trusted, for whoever does that otherwise.
    fn backup_by_content(&self) -> Option<Cost> {
        None
    }
    /// The newest backup into a new directory, complete and durable, ready to recover.
    fn restore(&self, to: &Path, source: &Path) -> Cost;
    /// The shell command that archives `%p`.
    fn push_command(&self) -> String;
    /// The shell command that fetches `%f` to `%p` of the cluster restored to `to`.
    fn fetch_command(&self, to: &Path) -> String;
    /// Where it works.
    fn dir(&self) -> &Path;
    /// The folder of its repository.
    fn repository(&self) -> PathBuf {
        self.dir().join("repository")
    }
}

/// `lifeboat` with the default configuration, but for the low priority and as many workers for WAL
/// as pgBackRest has.
pub struct Lifeboat {
    dir: PathBuf,
    /// Prefixes of S3 that were used.
    prefixes: usize,
}

impl Lifeboat {
    /// Works below `work`.
    pub fn new(work: &Path) -> Lifeboat {
        Lifeboat { dir: work.join("lifeboat"), prefixes: 0 }
    }

    /// Sets up an empty repository: a directory, or a prefix of S3.
    pub fn begin_in(&mut self, server: &Server, s3: Option<&S3>) {
        set_aside(&self.dir);
        make_own_dir(&self.dir);
        let text = |name: &str| self.dir.join(name).display().to_string();
        let mut settings = vec![
            format!("postgres.host={}", server.host()),
            format!("postgres.port={}", server.port),
            "postgres.user=postgres".to_owned(),
            "backup.low_priority=false".to_owned(),
            "wal.workers=2".to_owned(),
            "agent.listen=off".to_owned(),
        ];
        let mut url = text("repository");
        if let Some(s3) = s3 {
            let keys = self.dir.join("s3-keys");
            let of = |name: &str| s3.env().into_iter().find(|(n, _)| n == name).unwrap().1;
            let lines = format!(
                "access_key_id = {}\nsecret_access_key = {}\n",
                of("AWS_ACCESS_KEY_ID"),
                of("AWS_SECRET_ACCESS_KEY")
            );
            private(&keys, &lines);
            settings.push(format!("repository.endpoint={}", s3.endpoint()));
            settings.push("repository.allow_http=true".to_owned());
            settings.push(format!("repository.credentials_file={}", keys.display()));
            self.prefixes += 1;
            url = s3.url(&self.prefix());
        }
        let mut init = lifeboat(&["init", "--instance", "bench", "--config"])
            .arg(text("lifeboat.toml"))
            .args(["--repository".to_owned(), url, "--state-dir".to_owned(), text("state")])
            .args(["--data-dir".to_owned(), text("odoo")]);
        make_own_dir(&self.dir.join("odoo"));
        for setting in settings {
            init = init.args(["--set".to_owned(), setting]);
        }
        init.run().ok();
    }

    /// Where its repository lies on S3.
    pub fn prefix(&self) -> String {
        format!("bench{}", self.prefixes)
    }

    /// `lifeboat` with this round's configuration.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = as_server_user(&lifeboat_tests::program::bin_dir().join("lifeboat"));
        command.arg("--config").arg(self.dir.join("lifeboat.toml")).args(args).arg("--quiet");
        command
    }

    /// Its private key.
    pub fn identity(&self) -> String {
        self.dir.join("lifeboat-identity.txt").display().to_string()
    }

    fn shell(&self, words: &str) -> String {
        let program = lifeboat_tests::program::bin_dir().join("lifeboat");
        let config = self.dir.join("lifeboat.toml");
        format!("{} --config {} --quiet {words}", program.display(), config.display())
    }
}

impl Contender for Lifeboat {
    fn name(&self) -> &'static str {
        "lifeboat"
    }

    fn begin(&mut self, server: &Server) {
        self.begin_in(server, None);
    }

    fn backup(&self, _server: &Server, full: bool) -> Cost {
        let mut command = self.command(&["backup", "--kind", "base", "--json"]);
        if full {
            command.arg("--full");
        }
        cost(&command, &self.dir)
    }

    fn backup_by_content(&self) -> Option<Cost> {
        let mut command = self.command(&["backup", "--kind", "base", "--json"]);
        command.env("LIFEBOAT_BACKUP_BASE_TRUST", "content");
        Some(cost(&command, &self.dir))
    }

    fn restore(&self, to: &Path, _source: &Path) -> Cost {
        let mut command = self.command(&["restore", "--yes", "--json", "--to", "immediate"]);
        command.args(["--identity", &self.identity(), "--instance-to"]).arg(to);
        cost(&command, &self.dir)
    }

    fn push_command(&self) -> String {
        self.shell("wal push %p")
    }

    fn fetch_command(&self, _to: &Path) -> String {
        self.shell(&format!("wal fetch %f %p --identity {}", self.identity()))
    }

    fn dir(&self) -> &Path {
        &self.dir
    }
}

/// `pgbackrest`, with bundles, asynchronous archiving, and without waiting for WAL in backups.
pub struct PgBackRest {
    dir: PathBuf,
    program: PathBuf,
}

impl PgBackRest {
    /// Works below `work`.
    pub fn new(work: &Path, program: &Path) -> PgBackRest {
        let program = match program.components().count() {
            1 => Path::new("/usr/bin").join(program),
            _ => program.to_owned(),
        };
        PgBackRest { dir: work.join("pgbackrest"), program }
    }

    /// What `pgbackrest version` says.
    pub fn version(&self) -> String {
        finish(Command::new(&self.program).arg("version")).trim().to_owned()
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = as_server_user(&self.program);
        command.arg("--config").arg(self.dir.join("pgbackrest.conf")).arg("--stanza=bench").args(args);
        command
    }

    fn shell(&self, words: &str) -> String {
        let config = self.dir.join("pgbackrest.conf");
        format!("{} --config={} --stanza=bench {words}", self.program.display(), config.display())
    }
}

impl Contender for PgBackRest {
    fn name(&self) -> &'static str {
        "pgBackRest"
    }

    fn begin(&mut self, server: &Server) {
        set_aside(&self.dir);
        make_own_dir(&self.dir);
        for name in ["repository", "spool", "lock"] {
            make_own_dir(&self.dir.join(name));
        }
        let dir = self.dir.display();
        let text = format!(
            "[global]\nrepo1-path={dir}/repository\nrepo1-cipher-type=aes-256-cbc\nrepo1-cipher-pass=benchmark-benchmark-benchmark\n\
             repo1-bundle=y\nrepo1-retention-full=9\ncompress-type=zst\ncompress-level=3\nprocess-max=2\nstart-fast=y\n\
             archive-check=n\narchive-async=y\nspool-path={dir}/spool\nlock-path={dir}/lock\n\
             log-level-file=off\nlog-level-console=warn\n\
             [bench]\npg1-path={}\npg1-port={}\npg1-socket-path={}\npg1-user=postgres\n",
            server.data_dir.display(),
            server.port,
            server.host(),
        );
        private(&self.dir.join("pgbackrest.conf"), &text);
        finish(&mut self.command(&["stanza-create"]));
    }

    fn backup(&self, _server: &Server, full: bool) -> Cost {
        cost(&self.command(&["backup", if full { "--type=full" } else { "--type=incr" }]), &self.dir)
    }

    fn restore(&self, to: &Path, source: &Path) -> Cost {
        make_own_dir(to);
        let mut command = self.command(&["restore", "--type=immediate", "--target-action=promote"]);
        command.arg("--archive-mode=off").arg(format!("--pg1-path={}", to.display()));
        // its backups have no WAL, and nothing was archived: verification takes it from the source
        let copy = format!("--recovery-option=restore_command=cp {}/pg_wal/%f %p", source.display());
        cost(command.arg(copy), &self.dir)
    }

    fn push_command(&self) -> String {
        self.shell("archive-push %p")
    }

    fn fetch_command(&self, to: &Path) -> String {
        self.shell(&format!("--pg1-path={} archive-get %f %p", to.display()))
    }

    fn dir(&self) -> &Path {
        &self.dir
    }
}

fn private(path: &Path, text: &str) {
    use std::os::unix::fs::PermissionsExt;
    fs::write(path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
    if let lifeboat_tests::installed::Runner::Other { uid, gid } = lifeboat_tests::installed::Runner::find() {
        std::os::unix::fs::chown(path, Some(uid), Some(gid)).unwrap();
    }
}

/// Bytes of all files below `dir`.
pub fn tree_bytes(dir: &Path) -> u64 {
    let mut bytes = 0;
    if dir.is_dir() {
        lifeboat_tests::compare::walk(dir, &mut |path| {
            bytes += path.symlink_metadata().map_or(0, |meta| if meta.is_file() { meta.len() } else { 0 });
        });
    }
    bytes
}
