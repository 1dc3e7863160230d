//! Checks production's own indexes: those of each tenant, and those of the databases that are no tenants.
//!
//! Another C library or ICU may sort text in another order. Indexes of such databases look broken here
//! although they are right on production: they are not checked, and that is said.

use lifeboat::error::Result;
use lifeboat::names::{counted, random_hex};
use lifeboat::postgres::quote::ident;

use super::each::Tenant;
use super::recover;
use crate::drill::stage::Stage;
use crate::place::Room;
use crate::report::Report;
use crate::report::finding::{Finding, State};
use crate::report::integrity::Integrity;
use crate::stages::amcheck;
use crate::stages::indexes::{INDEXES, Indexes};

/// The indexes of one tenant.
pub struct Sorted<'a> {
    /// Whose.
    pub tenant: &'a Tenant,
    /// Databases that are sorted otherwise.
    pub sorted: &'a recover::Sorted,
}

impl Stage for Sorted<'_> {
    const NAME: &'static str = Indexes::NAME;
    type Output = ();

    async fn run(self, report: &mut Report) -> Result<((), String)> {
        match why_not(self.sorted, &self.tenant.room.database) {
            None => Indexes { room: &self.tenant.room }.run(report).await,
            Some(why) => {
                report.findings.push(Finding::new(INDEXES, State::NotRun, &why));
                Ok(((), why))
            }
        }
    }
}

fn why_not(sorted: &recover::Sorted, database: &str) -> Option<String> {
    let (_, why) = sorted.iter().find(|(name, _)| name == database)?;
    Some(format!(
        "text is sorted otherwise on this host ({why}): drill on a host with production's C library"
    ))
}

/// The databases that are no tenants, such as `postgres` and the templates.
pub struct Others<'a> {
    /// The server.
    pub room: &'a Room,
    /// Their names.
    pub databases: &'a [String],
    /// Databases that are sorted otherwise.
    pub sorted: &'a recover::Sorted,
}

impl Stage for Others<'_> {
    const NAME: &'static str = "others";
    type Output = ();

    async fn run(self, report: &mut Report) -> Result<((), String)> {
        let mut all = Integrity::default();
        // A name that production has for no role of its own.
        let room = Room { owner: format!("restore_drill_{}", random_hex(8)), ..self.room.clone() };
        let (what, role) = ("create the role that runs amcheck", &room.owner);
        let mut session = room.connect_superuser("postgres").await?;
        session.execute(what, format!("CREATE ROLE {role} LOGIN")).await?;
        for database in self.databases {
            let connect = format!("GRANT CONNECT ON DATABASE {} TO {role}", ident(database));
            session.execute(what, connect).await?;
        }
        session.close().await;
        for database in self.databases {
            if let Some(why) = why_not(self.sorted, database) {
                report.findings.push(Finding::new(
                    INDEXES,
                    State::NotRun,
                    format!("database {database}: {why}"),
                ));
                continue;
            }
            let mut found = Integrity::default();
            amcheck::look(&room, database, &mut found).await?;
            if let Some(why) = &found.amcheck_skipped {
                let what = format!("database {database}: {why}");
                report.findings.push(Finding::new(INDEXES, State::NotRun, what));
            }
            if found.index_problems > 0 {
                let first = found.examples.first().map_or("", String::as_str);
                let what = format!(
                    "database {database}: {} (amcheck); the first: {first}",
                    counted(found.index_problems, "problem")
                );
                report.findings.push(Finding::new(INDEXES, State::Failed, what));
            }
            all.add(&found, database);
        }
        let what = format!(
            "{} and {} indexes of {}: {} problems",
            counted(all.tables, "table"),
            all.indexes,
            counted(self.databases.len(), "other database"),
            all.index_problems
        );
        report.integrity.get_or_insert_default().add(&all, "databases without a tenant");
        Ok(((), what))
    }
}
