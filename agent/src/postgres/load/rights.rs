//! What a role may do beyond its own objects, and as whom a dump is loaded because of that.

use std::collections::BTreeSet;
use std::fmt;

use serde::Serialize;

use crate::error::{Error, Kind, Result};
use crate::postgres::quote::literal;
use crate::postgres::session::{Session, column};

/// As whom a dump is loaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Loads {
    /// As a role that is made for it, without rights elsewhere, and dropped at the end.
    OwnRole,
    /// As the configured role, which has none of the rights that matter.
    ConfiguredRole,
    /// As the configured role, whatever it may do: somebody said so.
    ConfiguredRoleTrusted,
}

impl fmt::Display for Loads {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Loads::OwnRole => "a role made for this load, without rights elsewhere, dropped at the end",
            Loads::ConfiguredRole => "the configured role, which has no dangerous rights",
            Loads::ConfiguredRoleTrusted => "the configured role with all its rights (--load-as-superuser)",
        })
    }
}

impl Loads {
    /// What a person should know of it.
    pub fn warning(self) -> Option<String> {
        (self == Loads::ConfiguredRoleTrusted).then(|| {
            "the dump is loaded with all rights of the configured role: code of the tenant's owner in \
            triggers, constraints and index expressions runs with them"
                .to_owned()
        })
    }

    /// Decides it for the session's role. `trusted`: the dump may be loaded with whatever rights
    /// that has.
    ///
    /// # Errors
    /// `Refused` where the role cannot make another one and may do too much itself.
    pub async fn decide(session: &mut Session, trusted: bool) -> Result<Loads> {
        if trusted {
            return Ok(Loads::ConfiguredRoleTrusted);
        }
        let sql = "SELECT rolname::text, rolsuper OR rolcreaterole FROM pg_catalog.pg_roles WHERE rolname = current_user";
        let row = session.row("look at our role", sql).await?;
        let (role, makes_roles): (String, bool) = (column(&row, 0)?, column(&row, 1)?);
        if makes_roles {
            return Ok(Loads::OwnRole);
        }
        let reach = reach(session, &role).await?;
        if reach.is_empty() {
            return Ok(Loads::ConfiguredRole);
        }
        Err(Error::new(Kind::Refused, format!("role {role} has too many rights to load a dump, and too \
            few to make a role for it"))
            .because(format!("it has or can take the rights of {}", reach.join(", ")))
            .effect("code of the tenant's owner in triggers and constraints would run with these rights; \
                nothing was changed")
            .next(format!("let it make a role for the load: ALTER ROLE {role} CREATEROLE; or restore as a role with CREATEDB that is a member of the tenant's owner and of nothing else, or as a superuser (docs/least-privilege.md); if you trust everybody who could write into this database: --load-as-superuser (then {role} loads it)")))
    }
}

/// What a role may do that reaches beyond its own objects: attributes and predefined roles, its own and
/// those that it is a member of. Empty is harmless.
async fn reach(session: &mut Session, role: &str) -> Result<Vec<String>> {
    let sql = format!(
        "SELECT DISTINCT p.rolname::text FROM pg_catalog.pg_roles r, pg_catalog.pg_roles p \
         WHERE r.rolname = {} AND {} ORDER BY 1",
        literal(role),
        reaches_far("r", "p")
    );
    session.rows("look at the rights of our role", sql).await?.iter().map(|row| column(row, 0)).collect()
}

/// Those of `roles` that reach beyond their own objects: superusers, and whoever can become one or read
/// or run what is the server's.
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
    session.rows("look at the rights of the owners", sql).await?.iter().map(|row| column(row, 0)).collect()
}

/// Whether role `role` is, or can become, role `p`, and that one reaches far. Of the roles that PostgreSQL comes with
/// all do (programs and files of the server, everybody's data and sessions; each version adds some), but the one
/// that stands for the owner of a database; nobody else may name a role so.
fn reaches_far(role: &str, p: &str) -> String {
    format!(
        "pg_catalog.pg_has_role({role}.oid, {p}.oid, 'MEMBER') AND ({p}.rolsuper OR {p}.rolcreaterole \
         OR {p}.rolreplication OR {p}.rolbypassrls \
         OR pg_catalog.starts_with({p}.rolname::text, 'pg_') AND {p}.rolname <> 'pg_database_owner')"
    )
}
