//! Whether a tenant can be dumped, by the role and over the connection of a backup.

use super::Check;
use crate::error::Result;
use crate::names::TenantName;
use crate::postgres::connect::PostgresOptions;
use crate::postgres::dump::try_schema;
use crate::postgres::dumpable::{Lack, lacks};
use crate::postgres::session::{Session, column};
use crate::postgres::tools::Tools;

const NAME: &str = "tenant";

/// What prevents a dump of one tenant, or the fence around it; empty if all is well. Without `tools` no dump
/// is tried.
pub async fn checks(options: &PostgresOptions, tools: Option<&Tools>, tenant: &TenantName) -> Vec<Check> {
    let Seen { lacks, may_fence, encoding } = match look(options, tenant).await {
        Err(error) => return vec![Check::error(NAME, &error)],
        Ok(found) => found,
    };
    let user = &options.user;
    let mut checks: Vec<Check> = lacks.iter().map(|lack| told(lack, user, tenant)).collect();
    if !may_fence {
        checks.push(Check::warn(
            NAME,
            format!(
                "{tenant}: {user} may not lock ir_attachment: Odoo may delete unused attachments while a backup runs"
            ),
            format!("GRANT UPDATE ON public.ir_attachment TO {user:?}; in {tenant}"),
        ));
    }
    if let (Some(tools), false) = (tools, lacks.iter().any(|lack| lack.fatal)) {
        match try_schema(tools, options, tenant.as_str(), &encoding).await {
            Err(error) => checks.push(Check::error(NAME, &error)),
            // what it leaves out for lack of privileges was reported above, with the grant
            Ok(warnings) if lacks.is_empty() && !warnings.is_empty() => checks.push(Check::warn(
                NAME,
                format!("{tenant}: pg_dump warns: {}", warnings.join("; ")),
                "check whether something is missing in the dump because of it",
            )),
            Ok(_) => {}
        }
    }
    checks
}

fn told(lack: &Lack, user: &str, tenant: &TenantName) -> Check {
    let grant = format!("{} in {tenant}", lack.grant);
    match lack.fatal {
        true => Check::fail(NAME, format!("{tenant}: pg_dump as {user} would fail: {}", lack.what), grant),
        false => Check::warn(NAME, format!("{tenant}: a dump by {user} is incomplete: {}", lack.what), grant),
    }
}

/// What there is to know of a tenant before a dump is tried.
struct Seen {
    /// Privileges that the role does not have.
    lacks: Vec<Lack>,
    /// Whether the fence could be held.
    may_fence: bool,
    /// The database's own.
    encoding: String,
}

async fn look(options: &PostgresOptions, tenant: &TenantName) -> Result<Seen> {
    let mut session = Session::connect(options, tenant.as_str()).await?;
    let lacks = lacks(&mut session, &options.user).await?;
    let sql = "SELECT coalesce(pg_catalog.has_table_privilege(pg_catalog.to_regclass('public.ir_attachment'), \
               'UPDATE, DELETE, TRUNCATE'), false), pg_catalog.current_setting('server_encoding')";
    let row = session.row("ask for privileges", sql).await?;
    session.close().await;
    Ok(Seen { lacks, may_fence: column(&row, 0)?, encoding: column(&row, 1)? })
}
