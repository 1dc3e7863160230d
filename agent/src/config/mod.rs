//! The configuration: typed values, validated once.
//!
//! Flags beat the environment (`LIFEBOAT_<SECTION>_<KEY>`), which beats the file
//! (`lifeboat.toml`), which beats the default. Every error names the place (file and line,
//! variable or flag), the key, the value and what is allowed. It never contains secrets: it names
//! the files that hold them. `docs/configuration.md` lists every key; [`keys::KEYS`] is the table.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::tz::TimeZone;

use crate::clock::Timestamp;
use crate::crontab::Schedule;
use crate::error::Result;
use crate::names::wal::SlotName;
use crate::names::{InstanceName, TenantName};

mod build;
mod checkpoint;
mod classes;
mod cold;
mod environment;
mod file;
mod given;
pub mod keys;
pub mod period;
mod public_keys;
mod read;
mod scheduled;
mod settings;
mod template;
#[cfg(test)]
mod tests;
pub mod units;

pub use checkpoint::{Checkpoint, Freeze, Opens, Tier};
pub use classes::{Class, Pattern, class_of, classes_of};
pub use cold::{Cold, ColdPeriods};
pub use file::{FILE_NAME, SYSTEM_FILE};
pub use public_keys::recipient;
pub use scheduled::{Scheduled, Work};
pub use settings::{Shown, settings};
pub use template::{Setting, template};

use given::{Given, Origin, Value, wrong, wrong_so};
use read::Reader;

/// The whole configuration, one field per section.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// The absolute path of the file; empty if flags and environment gave everything.
    pub file: PathBuf,
    /// The name of the cluster and its Odoo data directory.
    pub instance: InstanceName,
    /// The directory of Lifeboat's own index and locks.
    pub state_dir: PathBuf,
    /// Where archives are stored.
    pub repository: Repository,
    /// The server.
    pub postgres: Postgres,
    /// Odoo's side.
    pub odoo: Odoo,
    /// Who can read archives.
    pub seal: Seal,
    /// Who may write archives.
    pub signing: Signing,
    /// How backups run.
    pub backup: Backup,
    /// How WAL is archived.
    pub wal: Wal,
    /// What is captured of the configuration.
    pub configuration: Configuration,
    /// How restores run.
    pub restore: Restore,
    /// The daemon.
    pub agent: Agent,
    /// When a release is paused or undone.
    pub watch: Watch,
    /// When the daemon runs each job.
    pub schedule: Schedules,
    /// The release checkpoint.
    pub checkpoint: Checkpoint,
    /// What the store costs.
    pub rates: Rates,
    /// What goes to another storage class.
    pub cold: ColdPeriods,
    /// How expire deletes.
    pub expire: Expire,
    /// The recovery classes, by name.
    pub classes: BTreeMap<String, Class>,
}

/// Where archives are stored.
#[derive(Clone, Debug, PartialEq)]
pub struct Repository {
    /// An absolute directory, or a URL with one of the schemes file, s3, az, gs.
    pub url: String,
    /// Address of the object store, instead of the cloud's own.
    pub endpoint: Option<String>,
    /// Region of the bucket.
    pub region: Option<String>,
    /// Whether an endpoint without TLS is allowed.
    pub allow_http: bool,
    /// bucket.host instead of host/bucket.
    pub virtual_hosted: bool,
    /// A private file with the store's credentials.
    pub credentials_file: Option<PathBuf>,
    /// The moment as of which it is read, and then only read. No key: a command says it.
    pub as_of: Option<Timestamp>,
    /// A profile of `~/.aws` that has them instead.
    pub profile: Option<String>,
    /// Whether new objects are locked as long as they are promised, and how.
    pub lock: Option<LockMode>,
    /// Limit of one request.
    pub request_timeout: Duration,
    /// Limit of all tries of a request together.
    pub retry_deadline: Duration,
    /// How many times a request is tried again.
    pub retries_max: usize,
}

/// How strict the lock of an object is (Amazon S3: Object Lock).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum LockMode {
    /// Somebody with the right to bypass it can shorten or remove the lock.
    Governance,
    /// Nobody can, not even the owner of the account.
    Compliance,
}

impl std::fmt::Display for LockMode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            LockMode::Governance => "governance",
            LockMode::Compliance => "compliance",
        })
    }
}

/// TLS to the server, as libpq's sslmode.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Tls {
    /// Never.
    Disable,
    /// If the server offers it; the certificate is not checked.
    Prefer,
    /// Always; the certificate is not checked.
    Require,
    /// Always; the certificate is checked, its host name is not.
    VerifyCa {
        /// The authority to trust; the system's if `None`.
        ca_file: Option<PathBuf>,
    },
    /// Always; the certificate and its host name are checked.
    VerifyFull {
        /// The authority to trust; the system's if `None`.
        ca_file: Option<PathBuf>,
    },
}

/// The server.
#[derive(Clone, Debug, PartialEq)]
pub struct Postgres {
    /// A host name or a directory with a socket; the local socket if `None`.
    pub host: Option<String>,
    /// Port.
    pub port: u16,
    /// Role.
    pub user: String,
    /// A private file with only the password.
    pub password_file: Option<PathBuf>,
    /// A file in the format of `~/.pgpass`.
    pub passfile: Option<PathBuf>,
    /// The directory of `pg_dump`; searched for if `None`.
    pub bin_dir: Option<PathBuf>,
    /// The database for work that concerns no single tenant.
    pub maintenance_database: String,
    /// Limit of connecting.
    pub connect_timeout: Duration,
    /// TLS.
    pub tls: Tls,
    /// Lifeboat's client certificate, for a server that requires one.
    pub tls_cert_file: Option<PathBuf>,
    /// The key of `tls_cert_file`.
    pub tls_key_file: Option<PathBuf>,
}

/// Odoo's side.
#[derive(Clone, Debug, PartialEq)]
pub struct Odoo {
    /// The directory that holds `filestore/`; see [`Config::data_dir`].
    pub data_dir: Option<PathBuf>,
    /// The databases to back up; if empty, they are discovered.
    pub tenants: Vec<TenantName>,
    /// Databases to leave out.
    pub exclude: Vec<TenantName>,
}

/// Who can read archives.
#[derive(Clone, Debug, PartialEq)]
pub struct Seal {
    /// Public keys, checked to parse.
    pub recipients: Vec<String>,
    /// A file with more of them, one per line.
    pub recipients_file: Option<PathBuf>,
    /// Private keys; on restore hosts only.
    pub identity_files: Vec<PathBuf>,
    /// The passphrase of the identity files.
    pub passphrase_file: Option<PathBuf>,
}

/// Who may write archives.
#[derive(Clone, Debug, PartialEq)]
pub struct Signing {
    /// The private key that signs.
    pub key_file: Option<PathBuf>,
    /// Public keys that are accepted, in OpenSSH's format, checked to parse and to be Ed25519.
    pub trusted_keys: Vec<String>,
}

/// What the store costs.
#[derive(Clone, Debug, PartialEq)]
pub struct Rates {
    /// The currency.
    pub currency: String,
    /// The prices of the storage class that the bucket gives new objects.
    pub prices: Prices,
}

/// The prices of a storage class.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Prices {
    /// A GB for a month.
    pub gb_month: Option<f64>,
    /// Reading a GB.
    pub retrieval_gb: Option<f64>,
    /// Objects that are deleted earlier are paid for so many days.
    pub minimum_days: u32,
}

/// How expire deletes what no recovery class keeps.
#[derive(Clone, Debug, PartialEq)]
pub struct Expire {
    /// How long before it is deleted something is announced.
    pub grace: Duration,
    /// The largest share of what is stored that one run announces.
    pub max_percent: u8,
    /// The private key that signs announcements.
    pub key_file: Option<PathBuf>,
    /// Public keys whose announcements are believed, besides those of `signing`.
    pub trusted_keys: Vec<String>,
    /// How long reports of drills are kept.
    pub drills: Duration,
}

/// How backups run.
#[derive(Clone, Debug, PartialEq)]
pub struct Backup {
    /// Packs built at once.
    pub workers: usize,
    /// Compression level.
    pub zstd_level: i32,
    /// Content of one pack.
    pub pack_bytes: u64,
    /// Reading rate; unlimited if `None`.
    pub read_bytes_per_second_max: Option<u64>,
    /// Upload rate; unlimited if `None`.
    pub upload_bytes_per_second_max: Option<u64>,
    /// Whether CPU and I/O priority are lowered.
    pub low_priority: bool,
    /// Where the pipeline writes the release ID.
    pub release_file: Option<PathBuf>,
    /// How long a backup may block Odoo's garbage collection of attachments; 0 means never.
    pub fence_seconds_max: u64,
    /// Whether pg_restore reads each dump to its end during the upload, before its snapshot is published.
    pub dump_readback: bool,
    /// Incremental snapshots before the next complete index.
    pub filestore_chain_max: u32,
    /// Files of old snapshots of which less than so many percent are needed are stored again; 0 for never.
    pub filestore_compact: u8,
    /// The largest size of the files that one run stores again for that.
    pub filestore_compact_max: u64,
    /// Base backups of one chain, including the full one.
    pub base_chain_max: u32,
    /// Where base backups come from.
    pub base_source: BaseSource,
    /// How base backups detect unchanged files.
    pub base_trust: BaseTrust,
}

/// How base backups detect unchanged files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BaseTrust {
    /// By its times; the rule is in `backup/base/times.rs`.
    Times,
    /// By its content.
    Content,
}

/// Where base backups come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BaseSource {
    /// The files if this host can read them, else the server.
    Auto,
    /// The data directory, on the server's host.
    Files,
    /// The server, over the replication protocol.
    Protocol,
}

/// How WAL is archived and fetched.
#[derive(Clone, Debug, PartialEq)]
pub struct Wal {
    /// Whether the daemon streams it.
    pub stream: bool,
    /// The agent's slot and application_name.
    pub slot: SlotName,
    /// The shortest time between two pieces of the WAL file that is still growing.
    pub piece_interval: Duration,
    /// Files pushed or fetched at once.
    pub workers: usize,
    /// How many WAL files one push or fetch handles when more are ready.
    pub batch: usize,
    /// How long no WAL may be stored, although there may be some to store, before the alarm.
    pub stall_max: Duration,
    /// The alarm begins when the slot keeps this percentage of what it may keep.
    pub slot_warn_percent: u8,
}

/// What is captured of the configuration.
#[derive(Clone, Debug, PartialEq)]
pub struct Configuration {
    /// Files and folders.
    pub files: Vec<PathBuf>,
    /// Patterns of paths and names that are left out.
    pub exclude: Vec<String>,
    /// Namespaces of Kubernetes.
    pub namespaces: Vec<String>,
    /// A path, or a name on PATH.
    pub kubectl: String,
    /// What kubectl reads; its own default if `None`.
    pub kubeconfig: Option<PathBuf>,
    /// Where kubectl keeps what it knows of the server: in the state directory. No key sets it.
    pub kubectl_cache: PathBuf,
}

/// How restores run.
#[derive(Clone, Debug, PartialEq)]
pub struct Restore {
    /// Packs read at once.
    pub workers: usize,
    /// Where dumps are unpacked; in the state directory if `None`.
    pub work_dir: Option<PathBuf>,
    /// Tables loaded at once.
    pub jobs: usize,
}

/// The daemon.
#[derive(Clone, Debug, PartialEq)]
pub struct Agent {
    /// The address of metrics and health pages; off if `None`.
    pub listen: Option<SocketAddr>,
    /// The token of environment checks; no checks if `None`.
    pub checks_token_file: Option<PathBuf>,
    /// The hosts that decisions are sent to, each with its port if it is not 443.
    pub checks_hosts: Vec<String>,
    /// Whether new files of the filestores are stored at once.
    pub follow_filestore: bool,
    /// The shortest time between the beginnings of two batches of new files.
    pub follow_interval: Duration,
    /// Time between two scans for files that the kernel did not report.
    pub follow_scan: Duration,
}

/// When a release is paused or undone.
#[derive(Clone, Debug, PartialEq)]
pub struct Watch {
    /// So much less, in percent, means pause.
    pub pause_drop_percent: u64,
    /// So much less, in percent, means roll back.
    pub rollback_drop_percent: u64,
    /// More failures since the release mean pause.
    pub failures_max: u64,
    /// A longer wait for a lock means pause.
    pub lock_wait_max: Duration,
    /// With fewer documents to compare with, nothing is concluded.
    pub least: u64,
    /// The time limit of reading one table.
    pub read_time_max: Duration,
}

/// When the daemon runs each job.
#[derive(Clone, Debug, PartialEq)]
pub struct Schedules {
    /// Dumps and filestores.
    pub backup: Option<Schedule>,
    /// Filestores only.
    pub filestore: Option<Schedule>,
    /// Base backups, incremental if possible.
    pub base: Option<Schedule>,
    /// Full base backups.
    pub base_full: Option<Schedule>,
    /// Captures of the configuration.
    pub configuration: Option<Schedule>,
    /// Expiry.
    pub expire: Option<Schedule>,
    /// Checks of the repository.
    pub verify: Option<Schedule>,
    /// How many percent of the content these checks read.
    pub verify_sample: u8,
    /// Restore drills.
    pub drill: Option<Schedule>,
    /// Their plan.
    pub drill_plan: Option<PathBuf>,
    /// The longest delay of a run.
    pub jitter_max: Duration,
    /// How long a run may take.
    pub deadline: Duration,
    /// How many times a failed run is tried again.
    pub retries_max: u32,
    /// How long after its end a failed run is tried again.
    pub retry_delay: Duration,
    /// The zone of these lines, and of the calendar by which backups are kept.
    pub zone: TimeZone,
}

/// The sources of a configuration.
#[derive(Clone, Debug, Default)]
pub struct Inputs {
    /// `--config`.
    pub config: Option<PathBuf>,
    /// `--repository`.
    pub repository: Option<String>,
    /// `--instance`.
    pub instance: Option<String>,
    /// `--as-of`, of the commands that only read.
    pub as_of: Option<Timestamp>,
    /// The environment.
    pub environment: Vec<(OsString, OsString)>,
    /// The whole command line; the error for a user who may not read the file repeats it after `sudo -u`.
    pub arguments: Vec<OsString>,
}

impl Inputs {
    /// No flags, and the environment of this process.
    pub fn from_process() -> Inputs {
        Inputs {
            environment: std::env::vars_os().collect(),
            arguments: std::env::args_os().collect(),
            ..Inputs::default()
        }
    }

    /// A variable of the environment; `None` if it is absent or empty.
    pub fn variable(&self, name: &str) -> Result<Option<String>> {
        let found = self.environment.iter().find(|(n, value)| n == name && !value.is_empty());
        found
            .map(|(_, value)| {
                let text = value.to_str().map(str::to_owned);
                text.ok_or_else(|| wrong(format!("environment variable {name} is not UTF-8")))
            })
            .transpose()
    }
}

impl Config {
    /// Loads and validates. Reads one file, writes nothing.
    ///
    /// # Errors
    /// [`Kind::Config`](crate::error::Kind::Config), for the first thing that is wrong; running
    /// again helps only after a change.
    pub fn load(inputs: &Inputs) -> Result<Config> {
        let (path, text) = file::load(inputs)?.unwrap_or_default();
        Config::parse(&path, &text, inputs)
    }

    /// [`Config::load`] for a text that was already read.
    pub fn parse(path: &Path, text: &str, inputs: &Inputs) -> Result<Config> {
        let mut given = file::parse(path, text)?;
        environment::add(&mut given, &inputs.environment)?;
        let flags = [
            ("repository.url", "--repository", &inputs.repository),
            ("instance", "--instance", &inputs.instance),
        ];
        for (name, flag, value) in flags {
            if let Some(text) = value {
                let value = Value::Bare(text.clone());
                given.insert(name.to_owned(), Given::new(value, Origin::Flag(flag), &format!("{text:?}")));
            }
        }
        build::build(path, &Reader::new(&given), inputs)
    }

    /// Odoo's data directory, for commands that need it.
    ///
    /// # Errors
    /// [`Kind::Config`](crate::error::Kind::Config) if it is not set.
    pub fn data_dir(&self) -> Result<&Path> {
        self.odoo.data_dir.as_deref().ok_or_else(|| {
            let what = format!("this command needs odoo.data_dir, but {} does not set it", self.place());
            wrong_so(what, "write `data_dir = \"...\"` under [odoo]: Odoo's data_dir, the directory that holds filestore/")
        })
    }

    /// The file's name in errors.
    fn place(&self) -> String {
        place(&self.file)
    }
}

fn place(file: &Path) -> String {
    if file.as_os_str().is_empty() {
        return format!("the environment (and there is neither ./{FILE_NAME} nor {SYSTEM_FILE})");
    }
    file.display().to_string()
}
