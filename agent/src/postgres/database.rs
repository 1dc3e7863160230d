//! The properties of a database apart from its content, and the queries about databases that a restore
//! needs.

use serde::{Deserialize, Serialize};

use crate::error::{Error, Kind, Result};
use crate::postgres::quote::{ident, literal};
use crate::postgres::safe_settings::TABLE_WAIT;
use crate::postgres::session::{Session, column};

/// What `CREATE DATABASE` needs and `pg_dump` of one database does not contain, with the privileges and
/// settings of the database itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DatabaseProperties {
    /// As in `UTF8`.
    pub encoding: String,
    /// LC_COLLATE.
    pub collate: String,
    /// LC_CTYPE.
    pub ctype: String,
    /// `libc`, `icu` or `builtin`.
    pub locale_provider: String,
    /// The locale of `icu` or `builtin`.
    pub locale: Option<String>,
    /// Tailoring rules of `icu` (16 and newer).
    pub icu_rules: Option<String>,
    /// Its tablespace, if that is not `pg_default`; backups of older Lifeboat versions do not record it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tablespace: Option<String>,
    /// The owning role.
    pub owner: String,
    /// -1 is unlimited.
    pub connection_limit: i32,
    /// The privileges on the database; `None` if they are PostgreSQL's default.
    pub grants: Option<Vec<Grant>>,
    /// `ALTER DATABASE ... SET` and `ALTER ROLE ... IN DATABASE ... SET`.
    pub settings: Vec<Setting>,
}

/// One privilege on a database.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Grant {
    /// The role; `None` is PUBLIC.
    pub role: Option<String>,
    /// `CONNECT`, `CREATE` or `TEMPORARY`.
    pub privilege: String,
    /// WITH GRANT OPTION.
    pub grantable: bool,
}

/// One setting that a session gets when it connects.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Setting {
    /// For this role only; `None` for everyone.
    pub role: Option<String>,
    /// As in `work_mem`.
    pub name: String,
    /// The value as PostgreSQL stores it; lists are already quoted.
    pub value: String,
}

/// Reads the properties of the session's own database, within its transaction.
pub async fn properties(session: &mut Session) -> Result<DatabaseProperties> {
    let what = "read the properties of the database";
    let version = session.version_num();
    // Databases have locale providers since 15, rules since 16, and one locale column for all since 17.
    let provider = if version >= 150_000 { "d.datlocprovider::text" } else { "'c'" };
    let locale = match version {
        170_000.. => "d.datlocale",
        150_000.. => "d.daticulocale",
        _ => "NULL::text",
    };
    let rules = if version >= 160_000 { "d.daticurules" } else { "NULL::text" };
    let row = session
        .row(
            what,
            format!(
                "SELECT pg_encoding_to_char(d.encoding)::text, d.datcollate::text, d.datctype::text, {provider}, \
                 {locale}, {rules}, pg_get_userbyid(d.datdba)::text, d.datconnlimit, d.datacl IS NOT NULL, \
                 (SELECT t.spcname::text FROM pg_tablespace t WHERE t.oid = d.dattablespace AND t.spcname <> 'pg_default') \
                 FROM pg_database d WHERE d.datname = current_database()"
            ),
        )
        .await?;
    let grants = match column::<bool>(&row, 8)? {
        true => Some(grants(session, "current_database()").await?),
        false => None,
    };
    Ok(DatabaseProperties {
        encoding: column(&row, 0)?,
        collate: column(&row, 1)?,
        ctype: column(&row, 2)?,
        locale_provider: match column::<String>(&row, 3)?.as_str() {
            "c" => "libc".into(),
            "i" => "icu".into(),
            "b" => "builtin".into(),
            other => other.to_owned(),
        },
        locale: column(&row, 4)?,
        icu_rules: column(&row, 5)?,
        tablespace: column(&row, 9)?,
        owner: column(&row, 6)?,
        connection_limit: column(&row, 7)?,
        grants,
        settings: settings(session, "current_database()").await?,
    })
}

/// The privileges on a database, read from another one; `None` if they are PostgreSQL's default.
pub async fn grants_of(session: &mut Session, name: &str) -> Result<Option<Vec<Grant>>> {
    let sql = format!(
        "SELECT EXISTS (SELECT FROM pg_database WHERE datname = {} AND datacl IS NOT NULL)",
        literal(name)
    );
    match column(&session.row("read the rights on the database", sql).await?, 0)? {
        true => grants(session, &literal(name)).await.map(Some),
        false => Ok(None),
    }
}

/// The settings of a database, read from another one.
pub async fn settings_of(session: &mut Session, name: &str) -> Result<Vec<Setting>> {
    settings(session, &literal(name)).await
}

async fn grants(session: &mut Session, database: &str) -> Result<Vec<Grant>> {
    let sql = format!(
        "SELECT CASE WHEN a.grantee = 0 THEN NULL ELSE pg_get_userbyid(a.grantee)::text END, \
               a.privilege_type, a.is_grantable FROM pg_database d, aclexplode(d.datacl) a \
               WHERE d.datname = {database} ORDER BY 1 NULLS FIRST, 2"
    );
    let mut out = Vec::new();
    for row in session.rows("read the rights on the database", sql).await? {
        out.push(Grant { role: column(&row, 0)?, privilege: column(&row, 1)?, grantable: column(&row, 2)? });
    }
    Ok(out)
}

async fn settings(session: &mut Session, database: &str) -> Result<Vec<Setting>> {
    let sql = format!(
        "SELECT CASE WHEN s.setrole = 0 THEN NULL ELSE pg_get_userbyid(s.setrole)::text END, c.setting \
               FROM pg_db_role_setting s JOIN pg_database d ON d.oid = s.setdatabase, unnest(s.setconfig) c(setting) \
               WHERE d.datname = {database} ORDER BY 1 NULLS FIRST, 2"
    );
    let mut out = Vec::new();
    for row in session.rows("read the settings of the database", sql).await? {
        let setting: String = column(&row, 1)?;
        if let Some((name, value)) = setting.split_once('=') {
            out.push(Setting { role: column(&row, 0)?, name: name.into(), value: value.into() });
        }
    }
    Ok(out)
}

/// Whether the cluster has a database of this name.
pub async fn database_exists(session: &mut Session, name: &str) -> Result<bool> {
    let sql = format!("SELECT EXISTS (SELECT FROM pg_database WHERE datname = {})", literal(name));
    column(&session.row(&format!("search for database {name:?}"), sql).await?, 0)
}

/// The comment on a database; `None` if it has none or does not exist.
pub async fn database_comment(session: &mut Session, name: &str) -> Result<Option<String>> {
    let sql = format!(
        "SELECT shobj_description(oid, 'pg_database') FROM pg_database WHERE datname = {}",
        literal(name)
    );
    match session.rows(&format!("read the comment of database {name:?}"), sql).await?.first() {
        Some(row) => column(row, 0),
        None => Ok(None),
    }
}

/// The number of this session's database in its cluster.
pub async fn database_oid(session: &mut Session) -> Result<u32> {
    let sql = "SELECT oid::int8 FROM pg_database WHERE datname = current_database()";
    let row = session.row("read the database's number", sql).await?;
    column::<i64>(&row, 0).map(|oid| u32::try_from(oid).unwrap_or(0))
}

/// The size of the session's own database in bytes.
pub async fn database_bytes(session: &mut Session) -> Result<u64> {
    let sql = "SELECT pg_database_size(current_database())";
    let bytes: i64 = column(&session.row("read the size of the database", sql).await?, 0)?;
    Ok(bytes.max(0) as u64)
}

/// The roles of `roles` that do not exist in the cluster, in their order.
pub async fn missing_roles(session: &mut Session, roles: &[String]) -> Result<Vec<String>> {
    let rows = session.rows("list the roles", "SELECT rolname::text FROM pg_roles").await?;
    let known =
        rows.iter().map(|row| column(row, 0)).collect::<Result<std::collections::HashSet<String>>>()?;
    Ok(roles.iter().filter(|role| !known.contains(*role)).cloned().collect())
}

/// The roles that own something in the session's database or have privileges on it, sorted. A restore with
/// owners and privileges needs them in the cluster. PostgreSQL's own roles are left out.
pub async fn roles_in_use(session: &mut Session) -> Result<Vec<String>> {
    let sql = "WITH used(oid) AS ( \
                 SELECT refobjid FROM pg_shdepend WHERE refclassid = 'pg_authid'::regclass \
                   AND dbid = (SELECT oid FROM pg_database WHERE datname = current_database()) \
                 UNION SELECT relowner FROM pg_class WHERE oid >= 16384 \
                 UNION SELECT proowner FROM pg_proc WHERE oid >= 16384 \
                 UNION SELECT typowner FROM pg_type WHERE oid >= 16384 \
                 UNION SELECT nspowner FROM pg_namespace WHERE oid >= 16384 \
                 UNION SELECT datdba FROM pg_database WHERE datname = current_database()) \
               SELECT DISTINCT r.rolname::text COLLATE \"C\" FROM used u JOIN pg_roles r ON r.oid = u.oid \
               WHERE r.rolname !~ '^pg_' ORDER BY 1";
    session.rows("list the roles in use", sql).await?.iter().map(|row| column(row, 0)).collect()
}

/// Drops a database that this program created, and ends the sessions in it. The marker proves that it is
/// ours. It is no error if the database is already gone.
///
/// # Errors
/// `Refused` if the database's comment is not exactly `marker`: then somebody else created it.
pub async fn drop_database_if_marked(session: &mut Session, name: &str, marker: &str) -> Result<()> {
    if !database_exists(session, name).await? {
        return Ok(());
    }
    let comment = database_comment(session, name).await?;
    if marker.is_empty() || comment.as_deref() != Some(marker) {
        let comment = comment.map_or("it has no comment".into(), |text| format!("its comment is {text:?}"));
        return Err(Error::new(Kind::Refused, format!("database {name:?} was not created by this restore"))
            .because(format!("{comment}; this restore would have written {marker:?}"))
            .effect("the database was not changed")
            .next("look into the database; if it is not needed, rename or drop it yourself"));
    }
    session.allow(TABLE_WAIT).await?; // a large one takes its time
    let what = format!("drop the unfinished database {name:?}");
    let name = ident(name);
    // A template cannot be dropped. Closed, so that nobody can open it if we die before it is dropped.
    let closed = format!("ALTER DATABASE {name} IS_TEMPLATE false ALLOW_CONNECTIONS false");
    session.execute(&what, closed).await?;
    session.execute(&what, format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)")).await?;
    Ok(())
}
