//! The proof that a copy keeps to itself, asked from the server that was started: it runs on its own
//! directory and on our configuration, nothing of an extension works in it, and no subscription is
//! enabled. What does not hold is an error, and the server is stopped.

use std::os::unix::fs::MetadataExt;
use std::path::Path;

use serde::Serialize;

use crate::disk;
use crate::error::{Error, Kind, Result};
use crate::postgres::connect::PostgresOptions;
use crate::postgres::quote::ident;
use crate::postgres::session::{Session, column};
use crate::recovery::instance::aside::{CONF_FILE, HBA_FILE, IDENT_FILE, Subscription};

/// Processes of PostgreSQL itself that reach nothing outside. Those of logical replication are not among
/// them, nor is any that a library brought.
const OWN_PROCESSES: &str = "'client backend', 'autovacuum launcher', 'autovacuum worker', 'parallel worker', \
     'background writer', 'checkpointer', 'walwriter', 'startup', 'io worker', 'logger'";
/// Settings in a database's or a role's catalog that act when somebody connects.
const AT_CONNECT: &str = "session_preload_libraries|local_preload_libraries|dynamic_library_path|jit_provider\
     |search_path|role|session_replication_role|default_transaction_read_only";
/// Longest wait for a lock, and for a statement, when a subscription is disabled.
const STATEMENT_MAX: &str = "30s";

/// What the server says.
#[derive(Clone, Debug, Serialize)]
pub struct Proof {
    /// The directory that it runs on: by device and number the restored one.
    pub data_directory: String,
    /// Its configuration, in that directory.
    pub config_file: String,
    /// Who may connect, likewise.
    pub hba_file: String,
    /// Whether it archives WAL; off unless a person asked for it.
    pub archive_mode: String,
    /// Libraries that it has loaded; those that a person named.
    pub preloaded: String,
    /// Processes that are not PostgreSQL's own; only where a person named libraries.
    pub foreign_processes: Vec<String>,
    /// Subscriptions in all databases.
    pub subscriptions: i64,
    /// Those of them that are enabled: none once it takes writes.
    pub enabled_subscriptions: i64,
    /// What was enabled and is no longer.
    pub disabled_subscriptions: Vec<Subscription>,
    /// What could not be disabled; no worker runs for it as long as this is a copy.
    pub not_disabled: Vec<String>,
    /// Settings of databases and roles that act when somebody connects: they are in the catalog, and stay.
    pub settings_in_catalog: Vec<String>,
}

/// What a person allowed.
#[derive(Clone, Copy, Debug, Default)]
pub struct Allowed<'a> {
    /// Whether WAL is archived.
    pub archiving: bool,
    /// Libraries.
    pub preload: &'a [String],
}

/// Asks, and disables subscriptions where the server takes writes.
///
/// # Errors
/// `Refused` where it does not keep to itself.
pub async fn prove(
    options: &PostgresOptions,
    data_dir: &Path,
    allowed: Allowed<'_>,
    scratch: bool,
) -> Result<Proof> {
    let mut session = Session::maintenance(options).await?;
    let superuser = superuser(&mut session).await?;
    session.close().await;
    let options = PostgresOptions { user: superuser, ..options.clone() };
    let mut session = Session::maintenance(&options).await?;
    let mut proof = look(&mut session).await?;
    check(&proof, data_dir, allowed, &mut session).await?;
    let enabled = subscriptions(&mut session).await?;
    let sql = "SELECT pg_catalog.count(*), pg_catalog.count(*) FILTER (WHERE subenabled), \
               pg_catalog.pg_is_in_recovery() FROM pg_catalog.pg_subscription";
    let row = session.row("count subscriptions", sql).await?;
    (proof.subscriptions, proof.enabled_subscriptions) = (column(&row, 0)?, column(&row, 1)?);
    if !column::<bool>(&row, 2)? && !scratch {
        for subscription in enabled {
            match disable(&options, &subscription).await {
                Ok(()) => proof.disabled_subscriptions.push(subscription),
                Err(e) => {
                    let Subscription { database, name } = subscription;
                    let why = [vec![e.what().to_owned()], e.causes()].concat().join(": ");
                    proof.not_disabled.push(format!("{name} in database {database}: {why}"));
                }
            }
        }
        let row = session.row("count subscriptions", sql).await?;
        proof.enabled_subscriptions = column(&row, 1)?;
    }
    session.close().await;
    Ok(proof)
}

/// One who may do everything and log in; the socket lets in whoever may open it.
async fn superuser(session: &mut Session) -> Result<String> {
    let sql =
        "SELECT rolname::text FROM pg_catalog.pg_roles WHERE rolsuper AND rolcanlogin ORDER BY oid LIMIT 1";
    let rows = session.rows("look for a superuser", sql).await?;
    let row = rows.first().ok_or_else(|| {
        Error::new(Kind::Postgres, "the restored cluster has no superuser who may log in")
            .effect("Lifeboat cannot check that the copy is isolated")
    })?;
    column(row, 0)
}

async fn look(session: &mut Session) -> Result<Proof> {
    let names = [
        "data_directory",
        "config_file",
        "hba_file",
        "archive_mode",
        "shared_preload_libraries",
        "ident_file",
    ];
    let settings = names.map(|name| format!("pg_catalog.current_setting('{name}')")).join(", ");
    let row = session.row("ask what it runs on", format!("SELECT {settings}")).await?;
    let text = |index| column::<String>(&row, index);
    let sql = format!(
        "SELECT DISTINCT backend_type::text FROM pg_catalog.pg_stat_activity \
         WHERE backend_type NOT IN ({OWN_PROCESSES}) ORDER BY 1"
    );
    let rows = session.rows("look at its processes", sql).await?;
    let foreign_processes = rows.iter().map(|row| column(row, 0)).collect::<Result<Vec<String>>>()?;
    let sql = format!(
        "SELECT pg_catalog.format('%s%s: %s', 'database ' || d.datname, ' role ' || r.rolname, c) \
         FROM pg_catalog.pg_db_role_setting s \
         LEFT JOIN pg_catalog.pg_database d ON d.oid = s.setdatabase \
         LEFT JOIN pg_catalog.pg_roles r ON r.oid = s.setrole, pg_catalog.unnest(s.setconfig) c \
         WHERE c ~* '^({AT_CONNECT})=' ORDER BY 1"
    );
    let rows = session.rows("look at settings of databases and roles", sql).await?;
    let settings_in_catalog = rows.iter().map(|row| column(row, 0)).collect::<Result<Vec<String>>>()?;
    Ok(Proof {
        data_directory: text(0)?,
        config_file: text(1)?,
        hba_file: text(2)?,
        archive_mode: text(3)?,
        preloaded: text(4)?,
        foreign_processes,
        subscriptions: 0,
        enabled_subscriptions: 0,
        disabled_subscriptions: Vec::new(),
        not_disabled: Vec::new(),
        settings_in_catalog,
    })
}

async fn check(proof: &Proof, data_dir: &Path, allowed: Allowed<'_>, session: &mut Session) -> Result<()> {
    let mut wrong = Vec::new();
    let is_same = |one: &Path, other: &Path| {
        let number = |path: &Path| {
            let path = path.canonicalize().ok()?;
            disk::metadata(&path).ok().flatten().map(|meta| (meta.dev(), meta.ino()))
        };
        number(one).is_some_and(|one| number(other) == Some(one))
    };
    if !is_same(Path::new(&proof.data_directory), data_dir) {
        wrong.push(format!("it runs on {}", proof.data_directory));
    }
    let sql = "SELECT pg_catalog.current_setting('ident_file'), pg_catalog.current_setting('listen_addresses'), \
               pg_catalog.current_setting('primary_conninfo'), \
               pg_catalog.current_setting('max_logical_replication_workers'), \
               pg_catalog.current_setting('synchronous_standby_names')";
    let row = session.row("ask what it obeys", sql).await?;
    let ident_file = column::<String>(&row, 0)?;
    for (path, name) in
        [(&proof.config_file, CONF_FILE), (&proof.hba_file, HBA_FILE), (&ident_file, IDENT_FILE)]
    {
        if !is_same(Path::new(path), &data_dir.join(name)) {
            wrong.push(format!("it obeys {path}"));
        }
    }
    let preload = allowed.preload.join(",");
    for (name, value, wanted) in [
        ("listen_addresses", column::<String>(&row, 1)?, ""),
        ("primary_conninfo", column::<String>(&row, 2)?, ""),
        ("max_logical_replication_workers", column::<String>(&row, 3)?, "0"),
        ("synchronous_standby_names", column::<String>(&row, 4)?, ""),
        ("shared_preload_libraries", proof.preloaded.clone(), &preload),
    ] {
        if value != wanted {
            wrong.push(format!("its {name} is '{value}'"));
        }
    }
    if !allowed.archiving && proof.archive_mode != "off" {
        wrong.push(format!("its archive_mode is {}", proof.archive_mode));
    }
    let foreign = proof.foreign_processes.iter().filter(|kind| {
        let is_known = (allowed.archiving && kind.as_str() == "archiver") || !allowed.preload.is_empty();
        !is_known || kind.starts_with("logical replication")
    });
    wrong.extend(foreign.map(|kind| format!("a process of it is '{kind}'")));
    match wrong.is_empty() {
        true => Ok(()),
        false => {
            Err(Error::new(Kind::Refused, format!("the server on {} is not isolated", data_dir.display()))
                .because(wrong.join("; "))
                .effect("it was stopped at once")
                .next("report this: a copy's configuration is written by Lifeboat alone"))
        }
    }
}

async fn subscriptions(session: &mut Session) -> Result<Vec<Subscription>> {
    let sql = "SELECT d.datname::text, s.subname::text FROM pg_catalog.pg_subscription s \
               JOIN pg_catalog.pg_database d ON d.oid = s.subdbid WHERE s.subenabled ORDER BY 1, 2";
    let rows = session.rows("look for subscriptions", sql).await?;
    let all = rows.iter().map(|row| Ok(Subscription { database: column(row, 0)?, name: column(row, 1)? }));
    all.collect()
}

async fn disable(options: &PostgresOptions, subscription: &Subscription) -> Result<()> {
    let mut session = Session::connect(options, &subscription.database).await?;
    // Event triggers stay silent; a lock that nobody gives up does not hold us for ever.
    let settings = format!(
        "SET session_replication_role = replica; SET lock_timeout = '{STATEMENT_MAX}'; \
         SET statement_timeout = '{STATEMENT_MAX}'"
    );
    let sql = format!("ALTER SUBSCRIPTION {} DISABLE", ident(&subscription.name));
    let done = match session.execute("set up the session", settings).await {
        Ok(_) => session.execute("disable a subscription", sql).await,
        Err(e) => Err(e),
    };
    session.close().await;
    done.map(drop)
}
