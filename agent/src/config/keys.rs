//! Every key there is, in one table: its rule, its default, its line of explanation. The parser,
//! the error messages, the template of `lifeboat init` and the test of the documentation read it.

use std::fmt;

use super::units;

/// One key of `lifeboat.toml`.
#[derive(Debug)]
pub struct Key {
    /// `section.key`, or `key` at the top.
    pub name: &'static str,
    /// The default as TOML; `None` if it has none.
    pub default: Option<&'static str>,
    /// An example value as TOML, shown if there is no default.
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
    /// A name; the text is its rule.
    Name(&'static str),
    /// `true` or `false`.
    Flag,
    /// A whole number.
    Integer(u64, u64),
    /// A number with at most nine digits after the point, such as a price.
    Decimal,
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
            Takes::Decimal => f.write_str("a number such as \"0.023\", in quotes"),
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

/// The sections in the order of the template, each with its line of explanation.
pub const SECTIONS: &[(&str, &str)] = &[
    ("repository", "Where the archives are stored."),
    ("postgres", "The PostgreSQL server that holds the tenants."),
    ("odoo", "Odoo's side: the data directory, and which databases are tenants."),
    ("seal", "Who can read the archives. A production host needs recipients (public keys) only."),
    ("signing", "Who may write archives that restore accepts."),
    ("backup", "How backups run."),
    ("wal", "How WAL is archived and fetched."),
    (
        "configuration",
        "What a checkpoint and `lifeboat backup --kind config` capture. Secrets become keyed digests.",
    ),
    ("restore", "How restores run."),
    ("agent", "The daemon, `lifeboat agent`."),
    ("watch", "When `lifeboat release watch` says pause or roll back."),
    (
        "schedule",
        "When jobs run, as crontab lines: minute hour day-of-month month day-of-week. No line: no runs.",
    ),
    ("checkpoint", "The release checkpoint: its gates and its evidence."),
    ("cohort.*", "A list of tenants under a name of yours, for a release or a rollback of some of them."),
    (
        "freeze.*",
        "A freeze window under a name of yours: no release passes while it is open. Either from and to, or schedule and lasts.",
    ),
    (
        "tier.*",
        "What a release of this tier needs. Without any such section there are three: emergency (1 approval; may override drill, base, freeze and agent), standard (1 approval) and major (2 approvals).",
    ),
    (
        "rates",
        "What the store costs, for the plan of `lifeboat expire`: the prices of the storage class in which the bucket keeps new objects.",
    ),
    (
        "cold.*",
        "Another storage class of the store for the content of dumps that are kept as the first of a period: `[cold.yearly]`, monthly, weekly, daily or hourly. The longest period counts (docs/retention.md).",
    ),
    ("expire", "How `lifeboat expire` deletes what no recovery class keeps."),
    (
        "class.*",
        "A recovery class: its tenants, what they are promised, and what is kept. Each tenant must have exactly one class; `lifeboat policy check` names those that do not (docs/retention.md).",
    ),
];

/// The known gates, for `Takes::List` of gates.
const GATES: &str =
    "gates (chain, wal, filestore, drill, base, freeze, region, approval, migration, agent, rehearsal)";

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;
const SECOND: u64 = 1_000;
const MINUTE: u64 = 60 * SECOND;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;

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
        "The name of this PostgreSQL cluster and its Odoo data directory; it is part of every key in the repository. Required."),
    key("state_dir", Takes::Path, Some("\"/var/lib/lifeboat\""), "",
        "The directory of Lifeboat's own index and locks. If it is lost, the next backup is a full one."),

    key("repository.url", Takes::Url, None, "\"s3://acme-backups/odoo\"",
        "A directory, or s3://bucket/prefix, az://container/prefix, gs://bucket/prefix. Required."),
    key("repository.endpoint", Takes::Text, None, "\"https://s3.example.com\"",
        "The address of the object store; without it the cloud's own address is used. For Azure it includes the account: https://ACCOUNT.blob.core.windows.net, or http://HOST:PORT/ACCOUNT."),
    key("repository.region", Takes::Text, None, "\"eu-central-1\"", "The region of the bucket; S3 only."),
    key("repository.allow_http", Takes::Flag, Some("false"), "",
        "Allow an endpoint without TLS. Archives are still encrypted, but the network can read object names and request signatures."),
    key("repository.virtual_hosted", Takes::Flag, Some("false"), "",
        "Address the bucket as bucket.host instead of host/bucket; S3 only."),
    key("repository.credentials_file", Takes::Path, None, "\"/etc/lifeboat/credentials\"",
        "A private file with the store's credentials: access keys, a SAS token, a connection string, or a service account's JSON. Without it Lifeboat uses the environment, then the machine's role."),
    key("repository.profile", Takes::Text, None, "\"backup\"",
        "A profile of ~/.aws/config that has the credentials (keys, a role, SSO) instead of a file; S3 only. Of the profile only the credentials are used: set the region and the endpoint here."),
    key("repository.lock", Takes::OneOf(&["none", "governance", "compliance"]), Some("\"none\""), "",
        "Lock each new object until the end of what its recovery class promises; needs a bucket of S3 with Object Lock. Nobody can end a lock of the mode compliance, not even the owner of the account."),
    key("repository.request_timeout", Takes::Duration(SECOND, HOUR), Some("\"60s\""), "",
        "Time limit of one request."),
    key("repository.retry_deadline", Takes::Duration(0, 24 * HOUR), Some("\"5min\""), "",
        "Time limit of all tries of one request together."),
    key("repository.retries_max", Takes::Integer(0, 100), Some("10"), "",
        "How many times a failing request is tried again."),

    key("postgres.host", Takes::Text, None, "\"/var/run/postgresql\"",
        "A host name, or the directory of a Unix socket; without it Lifeboat uses the local socket."),
    key("postgres.port", Takes::Integer(1, 65_535), Some("5432"), "", "The server's port."),
    key("postgres.user", Takes::Text, None, "\"odoo\"",
        "The role to connect as; the default is $USER, else \"odoo\". It must be able to read every tenant."),
    key("postgres.password_file", Takes::Path, None, "\"/etc/lifeboat/postgres-password\"",
        "A private file that holds the password and nothing else."),
    key("postgres.passfile", Takes::Path, None, "\"/etc/lifeboat/pgpass\"",
        "A password file in libpq's format (host:port:database:user:password), as ~/.pgpass."),
    key("postgres.bin_dir", Takes::Path, None, "\"/usr/lib/postgresql/15/bin\"",
        "The directory of pg_dump, pg_restore and the other PostgreSQL programs; without it Lifeboat searches for those of the server's major version."),
    key("postgres.maintenance_database", Takes::Text, Some("\"postgres\""), "",
        "The database to connect to for work that concerns no single tenant."),
    key("postgres.connect_timeout", Takes::Duration(SECOND, 10 * MINUTE), Some("\"10s\""), "",
        "Time limit of connecting to the server."),
    key("postgres.tls", Takes::OneOf(&["disable", "prefer", "require", "verify-ca", "verify-full"]), Some("\"prefer\""), "",
        "TLS to the server, as libpq's sslmode: verify-ca checks the server's certificate, verify-full its host name too."),
    key("postgres.tls_ca_file", Takes::Path, None, "\"/etc/lifeboat/postgres-ca.pem\"",
        "The certificate authority that verify-ca and verify-full trust; without it they trust the system's."),
    key("postgres.tls_cert_file", Takes::Path, None, "\"/etc/lifeboat/postgres-client.crt\"",
        "Lifeboat's own certificate, for a server that wants one (cert or clientcert in pg_hba.conf)."),
    key("postgres.tls_key_file", Takes::Path, None, "\"/etc/lifeboat/postgres-client.key\"",
        "The private key of tls_cert_file, without a passphrase."),

    key("odoo.data_dir", Takes::Path, None, "\"/var/lib/odoo/.local/share/Odoo\"",
        "Odoo's data_dir: the directory that holds filestore/."),
    key("odoo.tenants", Takes::List("database names"), Some("[]"), "",
        "The databases to back up. An empty list means every database that has a table ir_module_module."),
    key("odoo.exclude", Takes::List("database names"), Some("[]"), "", "Databases to leave out. Any other database of Odoo, templates included, and any that Lifeboat cannot read, is stored or makes the backup exit with 3."),

    key("seal.recipients", Takes::List("age recipients (\"age1...\") or SSH public keys (\"ssh-ed25519 ...\", \"ssh-rsa ...\")"), Some("[]"), "",
        "Public keys that archives are encrypted to. Use at least two: one for operations and one in escrow."),
    key("seal.recipients_file", Takes::Path, None, "\"/etc/lifeboat/recipients.txt\"",
        "A file with more recipients, one per line."),
    key("seal.identity_files", Takes::Paths, Some("[]"), "",
        "Private keys that decrypt archives. Set this on restore and drill hosts only."),
    key("seal.passphrase_file", Takes::Path, None, "\"/run/secrets/lifeboat-passphrase\"",
        "A private file with the passphrase of the identity files, if they have one."),

    key("signing.key_file", Takes::Path, None, "\"lifeboat-signing-key\"",
        "The Ed25519 private key (OpenSSH format, no passphrase) that signs what this host stores."),
    key("signing.trusted_keys", Takes::List("Ed25519 public keys (\"ssh-ed25519 AAAA... comment\")"), Some("[]"), "",
        "Public keys whose signatures restore and verify accept."),

    key("backup.workers", Takes::Integer(1, 64), Some("2"), "",
        "How many packs are built at once; each uses one to two cores and about 40 MiB of memory."),
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
        "A file into which your deployment pipeline writes the release ID; backups without --release read it."),
    key("backup.fence_seconds_max", Takes::Integer(0, 3_600), Some("120"), "",
        "How long a backup may block Odoo's garbage collection of attachments; 0 means it never blocks it."),
    key("backup.dump_readback", Takes::Flag, Some("true"), "",
        "Run pg_restore over each dump while it is uploaded; a dump that pg_restore cannot read to its end gets no snapshot. What is stored is not downloaded again: `lifeboat verify` does that."),
    key("backup.filestore_chain_max", Takes::Integer(1, 1_000), Some("24"), "",
        "After how many incremental filestore snapshots the next one writes a complete index."),
    key("backup.filestore_compact", Takes::Integer(0, 90), Some("25"), "",
        "If less than this percentage of an old filestore snapshot is still needed, the next backup stores these files again, so that it can expire; 0 means never."),
    key("backup.filestore_compact_max", Takes::Size(1 << 20, 1 << 50), Some("\"1GiB\""), "",
        "How much one backup of a filestore stores again for that."),
    key("backup.base_chain_max", Takes::Integer(1, 1_000), Some("15"), "",
        "How many base backups one chain may have, including the full one; 1 means every base backup is full."),
    key("backup.base_source", Takes::OneOf(&["auto", "files", "protocol"]), Some("\"auto\""), "",
        "How base backups are read: from the data directory on the server's host (files), or over the replication protocol (protocol). auto means files if this host can read them, else protocol."),
    key("backup.base_trust", Takes::OneOf(&["times", "content"]), Some("\"times\""), "",
        "How incremental base backups detect unchanged files: by size, inode, mtime and ctime (times; one in a hundred of the skipped pieces is still read and compared), or by reading them (content). Full base backups read everything."),

    key("wal.stream", Takes::Flag, Some("true"), "",
        "Whether `lifeboat agent` streams WAL. Its replication slot keeps WAL on the server until it is stored."),
    key("wal.slot", Takes::Name("1-63 of a-z 0-9 _"), Some("\"lifeboat\""), "",
        "The physical replication slot of `lifeboat agent`, created if it does not exist; also the agent's application_name."),
    key("wal.piece_interval", Takes::Duration(0, MINUTE), Some("\"1s\""), "",
        "The shortest time between two pieces of the WAL file that is still growing; the agent does not wait if commits wait for it."),
    key("wal.workers", Takes::Integer(1, 16), Some("4"), "",
        "How many WAL files are pushed or fetched at once; each takes up to 50 MiB of memory."),
    key("wal.batch", Takes::Integer(1, 64), Some("8"), "",
        "How many WAL files one push or fetch handles when more are ready; 1 means only the requested one."),
    key("wal.stall_max", Takes::Duration(SECOND, 24 * HOUR), Some("\"5min\""), "",
        "How long the agent may store no WAL, although there may be some to store, before /healthz, status and the log raise an alarm."),
    key("wal.slot_warn_percent", Takes::Integer(1, 99), Some("50"), "",
        "The alarm begins when the slot keeps this percentage of what it may keep (max_slot_wal_keep_size, free space of pg_wal's disk); halfway from there to 100 it is critical."),

    key("configuration.files", Takes::Paths, Some("[]"), "",
        "Files and folders to capture, such as /etc/odoo/odoo.conf. Links that lead out of a folder are not followed."),
    key("configuration.exclude", Takes::List("patterns with * and ?"), Some("[]"), "",
        "What to leave out of that: a pattern with a slash is compared with the whole path, another one with each name."),
    key("configuration.namespaces", Takes::List("namespaces of Kubernetes"), Some("[]"), "",
        "Namespaces whose objects are captured; this needs kubectl, and a role that may list them (docs/least-privilege.md)."),
    key("configuration.kubectl", Takes::Text, Some("\"kubectl\""), "",
        "The program kubectl: a path, or a name that is found on PATH."),
    key("configuration.kubeconfig", Takes::Path, None, "\"/etc/lifeboat/kubeconfig\"",
        "The kubeconfig of kubectl; without it kubectl uses its own default, in a pod the pod's service account."),

    key("restore.workers", Takes::Integer(1, 64), Some("2"), "", "How many packs are read at once."),
    key("restore.work_dir", Takes::Path, None, "\"/var/tmp\"",
        "Where a dump is unpacked before it is loaded; the default is the state directory. Lifeboat creates new private directories in it. It must belong to root or to the user who restores, and nobody else may write to it unless it is sticky, like /var/tmp."),
    key("restore.jobs", Takes::Integer(1, 64), Some("2"), "", "How many tables pg_restore loads at once."),

    key("agent.listen", Takes::Text, Some("\"127.0.0.1:9345\""), "",
        "Address and port of /metrics, /livez, /readyz and /healthz, or \"off\". \"[::]:9345\" opens them to other machines: they show names of tenants and times, but no secrets."),
    key("agent.checks_token_file", Takes::Path, None, "\"/etc/lifeboat/checks-token\"",
        "A private file with the token (at least 32 characters) of Azure DevOps' environment checks: POST /checks/azure on agent.listen. Without it there are no checks. The page has no TLS: let an ingress add it (docs/release-gates.md)."),
    key("agent.checks_hosts", Takes::List("host names"), Some("[\"dev.azure.com\"]"), "",
        "The hosts of Azure DevOps to which decisions are sent, each with its port if it is not 443; HTTPS only."),
    key("agent.follow_filestore", Takes::Flag, Some("true"), "",
        "Whether the agent stores each new file of a filestore within seconds; this needs odoo.data_dir."),
    key("agent.follow_interval", Takes::Duration(0, HOUR), Some("\"5s\""), "",
        "The shortest time between two batches of new files. A batch is four objects, however many tenants its files are from."),
    key("agent.follow_scan", Takes::Duration(SECOND, 24 * HOUR), Some("\"5min\""), "",
        "How often the agent also compares all file names with what is stored; it does so more often by itself where the kernel does not report new files."),

    key("watch.pause_drop_percent", Takes::Integer(1, 100), Some("30"), "",
        "Pause if a tenant makes this much less of a kind of document (sale orders, POS orders, stock moves, payments) since the release than in the same time before it and a week before it."),
    key("watch.rollback_drop_percent", Takes::Integer(1, 100), Some("60"), "",
        "Roll back if it makes this much less; not smaller than pause_drop_percent."),
    key("watch.failures_max", Takes::Integer(0, 1_000_000), Some("20"), "",
        "Pause if a tenant has more failed queue jobs, or more failed mails, since the release, and more than before it."),
    key("watch.lock_wait_max", Takes::Duration(SECOND, HOUR), Some("\"30s\""), "",
        "Pause if a session of a tenant waits longer for a lock."),
    key("watch.least", Takes::Integer(1, 1_000_000), Some("20"), "",
        "How many documents the smaller comparison must have; with fewer, nothing is concluded from them."),
    key("watch.read_time_max", Takes::Duration(SECOND, HOUR), Some("\"60s\""), "",
        "Time limit of reading one table; a table that takes longer is not known, and the verdict is at least pause."),

    key("schedule.time_zone", Takes::Text, Some("\"UTC\""), "",
        "The time zone of the crontab lines, such as \"Europe/Berlin\"; daylight saving time is applied."),
    key("schedule.backup", Takes::Text, None, "\"30 1 * * *\"", "Dumps and filestores of every tenant, except of those whose class has its own `backup` schedule."),
    key("schedule.filestore", Takes::Text, None, "\"*/15 * * * *\"", "Filestores only, for runs between the backups."),
    key("schedule.base", Takes::Text, None, "\"0 2 * * 1-6\"",
        "Base backups: the blocks that changed since the last base backup, or a full one if there is no usable last one."),
    key("schedule.base_full", Takes::Text, None, "\"0 2 * * 0\"", "Full base backups."),
    key("schedule.configuration", Takes::Text, None, "\"7 * * * *\"",
        "What [configuration] names: files of this host, objects of Kubernetes, values of Helm."),
    key("schedule.expire", Takes::Text, None, "\"37 5 * * *\"",
        "Deletes what no recovery class keeps: `lifeboat expire --yes`. Needs expire.key_file, and the right to delete (docs/retention.md)."),
    key("schedule.verify", Takes::Text, None, "\"*/15 * * * *\"",
        "Checks the repository for damage and for traces of a thief, beside the other jobs: `lifeboat verify --quick`, or `--sample` with schedule.verify_sample. Needs signing.trusted_keys. At least twice in the smallest class.NAME.rpo, so that an attack is reported within one RPO (docs/immutability.md)."),
    key("schedule.verify_sample", Takes::Integer(0, 100), Some("0"), "",
        "How many percent of the content each run of schedule.verify also reads and compares, another choice each time, as `lifeboat verify --sample 5` does. 0 reads none, 100 all."),
    key("schedule.drill", Takes::Text, None, "\"0 3 * * 6\"",
        "Restore drills: `restore-drill run` with schedule.drill_plan, beside the other jobs. Only on a restore host: it needs seal.identity_files (docs/drills.md)."),
    key("schedule.drill_plan", Takes::Path, None, "\"drill.toml\"",
        "The plan of schedule.drill."),
    key("schedule.jitter_max", Takes::Duration(0, HOUR), Some("\"2min\""), "",
        "Delays each run by up to this much, by a different amount on each host, so that many agents do not start in the same second."),
    key("schedule.deadline", Takes::Duration(MINUTE, 7 * 24 * HOUR), Some("\"12h\""), "",
        "How long a run may take; after that it is stopped."),
    key("schedule.retries_max", Takes::Integer(0, 100), Some("2"), "",
        "How many times a failed run is tried again, if a new try could help."),
    key("schedule.retry_delay", Takes::Duration(SECOND, 24 * HOUR), Some("\"10min\""), "",
        "How long after its end a failed run is tried again."),

    key("checkpoint.key_file", Takes::Path, None, "\"lifeboat-evidence-key.pem\"",
        "The P-256 private key (PKCS#8 in PEM, no passphrase) that signs the evidence of checkpoints."),
    key("checkpoint.trusted_key_files", Takes::Paths, Some("[]"), "",
        "Files with the P-256 public keys (PEM) whose evidence is believed, besides that of key_file."),
    key("checkpoint.timeout", Takes::Duration(SECOND, HOUR), Some("\"2min\""), "",
        "How long a checkpoint may wait for WAL and files to be stored, read what it must check, and rehearse a restore."),
    key("checkpoint.tier", Takes::Text, Some("\"standard\""), "",
        "The tier of a release whose pipeline does not say one."),
    key("checkpoint.drill_age_max", Takes::Duration(MINUTE, 1000 * 24 * HOUR), Some("\"100d\""), "",
        "How old the last restore drill may be; it must have passed."),
    key("checkpoint.base_age_max", Takes::Duration(MINUTE, 1000 * 24 * HOUR), Some("\"8d\""), "",
        "How old the base backup may be from which the point is reached: all WAL since then must be replayed."),
    key("checkpoint.drill_program", Takes::Path, None, "\"/usr/bin/restore-drill\"",
        "The program that rehearses a restore (--rehearse). Without it: the one beside lifeboat, then the one on the PATH."),
    key("checkpoint.drill_plans", Takes::Paths, Some("[]"), "",
        "Plans of restore drills. The plan of the rehearsed tenant says which violations are known, and where to work."),
    key("checkpoint.sample_files", Takes::Integer(0, 1_000), Some("20"), "",
        "How many stored objects, chosen by chance, are read again although they have not changed since they were last checked."),
    key("checkpoint.regions_allowed", Takes::List("regions"), Some("[]"), "",
        "The regions in which repositories may be; an empty list allows every region."),
    key("checkpoint.time_zone", Takes::Text, Some("\"UTC\""), "",
        "The time zone of the freeze windows, such as \"Europe/Berlin\"."),

    key("cohort.*.tenants", Takes::List("database names"), None, "[\"retail_north\", \"retail_south\"]",
        "The tenants of the cohort. Required."),

    key("freeze.*.from", Takes::Text, None, "\"2026-11-27T00:00\"", "When it begins, in checkpoint.time_zone."),
    key("freeze.*.to", Takes::Text, None, "\"2026-11-30T06:00\"", "When it ends, in checkpoint.time_zone."),
    key("freeze.*.schedule", Takes::Text, None, "\"0 18 L * *\"",
        "When it begins, again and again, as a crontab line; L is the last day of the month."),
    key("freeze.*.lasts", Takes::Duration(MINUTE, 60 * 24 * HOUR), None, "\"36h\"", "How long each of these lasts."),
    key("freeze.*.reason", Takes::Text, None, "\"month-end closing\"", "Why, for the person who is refused."),

    key("tier.*.approvals", Takes::Integer(0, 20), Some("1"), "", "How many different people must have approved the release."),
    key("tier.*.migration_approvals", Takes::Integer(0, 20), Some("1"), "",
        "How many must have approved its migration, if it has one."),
    key("tier.*.not_required", Takes::List(GATES), Some("[]"), "", "Gates that are looked at but do not block this tier."),
    key("tier.*.override", Takes::List(GATES), Some("[]"), "", "Gates that a person may override, with a reason that stays in the evidence."),

    key("expire.grace", Takes::Duration(HOUR, 30 * 24 * HOUR), Some("\"24h\""), "",
        "The time between announcing and deleting. Set it longer than your longest backup or restore."),
    key("expire.max_percent", Takes::Integer(1, 100), Some("30"), "",
        "A run is refused if it would announce more than this percentage of the snapshots, of the drill reports, or of all stored bytes. `--max-percent` allows more for one run."),
    key("expire.key_file", Takes::Path, None, "\"lifeboat-expire-key\"",
        "The Ed25519 private key that signs tombstones. Without it: signing.key_file."),
    key("expire.trusted_keys", Takes::List("Ed25519 public keys (\"ssh-ed25519 AAAA... comment\")"), Some("[]"), "",
        "Public keys whose tombstones are believed, in addition to signing.trusted_keys. Set it on every host that backs up, restores or verifies."),
    key("expire.drills", Takes::Duration(30 * DAY, 3650 * DAY), Some("\"400d\""), "",
        "How long reports of restore drills are kept. The newest of each tenant stays, and those that the evidence of a release names."),

    key("rates.currency", Takes::Text, Some("\"USD\""), "", "The currency of the prices."),
    key("rates.gb_month", Takes::Decimal, None, "\"0.023\"",
        "The price of a GB (10^9 bytes) for a month. Without it, no costs are shown."),
    key("rates.retrieval_gb", Takes::Decimal, None, "\"0.09\"", "The price of reading a GB, transfer included."),
    key("rates.minimum_days", Takes::Integer(0, 3650), Some("0"), "",
        "Objects that are deleted earlier are paid for so many days."),

    key("cold.*.storage_class", Takes::Text, None, "\"GLACIER_IR\"",
        "The store's name of the class. Required."),
    key("cold.*.ready_after", Takes::Duration(0, 7 * DAY), Some("\"0s\""), "",
        "How long it takes until such an object can be read: \"12h\", say, for one that must be requested first. A restore says so, and `lifeboat policy check` compares it with the RTO."),
    key("cold.*.gb_month", Takes::Decimal, None, "\"0.004\"", "The price of a GB for a month. Without it: rates.gb_month."),
    key("cold.*.retrieval_gb", Takes::Decimal, None, "\"0.12\"", "The price of reading a GB, transfer included. Without it: rates.retrieval_gb."),
    key("cold.*.minimum_days", Takes::Integer(0, 3650), Some("0"), "",
        "Objects that are deleted earlier are paid for so many days."),

    key("class.*.tenants", Takes::List("database names, or patterns of them with *"), None, "[\"acme_prod\", \"retail_*\"]",
        "The tenants of the class. A name beats a pattern; a pattern beats \"*\" alone, which means the rest. Required."),
    key("class.*.rpo", Takes::Duration(SECOND, 3650 * DAY), None, "\"26h\"",
        "How much may be lost. The schedules, and what is stored, are compared with it."),
    key("class.*.rto", Takes::Duration(SECOND, 3650 * DAY), None, "\"4h\"",
        "How long a recovery may take. The last drill is compared with it."),
    key("class.*.backup", Takes::Text, None, "\"0 */4 * * *\"",
        "When dumps and filestores of these tenants are stored, in schedule.time_zone; schedule.backup then leaves them out."),
    key("class.*.base", Takes::Text, None, "\"0 */6 * * *\"",
        "When base backups are taken in addition to those of schedule.base; each is of the whole cluster."),
    key("class.*.base_full", Takes::Text, None, "\"0 2 * * 0\"",
        "When full base backups are taken in addition to those of schedule.base_full."),
    key("class.*.window", Takes::Duration(0, 3650 * DAY), Some("\"7d\""), "",
        "The recovery window: any second of it can be restored."),
    key("class.*.hourly", Takes::Integer(0, 9_000), Some("0"), "",
        "For how many hours, the current one included, the first backup of the hour is kept. An hour without a backup counts, too."),
    key("class.*.daily", Takes::Integer(0, 4_000), Some("7"), "", "The same for days."),
    key("class.*.weekly", Takes::Integer(0, 1_000), Some("4"), "", "The same for weeks (Monday to Sunday)."),
    key("class.*.monthly", Takes::Integer(0, 1_200), Some("12"), "", "The same for months."),
    key("class.*.yearly", Takes::Integer(0, 100), Some("0"), "", "The same for years."),
    key("class.*.releases", Takes::Duration(0, 36_500 * DAY), Some("\"90d\""), "",
        "How long the checkpoint of a release is kept, with all that a restore to it needs."),
    key("class.*.suspicion_hold", Takes::Duration(0, 3650 * DAY), Some("\"30d\""), "",
        "How long the last good backup is kept when a later one of the tenant is suspicious (docs/suspicion.md); \"0s\" keeps none for that."),
    key("class.*.dropped", Takes::Duration(DAY, 36_500 * DAY), None, "\"3650d\"",
        "How long the last backup of a tenant is kept after its database was dropped; without it, for ever. docs/retention.md says when a database counts as gone."),
    key("class.*.copies", Takes::Integer(1, 9), Some("1"), "",
        "In how many repositories the backups must be. Lifeboat sees only one: with more, `policy check` reports \"?\" and exit code 3."),
    key("class.*.regions", Takes::List("regions"), Some("[]"), "",
        "The regions in which the repository may be; an empty list allows every region."),
    key("class.*.recipients", Takes::List("age recipients (\"age1...\") or SSH public keys (\"ssh-ed25519 ...\", \"ssh-rsa ...\")"), Some("[]"), "",
        "Public keys whose identities open the dumps and files of these tenants, in addition to those of seal.recipients (docs/retention.md)."),
    key("class.*.drill_every", Takes::Duration(HOUR, 3650 * DAY), None, "\"7d\"",
        "How often a restore of one of these tenants is drilled."),
];

/// The key of this name.
pub fn find(name: &str) -> Option<&'static Key> {
    KEYS.iter().find(|key| key.name == name)
}

/// Who names a section.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Section {
    /// We do: `[backup]`.
    Fixed,
    /// The person who configures does: `[cohort.wave1]`.
    Named,
}

impl Key {
    /// `LIFEBOAT_BACKUP_WORKERS` for `backup.workers`; `None` for keys of sections that a person names.
    pub fn variable(&self) -> Option<String> {
        let fixed = self.section() == Section::Fixed;
        fixed.then(|| format!("LIFEBOAT_{}", self.name.replace('.', "_").to_ascii_uppercase()))
    }

    /// Who names the key's section.
    pub fn section(&self) -> Section {
        if self.name.contains(".*.") { Section::Named } else { Section::Fixed }
    }

    /// The key as a person reads it: `cohort.NAME.tenants`.
    pub fn shown(&self) -> String {
        self.name.replace('*', "NAME")
    }
}

/// The known name closest to a mistyped one; `None` when no known name is close.
/// A key written without its section, or under the wrong section, counts as close.
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
