//! Which databases are not tenants because they are copies, or old states of tenants, that Lifeboat made.
//!
//! The report of the backup lists each of them, and each database that a restore has not finished. Our own
//! record decides ([`crate::catalog::copies`]). The comment on a database decides only where that name was
//! never backed up as a tenant: the owner of a database can set its comment, and must not be able to take a
//! tenant out of the backup with it.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use crate::catalog::copies::{Copies, is_mark};
use crate::config::Config;
use crate::error::{Kind, Result};
use crate::inventory::Inventory;
use crate::inventory::take::Wanted;
use crate::names::TenantName;
use crate::postgres::connect::PostgresOptions;
use crate::postgres::session::{Session, column};
use crate::repository::Repository;
use crate::repository::snapshots::Trust;

/// A database that is not a tenant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LeftOut {
    /// Its name.
    pub database: String,
    /// Why.
    pub why: String,
}

impl LeftOut {
    /// A database that a restore has not finished.
    pub fn unfinished(database: String) -> LeftOut {
        let why = "it is an unfinished restore made by Lifeboat: still running, or killed";
        LeftOut { database, why: why.to_owned() }
    }
}

/// All of them, by name, with the reason. Records that cannot be read are reported in `notes`.
///
/// # Errors
/// Where it is not known which they are: then nothing is left out, and nothing is backed up.
pub async fn left_out(
    postgres: &PostgresOptions,
    config: &Config,
    notes: &mut Vec<String>,
) -> Result<BTreeMap<String, String>> {
    let copies = Copies::read(&config.state_dir, &config.instance)?;
    notes.extend(copies.damaged.iter().cloned());
    let mut session = Session::maintenance(postgres).await?;
    let sql = "SELECT datname::text, oid::int8, shobj_description(oid, 'pg_database') FROM pg_database";
    let rows = session.rows("look for copies", sql).await?;
    session.close().await;
    let (mut out, mut marked) = (BTreeMap::new(), Vec::new());
    for row in rows {
        let (name, oid): (String, i64) = (column(&row, 0)?, column(&row, 1)?);
        let comment: Option<String> = column(&row, 2)?;
        match copies.of_database(&name, oid as u32) {
            Some(record) => drop(out.insert(name, record.why())),
            None => marked.extend(comment.filter(|text| is_mark(text)).map(|text| (name, text))),
        }
    }
    if !marked.is_empty() {
        let known = backed_up(config).await?;
        let is_new = |name: &str| known.as_ref().is_some_and(|known| !known.contains(name));
        for (name, comment) in marked.into_iter().filter(|(name, _)| is_new(name)) {
            out.insert(name, format!("its comment says {comment:?}, and it was never backed up as a tenant"));
        }
    }
    Ok(out)
}

/// Every tenant that was ever backed up; `None` where a manifest cannot be trusted, so that it is not known.
async fn backed_up(config: &Config) -> Result<Option<BTreeSet<String>>> {
    let Ok(trust) = Trust::keys(&config.signing.trusted_keys) else { return Ok(None) };
    let repository = match Repository::configured(config).await {
        Ok(repository) => repository,
        // before the first backup
        Err(error) if error.kind() == Kind::NotFound => return Ok(Some(BTreeSet::new())),
        Err(error) => return Err(error),
    };
    let inventory = Inventory::take(&repository, &trust, &Wanted::default()).await?;
    if inventory.snapshots.iter().any(|(_, look)| look.error().is_some()) {
        return Ok(None);
    }
    Ok(Some(inventory.believed().filter_map(|one| one.manifest.tenant.clone()).map(String::from).collect()))
}

/// Splits these names into tenants and those that are left out.
pub fn split(names: Vec<TenantName>, out: &BTreeMap<String, String>) -> (Vec<TenantName>, Vec<LeftOut>) {
    let (copies, tenants): (Vec<_>, Vec<_>) =
        names.into_iter().partition(|name| out.contains_key(name.as_str()));
    let told = |name: TenantName| LeftOut { why: out[name.as_str()].clone(), database: name.into() };
    (tenants, copies.into_iter().map(told).collect())
}
