//! Which tenants a checkpoint covers.

use crate::archive::evidence::predicate::Scope;
use crate::backup;
use crate::config::Config;
use crate::error::{Error, Kind, Result};
use crate::names::TenantName;
use crate::postgres::connect::PostgresOptions;

/// Those of the cohort, those that are named, those of the configuration, or all that are found.
///
/// # Errors
/// `Usage` for a cohort that is not configured; `NotFound` where there is no tenant; those of the server.
pub async fn scope(
    config: &Config,
    postgres: &PostgresOptions,
    named: &[TenantName],
    cohort: Option<&str>,
) -> Result<Scope> {
    let mut tenants = match cohort {
        Some(name) => config.checkpoint.cohorts.get(name).cloned().ok_or_else(|| {
            let known: Vec<&str> = config.checkpoint.cohorts.keys().map(String::as_str).collect();
            let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
            Error::new(Kind::Usage, format!("there is no [cohort.{name}] in the configuration"))
                .next(format!("known cohorts: {known}"))
        })?,
        None => named.to_vec(),
    };
    let all = tenants.is_empty();
    if all {
        tenants = match config.odoo.tenants.is_empty() {
            true => backup::all_tenants(config, postgres).await?,
            false => config.odoo.tenants.clone(),
        };
    }
    tenants.sort();
    tenants.dedup();
    if tenants.is_empty() {
        return Err(Error::new(Kind::NotFound, "there is no tenant that the checkpoint could cover")
            .next("name it: --tenant NAME, or odoo.tenants in the configuration"));
    }
    Ok(Scope { cohort: cohort.map(str::to_owned), all, tenants })
}
