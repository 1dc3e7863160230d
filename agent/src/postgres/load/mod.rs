//! Loads a dump without running its code with our rights: the tenant's owner wrote the dump's triggers,
//! constraints and index expressions, and `pg_restore` runs them.
//!
//! The rule: **a session whose login role may do more than load never executes anything of a dump.**
//! `SET ROLE` is not enough, because code can `RESET ROLE`. So each load gets its own role ([`role`]),
//! which is a member of nothing and owns only what it loads. The tenant's owner is not used either,
//! because several tenants often share one. `pg_restore` leaves out owners, privileges, and what only a
//! superuser may create ([`sift`]). Extensions are created before, in the empty database ([`ready`]).
//! Owners and privileges are set afterwards, when no code of the dump runs any more ([`give`]), by
//! statements that change catalogs only.

pub mod divide;
mod entries;
pub mod give;
pub mod lack;
pub mod lacks;
pub mod needs;
pub mod ready;
pub mod rights;
pub mod role;
pub mod roles;
pub mod sift;
mod statements;
pub mod target;
pub mod toc;

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

use crate::postgres::database::DatabaseProperties;

/// The default tablespace of a database.
pub const DEFAULT_TABLESPACE: &str = "pg_default";

/// Something of a dump that is not in the restored database.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct NotMade {
    /// What.
    pub what: String,
    /// Why.
    pub why: String,
    /// SQL that creates it, for a person to check first; empty if SQL cannot create it. It may contain
    /// passwords (of a subscription, a user mapping, in a function), so it is only written to a private
    /// file.
    #[serde(skip)]
    pub sql: String,
    /// Whether it should have been created; otherwise it is left out on purpose and the restore is complete.
    pub failed: bool,
    /// Whether it is the content of a materialized view, which can be computed again.
    pub derived: bool,
}

impl fmt::Display for NotMade {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} was not created: {}", self.what, self.why)?;
        if self.failed || self.sql.is_empty() {
            return Ok(());
        }
        f.write_str(". The restore writes its SQL to a file: check it, then run it as a superuser")
    }
}

/// A person's decisions about a load into a server that differs from the source.
#[derive(Clone, Debug, Default)]
pub struct Choices {
    /// Load the dump with all rights of the configured role.
    pub as_superuser: bool,
    /// Publish the database without the objects that cannot be created.
    pub partial: bool,
    /// Give objects of other roles than the tenant's owner back to these roles.
    pub keep_owners: bool,
    /// Leave out the privileges of roles that do not exist on the target.
    pub skip_missing_roles: bool,
    /// Put everything into the database's own tablespace.
    pub no_tablespaces: bool,
    /// The replacement of each tablespace.
    pub tablespaces: BTreeMap<String, String>,
}

/// The part of a hint that says how to restore without the objects that cannot be created.
pub const PARTIAL: &str = "add --partial to restore everything else and list what is missing as SQL";

impl Choices {
    /// The new tablespace of the objects in tablespace `old`; `None` is the database's `own`.
    pub fn tablespace<'a>(&'a self, old: &'a str, own: &str) -> Option<&'a str> {
        Some(self.mapped(old)).filter(|new| !self.no_tablespaces && *new != own)
    }

    /// The new tablespace of the database itself.
    pub fn own_tablespace<'a>(&'a self, properties: &'a DatabaseProperties) -> &'a str {
        match &properties.tablespace {
            Some(old) if !self.no_tablespaces => self.mapped(old),
            _ => DEFAULT_TABLESPACE,
        }
    }

    fn mapped<'a>(&'a self, old: &'a str) -> &'a str {
        self.tablespaces.get(old).map_or(old, String::as_str)
    }

    /// Whether everything keeps its tablespace.
    pub fn maps_nothing(&self) -> bool {
        !self.no_tablespaces && self.tablespaces.is_empty()
    }
}
