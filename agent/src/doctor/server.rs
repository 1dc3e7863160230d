//! Checks of PostgreSQL and of the tenants in it: connection, tools, privileges, filestores.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use super::{Check, Outcome, dump};
use crate::backup::{LeftOut, left_out};
use crate::clock;
use crate::config::Config;
use crate::error::Result;
use crate::names::{TenantName, bytes_text};
use crate::odoo::filestore as walked;
use crate::odoo::tenants::{Discovery, discover};
use crate::postgres::connect::PostgresOptions;
use crate::postgres::globals::may_read_passwords;
use crate::postgres::replication::Replication;
use crate::postgres::server::{ServerInfo, server_info};
use crate::postgres::session::{Session, column};
use crate::postgres::tools::Tools;
use crate::wal::room::unlimited;

/// Beyond this, times of two machines in one report mislead.
const CLOCK_APART_MAX: Duration = Duration::from_secs(5);
/// The check of the server's clock.
const CLOCK_NAME: &str = "server clock";
/// Reasons that are listed one by one.
const LISTED_MAX: usize = 20;

/// Every check of the server. A host without a signing key backs up nothing, so a failed check is only a
/// warning there.
pub async fn checks(config: &Config) -> Vec<Check> {
    let mut checks = examine(config).await;
    if config.signing.key_file.is_none() {
        for check in checks.iter_mut().filter(|check| check.status == Outcome::Fail) {
            check.status = Outcome::Warn;
        }
    }
    checks
}

async fn examine(config: &Config) -> Vec<Check> {
    let options = PostgresOptions::from(&config.postgres);
    let mut session = match Session::maintenance(&options).await {
        Ok(session) => session,
        Err(error) => {
            return vec![
                Check::error("postgresql", &error),
                Check::not_checked("tenants", "it needs the connection"),
            ];
        }
    };
    let mut checks = Vec::new();
    let mut tools = None;
    match server_info(&mut session).await {
        Err(error) => checks.push(Check::error("postgresql", &error)),
        Ok(info) => {
            checks.push(match may_read_passwords(&mut session).await {
                Ok(passwords) => server(&info, &options, passwords),
                Err(error) => Check::error("postgresql", &error),
            });
            checks.push(match Tools::clients(&options, info.major).await {
                Ok(found) => {
                    let text = format!("{} in {}", found.version, found.dir.display());
                    tools = Some(found);
                    Check::ok("pg_dump", text)
                }
                Err(error) => Check::error("pg_dump", &error),
            });
        }
    }
    checks.push(clocks(&mut session).await);
    if config.wal.stream {
        checks.push(match unlimited(&mut session, &config.wal.slot).await {
            Err(error) => Check::error("slot", &error),
            Ok(None) => Check::ok("slot", "max_slot_wal_keep_size bounds what it can keep"),
            Ok(Some(advice)) => Check::warn("slot", advice.what, advice.next),
        });
    }
    session.close().await;
    checks.extend(replication(config, &options).await);
    match discover(&options).await {
        Err(error) => checks.push(Check::error("tenants", &error)),
        Ok(found) => {
            checks.extend(found.notes.iter().map(|note| Check::ok("tenants", note.clone())));
            checks.extend(tenants(config, &options, tools.as_ref(), &found).await);
        }
    }
    checks
}

fn server(info: &ServerInfo, options: &PostgresOptions, passwords: bool) -> Check {
    let place = format!("{} at {}:{} as {}", info.version, options.host_text(), options.port, options.user);
    match (info.is_standby, info.is_superuser) {
        (true, _) => Check::warn(
            "postgresql",
            format!("{place}: it is a standby, so a long dump may be cancelled by replay"),
            "connect to the primary, or set max_standby_streaming_delay there",
        ),
        (_, true) => Check::ok("postgresql", format!("{place}, superuser")),
        _ => {
            let stored = if passwords { "with the hashes of their passwords" } else { "without passwords" };
            Check::ok("postgresql", format!("{place}, not a superuser: roles are stored {stored}"))
        }
    }
}

/// Base backups and the agent's WAL need this connection; dumps do not.
async fn replication(config: &Config, options: &PostgresOptions) -> Option<Check> {
    const NAME: &str = "replication";
    config.signing.key_file.as_ref()?; // a host that backs up nothing streams nothing
    let connected = match Replication::connect(options, "lifeboat").await {
        Ok(mut replication) => replication.system().await,
        Err(error) => Err(error),
    };
    let error = match connected {
        Ok(_) => return Some(Check::ok(NAME, "the role can stream WAL and take base backups")),
        Err(error) => error,
    };
    let mut check = Check::error(NAME, &error);
    if !config.scheduled().iter().any(|one| one.work.is_base()) {
        check.status = Outcome::Warn;
        check.text = format!("dumps only, no base backups and no WAL of the agent: {}", check.text);
    }
    Some(check)
}

async fn clocks(session: &mut Session) -> Check {
    let sql = "SELECT extract(epoch FROM clock_timestamp())::float8";
    let read: Result<f64> = match session.row("read the server's clock", sql).await {
        Ok(row) => column(&row, 0),
        Err(error) => Err(error),
    };
    match read {
        Err(error) => Check::error(CLOCK_NAME, &error),
        Ok(there) => compared(there, clock::now().as_microsecond() as f64 / 1e6),
    }
}

/// Two clocks that were read at the same time, in seconds since 1970.
fn compared(there: f64, here: f64) -> Check {
    let apart = Duration::try_from_secs_f64((there - here).abs()).unwrap_or(Duration::MAX);
    if apart <= CLOCK_APART_MAX {
        return Check::ok(CLOCK_NAME, "it agrees with this host's");
    }
    let side = if there > here { "ahead of" } else { "behind" };
    let text = format!("it is {} {side} this host's", clock::span_text(apart));
    Check::warn(CLOCK_NAME, text, "let NTP keep both")
}

async fn tenants(
    config: &Config,
    options: &PostgresOptions,
    tools: Option<&Tools>,
    found: &Discovery,
) -> Vec<Check> {
    const NAME: &str = "tenants";
    let mut notes = Vec::new();
    // The same rule as that of a backup: what is named in the configuration is taken, whatever it is.
    let copies = match config.odoo.tenants.is_empty() {
        true => left_out(options, config, &mut notes).await,
        false => Ok(BTreeMap::new()),
    };
    let (copies, mut checks) = match copies {
        Ok(copies) => (copies, Vec::new()),
        Err(error) => (BTreeMap::new(), vec![Check::error(NAME, &error)]),
    };
    checks.extend(notes.into_iter().map(|note| Check::warn(NAME, note, "remove that file")));
    let excluded = |name: &str| config.odoo.exclude.iter().any(|tenant| tenant.as_str() == name);
    let named =
        |name: &str| config.odoo.tenants.is_empty() || config.odoo.tenants.iter().any(|t| t.as_str() == name);
    let ours = |name: &str| named(name) && !excluded(name) && !copies.contains_key(name);
    for (name, error) in found.unknown.iter().filter(|(name, _)| ours(name)).take(LISTED_MAX) {
        let mut check = Check::error(NAME, error);
        check.text = format!("database {name:?} cannot be read, but may be a tenant: {}", check.text);
        checks.push(check);
    }
    for tenant in config.odoo.tenants.iter().filter(|tenant| !excluded(tenant.as_str())) {
        let there = found.tenants.iter().any(|other| other.name == *tenant);
        if !there && !found.unknown.iter().any(|(name, _)| name == tenant.as_str()) {
            let text = format!("database {tenant} of odoo.tenants does not exist, or is not Odoo's");
            checks.push(Check::fail(NAME, text, "correct odoo.tenants"));
        }
    }
    let mut good = 0;
    let mut bytes = 0;
    let protected = || found.tenants.iter().filter(|tenant| ours(tenant.name.as_str()));
    for tenant in protected() {
        let problems = tenant_checks(config, options, tools, &tenant.name).await;
        good += usize::from(problems.is_empty());
        bytes += tenant.database_bytes;
        checks.extend(problems);
    }
    let count = protected().count();
    let copies = copies.iter().filter(|(name, _)| !excluded(name));
    let copies = copies.map(|(name, why)| Check::ok(NAME, format!("left out: {name:?}, {why}")));
    let unfinished = found.unfinished.iter().map(|name| LeftOut::unfinished(name.clone()));
    let unfinished =
        unfinished.map(|LeftOut { database, why }| Check::ok(NAME, format!("left out: {database:?}, {why}")));
    let copies: Vec<Check> = copies.chain(unfinished).collect();
    if count == 0 && !checks.iter().any(|check| check.status == Outcome::Fail) {
        let text = format!("none among {} databases", found.others.len() + found.tenants.len());
        checks.push(Check::fail(NAME, text, "check postgres.host, odoo.tenants and odoo.exclude"));
    } else if count > 0 {
        let text = format!("{count} found, {}, {good} without problems", bytes_text(bytes));
        checks.push(Check::ok(NAME, text));
    }
    checks.extend(copies);
    checks
}

/// What prevents the backup of one tenant; empty if all is well.
async fn tenant_checks(
    config: &Config,
    options: &PostgresOptions,
    tools: Option<&Tools>,
    tenant: &TenantName,
) -> Vec<Check> {
    const NAME: &str = "tenant";
    let mut checks = dump::checks(options, tools, tenant).await;
    let Some(data_dir) = &config.odoo.data_dir else { return checks };
    let filestore = data_dir.join("filestore").join(Path::new(tenant.as_str()));
    match walked::open(data_dir, tenant.as_str()) {
        Err(error) => checks.push(Check::error(NAME, &error)),
        Ok(Some(_)) => {}
        Ok(None) => checks.push(Check::warn(
            NAME,
            format!("{tenant}: there is no {}", filestore.display()),
            "normal while it has no attachments; otherwise correct odoo.data_dir",
        )),
    }
    checks
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_difference_of_two_clocks_is_a_span_for_people() {
        let text = |there: f64| compared(there, 1e9).text;
        assert_eq!(text(1e9 + 4.0), "it agrees with this host's");
        assert_eq!(text(1e9 + 94_608_000.0), "it is 1095 d 0 h ahead of this host's");
        assert_eq!(text(1e9 - 63.0), "it is 63 s behind this host's");
    }
}
