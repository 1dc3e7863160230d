//! Loading a dump without its code running with our rights: who wrote a dump's triggers, constraints
//! and index expressions is the tenant's owner, and `pg_restore` runs them.
//!
//! The rule: **a session whose login role may do more than load never executes anything of a dump.**
//! `SET ROLE` is no fence, code can `RESET ROLE`; so a role is made for each load ([`role`]) that is
//! a member of nothing and owns nothing but what it loads: not even the tenant's own owner, whom other
//! tenants of the server often share. `pg_restore` leaves out what only a superuser may make, owners and
//! rights ([`sift`]); extensions are made before, in the empty database ([`ready`]); owners and rights
//! are set afterwards, when nothing of the dump runs any more ([`give`]), by statements that touch
//! catalogs only.

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

/// Where a database lies unless somebody says otherwise.
pub const DEFAULT_TABLESPACE: &str = "pg_default";

/// Something of a dump that the restored database does not have.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct NotMade {
    /// What.
    pub what: String,
    /// Why.
    pub why: String,
    /// SQL that makes it, to be read first; empty where it cannot be made by SQL. It may hold passwords (of a
    /// subscription, a user mapping, in a function), so it is written to a private file and shown nowhere else.
    #[serde(skip)]
    pub sql: String,
    /// Whether it was to be made; else it is left out on purpose, and the restore is whole without it.
    pub failed: bool,
    /// Whether it is the content of a materialized view: nothing that cannot be computed again.
    pub derived: bool,
}

impl fmt::Display for NotMade {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} was not made: {}", self.what, self.why)?;
        if self.failed || self.sql.is_empty() {
            return Ok(());
        }
        f.write_str(". The restore lists its SQL: check it, then run it as a superuser")
    }
}

/// What a person decided of a load, where the target is not as the source was.
#[derive(Clone, Debug, Default)]
pub struct Choices {
    /// Load the dump with whatever rights the configured role has.
    pub as_superuser: bool,
    /// Publish without what cannot be made.
    pub partial: bool,
    /// What belonged to another role than the tenant's owner belongs to it again.
    pub keep_owners: bool,
    /// Leave out the rights of roles that the target does not have.
    pub skip_missing_roles: bool,
    /// Put everything into the database's own tablespace.
    pub no_tablespaces: bool,
    /// What takes the place of a tablespace.
    pub tablespaces: BTreeMap<String, String>,
}

/// How a restore goes on without what cannot be made, in an error's words.
pub const PARTIAL: &str = "add --partial to restore everything else and list what is missing as SQL";

impl Choices {
    /// Where what lay in tablespace `old` goes; `None` is the database's `own`.
    pub fn tablespace<'a>(&'a self, old: &'a str, own: &str) -> Option<&'a str> {
        Some(self.mapped(old)).filter(|new| !self.no_tablespaces && *new != own)
    }

    /// The tablespace that the database itself goes to.
    pub fn own_tablespace<'a>(&'a self, properties: &'a DatabaseProperties) -> &'a str {
        match &properties.tablespace {
            Some(old) if !self.no_tablespaces => self.mapped(old),
            _ => DEFAULT_TABLESPACE,
        }
    }

    fn mapped<'a>(&'a self, old: &'a str) -> &'a str {
        self.tablespaces.get(old).map_or(old, String::as_str)
    }

    /// Whether everything goes into the tablespace that it came from.
    pub fn maps_nothing(&self) -> bool {
        !self.no_tablespaces && self.tablespaces.is_empty()
    }
}
