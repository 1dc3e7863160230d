//! Every key there is, in one table: its rule, its default, its line of explanation. The parser,
//! the error messages, the template of `lifeboat init` and the test of the documentation read it.

use std::fmt;

use super::units;

/// One key of `lifeboat.toml`.
#[derive(Debug)]
pub struct Key {
    /// `section.key`, or `key` at the top.
    pub name: &'static str,
    /// The default as TOML; `None` where there is none.
    pub default: Option<&'static str>,
    /// A value as TOML to show where there is no default.
    pub example: &'static str,
    /// What is allowed.
    pub takes: Takes,
    /// One line of explanation.
    pub help: &'static str,
}

/// What a key allows; bounds are inclusive, bytes or milliseconds where the rule has a unit.
#[derive(Clone, Copy, Debug)]
pub enum Takes {
    /// Any text that is not empty.
    Text,
    /// A path; relative ones are relative to the file's directory.
    Path,
    /// A URL or a directory.
    Url,
    /// A name with a rule of its own, said here.
    Name(&'static str),
    /// `true` or `false`.
    Flag,
    /// A whole number.
    Integer(u64, u64),
    /// A number of bytes with its unit.
    Size(u64, u64),
    /// Bytes a second with their unit, or `unlimited`.
    Rate(u64, u64),
    /// A duration with its unit.
    Duration(u64, u64),
    /// One of these words.
    OneOf(&'static [&'static str]),
    /// A list of texts, described here.
    List(&'static str),
    /// A list of paths.
    Paths,
}

impl fmt::Display for Takes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Takes::Text => f.write_str("a text that is not empty"),
            Takes::Path => f.write_str("a path"),
            Takes::Url => f.write_str("a directory or a URL such as \"s3://bucket/prefix\""),
            Takes::Name(rule) => f.write_str(rule),
            Takes::Flag => f.write_str("true or false"),
            Takes::Integer(least, most) => write!(f, "a whole number from {least} to {most}"),
            Takes::Size(least, most) => {
                write!(f, "a size from \"{}\" to \"{}\"", units::size_text(*least), units::size_text(*most))
            }
            Takes::Rate(least, most) => write!(
                f,
                "a rate from \"{}/s\" to \"{}/s\", or \"unlimited\"",
                units::size_text(*least),
                units::size_text(*most)
            ),
            Takes::Duration(least, most) => write!(
                f,
                "a duration from \"{}\" to \"{}\"",
                units::duration_text(*least),
                units::duration_text(*most)
            ),
            Takes::OneOf(words) => {
                let quoted: Vec<String> = words.iter().map(|word| format!("\"{word}\"")).collect();
                write!(f, "one of {}", quoted.join(", "))
            }
            Takes::List(of) => write!(f, "a list of {of}"),
            Takes::Paths => f.write_str("a list of paths"),
        }
    }
}

/// The sections, in the order of the template, each with its line.
pub const SECTIONS: &[(&str, &str)] = &[
    ("repository", "Where the archives are stored."),
    ("postgres", "The PostgreSQL server that holds the tenants."),
    ("odoo", "Odoo's side: the data directory, and which databases are tenants."),
    ("seal", "Who can read the archives. A production host needs recipients (public keys) only."),
    ("signing", "Who may write archives that restore accepts."),
    ("backup", "How backups run."),
    ("wal", "How WAL is archived and fetched."),
    ("restore", "How restores run."),
    ("agent", "The daemon, `lifeboat agent`."),
    (
        "schedule",
        "What the daemon runs, and when: crontab lines (minute hour day-of-month month day-of-week). No line, no runs.",
    ),
];

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;
const SECOND: u64 = 1_000;
const MINUTE: u64 = 60 * SECOND;
const HOUR: u64 = 60 * MINUTE;

const fn key(
    name: &'static str,
    takes: Takes,
    default: Option<&'static str>,
    example: &'static str,
    help: &'static str,
) -> Key {
    Key { name, default, example, takes, help }
}

/// Every key, in the order of the template.
#[rustfmt::skip] // a table: one key, one or two lines
pub const KEYS: &[Key] = &[
    key("instance", Takes::Name("1-64 of a-z 0-9 . _ -, starting with a letter or digit"), None, "\"production\"",
        "The name of this PostgreSQL cluster plus data directory; part of every key in the repository. Required."),
    key("state_dir", Takes::Path, Some("\"/var/lib/lifeboat\""), "",
        "The agent's own index and locks. When it is lost, the next backup is a full one."),

    key("repository.url", Takes::Url, None, "\"s3://acme-backups/odoo\"",
        "A directory, or s3://bucket/prefix, az://container/prefix, gs://bucket/prefix. Required."),
    key("repository.endpoint", Takes::Text, None, "\"https://s3.example.com\"",
        "The address of the server; without it the cloud's own. For Azure with the account: https://ACCOUNT.blob.core.windows.net, or http://HOST:PORT/ACCOUNT."),
    key("repository.region", Takes::Text, None, "\"eu-central-1\"", "The region of the bucket; for S3 alone."),
    key("repository.allow_http", Takes::Flag, Some("false"), "",
        "Allow an endpoint without TLS. Archives are encrypted anyway, but names and credentials' signatures can be read."),
    key("repository.virtual_hosted", Takes::Flag, Some("false"), "",
        "Address the bucket as bucket.host instead of host/bucket; for S3 alone."),
    key("repository.credentials_file", Takes::Path, None, "\"/etc/lifeboat/credentials\"",
        "A private file with what opens the store: access keys, a SAS token or a connection string, a service account's JSON. Without it the environment or the machine's role is used."),
    key("repository.request_timeout", Takes::Duration(SECOND, HOUR), Some("\"60s\""), "",
        "How long one request may take."),
    key("repository.retry_deadline", Takes::Duration(0, 24 * HOUR), Some("\"5min\""), "",
        "How long a failing request is tried again, all tries together."),
    key("repository.retries_max", Takes::Integer(0, 100), Some("10"), "",
        "How many times a failing request is tried again."),

    key("postgres.host", Takes::Text, None, "\"/var/run/postgresql\"",
        "A host name, or the directory of a unix socket; without it the local socket."),
    key("postgres.port", Takes::Integer(1, 65_535), Some("5432"), "", "The server's port."),
    key("postgres.user", Takes::Text, None, "\"odoo\"",
        "The role to connect as; without it $USER, else \"odoo\". It must be able to read every tenant."),
    key("postgres.password_file", Takes::Path, None, "\"/etc/lifeboat/postgres-password\"",
        "A private file that holds the password and nothing else."),
    key("postgres.passfile", Takes::Path, None, "\"/etc/lifeboat/pgpass\"",
        "A password file in libpq's format (host:port:database:user:password), as ~/.pgpass."),
    key("postgres.bin_dir", Takes::Path, None, "\"/usr/lib/postgresql/15/bin\"",
        "Where pg_dump and its like are; without it the one of the server's major version is looked for."),
    key("postgres.maintenance_database", Takes::Text, Some("\"postgres\""), "",
        "The database to connect to for what concerns no tenant."),
    key("postgres.connect_timeout", Takes::Duration(SECOND, 10 * MINUTE), Some("\"10s\""), "",
        "How long connecting may take."),
    key("postgres.tls", Takes::OneOf(&["disable", "prefer", "require", "verify-ca", "verify-full"]), Some("\"prefer\""), "",
        "TLS to the server, in libpq's words; verify-ca also checks its certificate, verify-full its name too."),
    key("postgres.tls_ca_file", Takes::Path, None, "\"/etc/lifeboat/postgres-ca.pem\"",
        "The authority that verify-ca and verify-full trust; without it the system's."),
    key("postgres.tls_cert_file", Takes::Path, None, "\"/etc/lifeboat/postgres-client.crt\"",
        "Lifeboat's own certificate, for a server that wants one (cert or clientcert in pg_hba.conf)."),
    key("postgres.tls_key_file", Takes::Path, None, "\"/etc/lifeboat/postgres-client.key\"",
        "Its key: private, without a passphrase."),

    key("odoo.data_dir", Takes::Path, None, "\"/var/lib/odoo/.local/share/Odoo\"",
        "Odoo's data_dir: the directory that holds filestore/."),
    key("odoo.tenants", Takes::List("database names"), Some("[]"), "",
        "The databases to protect; empty: every database that holds ir_module_module."),
    key("odoo.exclude", Takes::List("database names"), Some("[]"), "", "Databases to leave out. Every other one that is Odoo's, templates too, or that nobody can look into, is stored or makes the backup exit with 3."),

    key("seal.recipients", Takes::List("age recipients (\"age1...\") or SSH public keys (\"ssh-ed25519 ...\", \"ssh-rsa ...\")"), Some("[]"), "",
        "Public keys that archives are encrypted to: one for operations and one in escrow, at least."),
    key("seal.recipients_file", Takes::Path, None, "\"/etc/lifeboat/recipients.txt\"",
        "More recipients, one a line."),
    key("seal.identity_files", Takes::Paths, Some("[]"), "",
        "Private keys that archives are decrypted with: on restore and drill hosts only."),
    key("seal.passphrase_file", Takes::Path, None, "\"/run/secrets/lifeboat-passphrase\"",
        "A private file with the passphrase of the identity files, where they have one."),

    key("signing.key_file", Takes::Path, None, "\"lifeboat-signing-key\"",
        "The Ed25519 private key (OpenSSH format, no passphrase) that signs what this host stores."),
    key("signing.trusted_keys", Takes::List("Ed25519 public keys (\"ssh-ed25519 AAAA... comment\")"), Some("[]"), "",
        "Public keys whose signatures restore and verify accept."),

    key("backup.workers", Takes::Integer(1, 64), Some("2"), "",
        "How many packs are built at once; each costs one core to two and some 40 MiB of memory."),
    key("backup.zstd_level", Takes::Integer(1, 19), Some("3"), "", "Compression level."),
    key("backup.pack_bytes", Takes::Size(MIB, GIB), Some("\"64MiB\""), "",
        "How much content goes into one pack."),
    key("backup.read_bytes_per_second_max", Takes::Rate(64 * KIB, 1024 * GIB), Some("\"unlimited\""), "",
        "How fast the filestore and, for base backups, the data directory are read."),
    key("backup.upload_bytes_per_second_max", Takes::Rate(64 * KIB, 1024 * GIB), Some("\"unlimited\""), "",
        "How fast archives are uploaded."),
    key("backup.low_priority", Takes::Flag, Some("true"), "",
        "Run at low CPU and I/O priority."),
    key("backup.release_file", Takes::Path, None, "\"/etc/lifeboat/release\"",
        "A file in which the pipeline writes the release ID, for backups without --release."),
    key("backup.fence_seconds_max", Takes::Integer(0, 3_600), Some("120"), "",
        "How long Odoo's collection of unused attachments may be kept waiting; 0: never."),
    key("backup.dump_readback", Takes::Flag, Some("true"), "",
        "Read each dump back from the repository before its snapshot is published."),
    key("backup.filestore_chain_max", Takes::Integer(1, 1_000), Some("24"), "",
        "After how many incremental filestore snapshots the index is consolidated."),
    key("backup.base_chain_max", Takes::Integer(1, 1_000), Some("15"), "",
        "How many base backups may build upon each other, the full one counted; 1: every one is full."),
    key("backup.base_source", Takes::OneOf(&["auto", "files", "protocol"]), Some("\"auto\""), "",
        "Where base backups come from: the data directory beside its server (files), the server over the replication protocol (protocol), or the first where it can be read here (auto)."),
    key("backup.base_trust", Takes::OneOf(&["times", "content"]), Some("\"times\""), "",
        "How incremental base backups tell that a file has not changed: by its size, inode, mtime and ctime (times; a hundredth of what is skipped is read and compared all the same), or by reading it (content). Full ones read everything."),

    key("wal.stream", Takes::Flag, Some("true"), "",
        "Whether `lifeboat agent` streams WAL, through a replication slot that keeps what is not stored yet."),
    key("wal.slot", Takes::Name("1-63 of a-z 0-9 _"), Some("\"lifeboat\""), "",
        "The physical replication slot of `lifeboat agent`, made when it is not there; also its application_name."),
    key("wal.piece_interval", Takes::Duration(0, MINUTE), Some("\"1s\""), "",
        "How long the agent waits at least between two pieces of the growing tail, unless commits wait for it."),
    key("wal.workers", Takes::Integer(1, 16), Some("4"), "",
        "How many WAL files are pushed or fetched at once; each takes up to 50 MiB of memory."),
    key("wal.batch", Takes::Integer(1, 64), Some("8"), "",
        "How many WAL files one push or fetch takes with it when they are ready; 1: only the one that is asked for."),
    key("wal.stall_max", Takes::Duration(SECOND, 24 * HOUR), Some("\"5min\""), "",
        "How long the agent may store nothing, while there may be something to store, before /healthz, status and its log raise the alarm."),
    key("wal.slot_warn_percent", Takes::Integer(1, 99), Some("50"), "",
        "From how much on of what the slot may keep (max_slot_wal_keep_size, free space of pg_wal's disk) the alarm begins; halfway to 100 it is critical."),

    key("restore.workers", Takes::Integer(1, 64), Some("2"), "", "How many packs are read at once."),
    key("restore.work_dir", Takes::Path, None, "\"/var/tmp\"",
        "Where a dump is unpacked before it is loaded; without it in the state directory. Directories in it are made anew and private. It has to be root's or the restoring user's, and nobody else may write there, unless it is sticky as /var/tmp."),
    key("restore.jobs", Takes::Integer(1, 64), Some("2"), "", "How many tables pg_restore loads at once."),

    key("agent.listen", Takes::Text, Some("\"127.0.0.1:9345\""), "",
        "Address and port of /metrics, /livez and /readyz, or \"off\". \"[::]:9345\" opens them to other machines: they show names of tenants and times, no secret."),
    key("agent.follow_filestore", Takes::Flag, Some("true"), "",
        "Whether each new file of a filestore is stored within seconds, where odoo.data_dir is set."),
    key("agent.follow_interval", Takes::Duration(0, HOUR), Some("\"5s\""), "",
        "How long at least between two batches of new files: each is four objects, whichever tenants they are of."),
    key("agent.follow_scan", Takes::Duration(SECOND, 24 * HOUR), Some("\"5min\""), "",
        "How often all names are compared besides; more often by itself where the kernel does not tell of new files."),

    key("schedule.time_zone", Takes::Text, Some("\"UTC\""), "",
        "The zone that the lines are in, such as \"Europe/Berlin\"; daylight saving is followed."),
    key("schedule.backup", Takes::Text, None, "\"30 1 * * *\"", "Dumps and filestores of every tenant."),
    key("schedule.filestore", Takes::Text, None, "\"*/15 * * * *\"", "Filestores alone, in between."),
    key("schedule.base", Takes::Text, None, "\"0 2 * * 1-6\"",
        "Base backups: blocks that changed since the last one, or all where there is none to build upon."),
    key("schedule.base_full", Takes::Text, None, "\"0 2 * * 0\"", "Base backups of everything."),
    key("schedule.jitter_max", Takes::Duration(0, HOUR), Some("\"2min\""), "",
        "Runs begin up to so much later, differently on each host: many agents do not start in one second."),
    key("schedule.deadline", Takes::Duration(MINUTE, 7 * 24 * HOUR), Some("\"12h\""), "",
        "How long a run may take before it is stopped."),
    key("schedule.retries_max", Takes::Integer(0, 100), Some("2"), "",
        "How many times a run that failed is tried again, where that could help."),
    key("schedule.retry_delay", Takes::Duration(SECOND, 24 * HOUR), Some("\"10min\""), "",
        "How long after its end."),
];

/// The key of this name.
pub fn find(name: &str) -> Option<&'static Key> {
    KEYS.iter().find(|key| key.name == name)
}

impl Key {
    /// `LIFEBOAT_BACKUP_WORKERS` for `backup.workers`.
    pub fn variable(&self) -> String {
        format!("LIFEBOAT_{}", self.name.replace('.', "_").to_ascii_uppercase())
    }
}

/// The known name that a mistyped one most likely meant, among these; `None` when none is near.
/// A key written without its section, or under another one, counts as near.
pub fn nearest<'a>(typed: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let last = |name: &str| name.rsplit('.').next().unwrap_or_default().to_owned();
    let bound = (last(typed).chars().count() / 3).max(2);
    known
        .map(|name| (distance(&last(typed), &last(name)), distance(typed, name), name))
        .filter(|(short, _, _)| *short <= bound)
        .min()
        .map(|(_, _, name)| name)
}

/// Levenshtein's distance.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().take(100).collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, ca) in a.chars().take(100).enumerate() {
        let mut corner = row[0];
        row[0] = i + 1;
        for (j, cb) in b.iter().enumerate() {
            let replace = corner + usize::from(ca != *cb);
            corner = row[j + 1];
            row[j + 1] = replace.min(row[j] + 1).min(corner + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_typo_finds_the_key_that_was_meant() {
        let near = |typed| nearest(typed, KEYS.iter().map(|key| key.name));
        assert_eq!(near("backup.worker"), Some("backup.workers"));
        assert_eq!(near("restore.worker"), Some("restore.workers"));
        assert_eq!(near("postgres.pasword_file"), Some("postgres.password_file"));
        assert_eq!(near("zstd_level"), Some("backup.zstd_level"));
        assert_eq!(near("backup.colour_of_the_boat"), None);
    }
}
