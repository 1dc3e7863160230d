//! Proves that a copy is isolated, by asking the started server: it runs on its own directory and with our
//! configuration, no extension has a process in it, and no subscription is enabled. Otherwise it is an
//! error, and the server is stopped.

use std::os::unix::fs::MetadataExt;
use std::path::Path;

use serde::Serialize;

use crate::disk;
use crate::error::{Error, Kind, Result};
use crate::postgres::connect::PostgresOptions;
use crate::postgres::quote::ident;
use crate::postgres::session::{Session, column};
use crate::recovery::instance::aside::{CONF_FILE, HBA_FILE, IDENT_FILE, Subscription};

/// Processes of PostgreSQL itself that reach nothing outside. Processes of logical replication and of
/// libraries are not among them.
const OWN_PROCESSES: &str = "'client backend', 'autovacuum launcher', 'autovacuum worker', 'parallel worker', \
     'background writer', 'checkpointer', 'walwriter', 'startup', 'io worker', 'logger'";
/// Settings of databases and roles in the catalog that take effect when somebody connects.
const AT_CONNECT: &str = "session_preload_libraries|local_preload_libraries|dynamic_library_path|jit_provider\
     |search_path|role|session_replication_role|default_transaction_read_only";
/// The time limit of a lock and of a statement when a subscription is disabled.
const STATEMENT_MAX: &str = "30s";

/// The server's answers.
#[derive(Clone, Debug, Serialize)]
pub struct Proof {
    /// Its data directory; device and inode are those of the restored one.
    pub data_directory: String,
    /// Its configuration file, in that directory.
    pub config_file: String,
    /// Its pg_hba.conf, in that directory.
    pub hba_file: String,
    /// Whether it archives WAL; off unless the user requested it.
    pub archive_mode: String,
    /// Its loaded libraries: those that the user named.
    pub preloaded: String,
    /// Processes that are not PostgreSQL's own; only if the user named libraries.
    pub foreign_processes: Vec<String>,
    /// Subscriptions in all databases.
    pub subscriptions: i64,
    /// The enabled subscriptions: none after it accepts writes.
    pub enabled_subscriptions: i64,
    /// Subscriptions that were enabled and are now disabled.
    pub disabled_subscriptions: Vec<Subscription>,
    /// Subscriptions that could not be disabled; no worker runs for them while this is a copy.
    pub not_disabled: Vec<String>,
    /// Settings of databases and roles that take effect when somebody connects: they are in the catalog
    /// and stay.
    pub settings_in_catalog: Vec<String>,
}

/// What the user allowed.
#[derive(Clone, Copy, Debug, Default)]
pub struct Allowed<'a> {
    /// Whether WAL is archived.
    pub archiving: bool,
    /// Libraries.
    pub preload: &'a [String],
}

/// Asks the server, and disables subscriptions if it accepts writes.
///
/// # Errors
/// `Refused` if it is not isolated.
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

/// A superuser who may log in; the socket accepts everybody who may open it.
async fn superuser(session: &mut Session) -> Result<String> {
    let sql =
        "SELECT rolname::text FROM pg_catalog.pg_roles WHERE rolsuper AND rolcanlogin ORDER BY oid LIMIT 1";
    let rows = session.rows("search for a superuser", sql).await?;
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
    let row = session.row("read its settings", format!("SELECT {settings}")).await?;
    let text = |index| column::<String>(&row, index);
    let sql = format!(
        "SELECT DISTINCT backend_type::text FROM pg_catalog.pg_stat_activity \
         WHERE backend_type NOT IN ({OWN_PROCESSES}) ORDER BY 1"
    );
    let rows = session.rows("list its processes", sql).await?;
    let foreign_processes = rows.iter().map(|row| column(row, 0)).collect::<Result<Vec<String>>>()?;
    let sql = format!(
        "SELECT pg_catalog.format('%s%s: %s', 'database ' || d.datname, ' role ' || r.rolname, c) \
         FROM pg_catalog.pg_db_role_setting s \
         LEFT JOIN pg_catalog.pg_database d ON d.oid = s.setdatabase \
         LEFT JOIN pg_catalog.pg_roles r ON r.oid = s.setrole, pg_catalog.unnest(s.setconfig) c \
         WHERE c ~* '^({AT_CONNECT})=' ORDER BY 1"
    );
    let rows = session.rows("read the settings of databases and roles", sql).await?;
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
    let row = session.row("read its configuration", sql).await?;
    let ident_file = column::<String>(&row, 0)?;
    for (path, name) in
        [(&proof.config_file, CONF_FILE), (&proof.hba_file, HBA_FILE), (&ident_file, IDENT_FILE)]
    {
        if !is_same(Path::new(path), &data_dir.join(name)) {
            wrong.push(format!("it uses the configuration file {path}"));
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
    wrong.extend(foreign.map(|kind| format!("it has a process of kind '{kind}'")));
    match wrong.is_empty() {
        true => Ok(()),
        false => {
            Err(Error::new(Kind::Refused, format!("the server on {} is not isolated", data_dir.display()))
                .because(wrong.join("; "))
                .effect("it was stopped at once")
                .next("report this as a bug: only Lifeboat writes a copy's configuration"))
        }
    }
}

async fn subscriptions(session: &mut Session) -> Result<Vec<Subscription>> {
    let sql = "SELECT d.datname::text, s.subname::text FROM pg_catalog.pg_subscription s \
               JOIN pg_catalog.pg_database d ON d.oid = s.subdbid WHERE s.subenabled ORDER BY 1, 2";
    let rows = session.rows("list the subscriptions", sql).await?;
    let all = rows.iter().map(|row| Ok(Subscription { database: column(row, 0)?, name: column(row, 1)? }));
    all.collect()
}

async fn disable(options: &PostgresOptions, subscription: &Subscription) -> Result<()> {
    let mut session = Session::connect(options, &subscription.database).await?;
    // Event triggers do not fire; the wait for a lock is bounded.
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
