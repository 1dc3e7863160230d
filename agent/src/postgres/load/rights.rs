//! The rights of a role beyond its own objects, and which role therefore loads a dump.

use std::collections::BTreeSet;
use std::fmt;

use serde::Serialize;

use crate::error::{Error, Kind, Result};
use crate::postgres::quote::literal;
use crate::postgres::session::{Session, column};

/// Which role loads a dump.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Loads {
    /// A role that is created for the load, has no other rights, and is dropped at the end.
    OwnRole,
    /// The configured role, which has no dangerous rights.
    ConfiguredRole,
    /// The configured role with all its rights, because a flag says so.
    ConfiguredRoleTrusted,
}

impl fmt::Display for Loads {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Loads::OwnRole => "a role created for this load, with no other rights, dropped at the end",
            Loads::ConfiguredRole => "the configured role, which has no dangerous rights",
            Loads::ConfiguredRoleTrusted => "the configured role with all its rights (--load-as-superuser)",
        })
    }
}

impl Loads {
    /// A warning for a person.
    pub fn warning(self) -> Option<String> {
        (self == Loads::ConfiguredRoleTrusted).then(|| {
            "the dump is loaded with all rights of the configured role: code of the tenant's owner in \
            triggers, constraints and index expressions runs with these rights"
                .to_owned()
        })
    }

    /// Decides it for the session's role. `trusted`: the dump may be loaded with all rights of that role.
    ///
    /// # Errors
    /// `Refused` if the role cannot create another role and has too many rights itself.
    pub async fn decide(session: &mut Session, trusted: bool) -> Result<Loads> {
        if trusted {
            return Ok(Loads::ConfiguredRoleTrusted);
        }
        let sql = "SELECT rolname::text, rolsuper OR rolcreaterole FROM pg_catalog.pg_roles WHERE rolname = current_user";
        let row = session.row("check our role", sql).await?;
        let (role, makes_roles): (String, bool) = (column(&row, 0)?, column(&row, 1)?);
        if makes_roles {
            return Ok(Loads::OwnRole);
        }
        let reach = reach(session, &role).await?;
        if reach.is_empty() {
            return Ok(Loads::ConfiguredRole);
        }
        Err(Error::new(Kind::Refused, format!("role {role} has too many rights to load a dump itself, and too \
            few to create a role for the load"))
            .because(format!("it has, or can get, the rights of {}", reach.join(", ")))
            .effect("nothing was changed: code of the tenant's owner in triggers and constraints would run \
                with these rights")
            .next(format!("let it create a role for the load: ALTER ROLE {role} CREATEROLE; or restore as a superuser, or as a role with CREATEDB that is a member only of the tenant's owner (docs/least-privilege.md); if you trust everybody who could write into this database, add --load-as-superuser (then {role} loads it)")))
    }
}

/// The rights of a role beyond its own objects: attributes and predefined roles, its own and those of the
/// roles that it is a member of. Empty means harmless.
async fn reach(session: &mut Session, role: &str) -> Result<Vec<String>> {
    let sql = format!(
        "SELECT DISTINCT p.rolname::text FROM pg_catalog.pg_roles r, pg_catalog.pg_roles p \
         WHERE r.rolname = {} AND {} ORDER BY 1",
        literal(role),
        reaches_far("r", "p")
    );
    session.rows("check the rights of our role", sql).await?.iter().map(|row| column(row, 0)).collect()
}

/// The roles of `roles` with rights beyond their own objects: superusers, and roles that can become one or
/// can read files or run programs of the server.
pub async fn far_reaching<'a>(
    session: &mut Session,
    roles: impl IntoIterator<Item = &'a str>,
) -> Result<BTreeSet<String>> {
    let names: BTreeSet<String> = roles.into_iter().map(literal).collect();
    if names.is_empty() {
        return Ok(BTreeSet::new());
    }
    let sql = format!(
        "SELECT DISTINCT r.rolname::text FROM pg_catalog.pg_roles r, pg_catalog.pg_roles p \
         WHERE r.rolname IN ({}) AND {}",
        names.into_iter().collect::<Vec<_>>().join(", "),
        reaches_far("r", "p")
    );
    session.rows("check the rights of the owners", sql).await?.iter().map(|row| column(row, 0)).collect()
}

/// Whether role `role` is, or can become, a role `p` with far-reaching rights. All of PostgreSQL's
/// predefined roles count (programs and files of the server, everybody's data and sessions; each version
/// adds some), except `pg_database_owner`; nobody else may create a role named `pg_…`.
fn reaches_far(role: &str, p: &str) -> String {
    format!(
        "pg_catalog.pg_has_role({role}.oid, {p}.oid, 'MEMBER') AND ({p}.rolsuper OR {p}.rolcreaterole \
         OR {p}.rolreplication OR {p}.rolbypassrls \
         OR pg_catalog.starts_with({p}.rolname::text, 'pg_') AND {p}.rolname <> 'pg_database_owner')"
    )
}
