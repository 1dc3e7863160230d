//! Finds the tenants of the restored instance, and those that should be in it and are not.

use lifeboat::clock;
use lifeboat::error::Result;
use lifeboat::names::{TenantName, counted, random_hex};
use lifeboat::postgres::quote::ident;
use lifeboat::postgres::session::column;

use super::each::Tenant;
use crate::drill::stage::Stage;
use crate::place::Room;
use crate::plan::accept::Acceptance;
use crate::report::Report;
use crate::report::finding::{Finding, State};
use crate::report::tenants::TenantPart;
use crate::setup::{Chosen, OfTenant, Setup};

/// The part of a drill that compares the databases with the tenants that are stored.
pub const TENANTS: &str = "tenants";
const WHAT: &str = "list the databases of the restored instance";

/// Every database of the restored instance.
pub struct Databases<'a> {
    /// The plan.
    pub setup: &'a Setup,
    /// The server.
    pub room: &'a Room,
    /// The restored point, and what is stored of the tenants.
    pub chosen: &'a Chosen,
    /// How many missing tenants the plan accepts.
    pub accepted: Option<&'a Acceptance>,
}

impl Stage for Databases<'_> {
    const NAME: &'static str = "databases";
    type Output = (Vec<Tenant>, Vec<String>);

    async fn run(self, report: &mut Report) -> Result<(Self::Output, String)> {
        let Databases { setup, room, chosen, accepted } = self;
        let stored = chosen.whole.clone().unwrap_or_default().tenants;
        let (mut tenants, mut others) = (Vec::new(), Vec::new());
        for name in databases(room).await? {
            let known = name.parse::<TenantName>().ok().and_then(|tenant| stored.get_key_value(&tenant));
            let is_tenant = known.is_some() || is_odoo(room, &name).await?;
            let Some(tenant) = name.parse::<TenantName>().ok().filter(|_| is_tenant) else {
                others.push(name);
                continue;
            };
            let OfTenant { older, filestore } = stored.get(&tenant).cloned().unwrap_or_default();
            if known.is_none() {
                report.tenants.push(TenantPart::new(tenant.clone(), None));
            }
            let owner = make_owner(room, &name).await?;
            tenants.push(Tenant {
                room: Room { database: name, owner, ..room.clone() },
                setup: Setup { tenant: Some(tenant.clone()), ..setup.clone() },
                chosen: Chosen { older, whole: None, ..chosen.clone() },
                filestore,
                name: tenant,
            });
        }
        // A tenant of which only a filestore is stored may be of another cluster.
        let lost: Vec<&TenantName> = stored
            .iter()
            .filter(|(name, own)| !own.older.is_empty() && tenants.iter().all(|tenant| tenant.name != **name))
            .map(|(name, _)| name)
            .collect();
        let known = accepted.map(|known| (known, known.refuses(lost.len() as u64, clock::now())));
        // Of one whose loss is accepted nothing was proved: it has no verdict.
        let is_accepted = matches!(known, Some((_, None)));
        report.tenants.retain(|part| {
            tenants.iter().any(|tenant| tenant.name == part.tenant)
                || (lost.contains(&&part.tenant) && !is_accepted)
        });
        for name in &lost {
            let what = "a dump of this tenant is stored, and the restored instance has no such database";
            let mut finding = match &known {
                Some((known, None)) => {
                    Finding::new(TENANTS, State::Done, format!("{what} (accepted: {})", known.reason))
                }
                Some((_, Some(why))) => Finding::new(TENANTS, State::Failed, format!("{what} ({why})")),
                None => Finding::new(TENANTS, State::Failed, what),
            };
            finding.tenant = Some((*name).clone());
            report.findings.push(finding);
        }
        let what =
            format!("{} and {}", counted(tenants.len(), "tenant"), counted(others.len(), "other database"));
        if tenants.is_empty() {
            report.findings.push(Finding::new(TENANTS, State::Failed, "the restored instance has no tenant"));
        } else if lost.is_empty() {
            report.findings.push(Finding::new(TENANTS, State::Done, format!("{what}; none is missing")));
        }
        let note = match lost.len() {
            0 => what,
            n => format!("{what}; {} missing", counted(n, "tenant")),
        };
        Ok(((tenants, others), note))
    }
}

/// The databases that accept connections, by name; none that an interrupted DROP DATABASE left.
async fn databases(room: &Room) -> Result<Vec<String>> {
    let mut session = room.connect_superuser("postgres").await?;
    let sql = "SELECT datname::text FROM pg_catalog.pg_database WHERE datallowconn AND datconnlimit <> -2 ORDER BY 1";
    let rows = session.rows(WHAT, sql).await?;
    session.close().await;
    rows.iter().map(|row| column(row, 0)).collect()
}

/// Whether it has the tables that every Odoo has.
async fn is_odoo(room: &Room, database: &str) -> Result<bool> {
    let mut session = room.connect_superuser(database).await?;
    let sql = "SELECT pg_catalog.to_regclass('public.ir_attachment') IS NOT NULL \
               AND pg_catalog.to_regclass('public.ir_config_parameter') IS NOT NULL";
    let row = session.row(WHAT, sql).await?;
    session.close().await;
    column(&row, 0)
}

/// The role that checks a tenant, whose code runs in the checks. It may read and write the tenant's tables,
/// and has the rights of those who own them, if these are no superusers. So that code acts on no other
/// tenant. Policies hide no rows from it.
async fn make_owner(room: &Room, database: &str) -> Result<String> {
    let what = "create the role that checks a tenant";
    let role = format!("restore_drill_{}", random_hex(8));
    let mut session = room.connect_superuser(database).await?;
    // Production may have revoked from everybody what everybody has elsewhere.
    let connect = format!("GRANT CONNECT ON DATABASE {} TO {role}", ident(database));
    session.execute(what, format!("CREATE ROLE {role} LOGIN BYPASSRLS; {connect}")).await?;
    let own = "n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'";
    let owners = format!(
        "SELECT DISTINCT r.rolname::text FROM pg_catalog.pg_class c \
         JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace JOIN pg_catalog.pg_roles r ON r.oid = c.relowner \
         WHERE NOT r.rolsuper AND {own}"
    );
    for row in session.rows(what, owners).await? {
        let owner: String = column(&row, 0)?;
        session.execute(what, format!("GRANT {} TO {role}", ident(&owner))).await?;
    }
    for row in session
        .rows(what, format!("SELECT n.nspname::text FROM pg_catalog.pg_namespace n WHERE {own}"))
        .await?
    {
        let schema = ident(&column::<String>(&row, 0)?);
        let sql = format!(
            "GRANT USAGE ON SCHEMA {schema} TO {role}; GRANT ALL ON ALL TABLES IN SCHEMA {schema} TO {role}; \
             GRANT ALL ON ALL SEQUENCES IN SCHEMA {schema} TO {role}"
        );
        session.execute(what, sql).await?;
    }
    session.close().await;
    Ok(role)
}
