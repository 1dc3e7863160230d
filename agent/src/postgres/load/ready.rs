//! Prepares the empty database for an unprivileged role: we create extensions and languages from the
//! server's own files. Nothing of the dump is in the database yet, so the dump cannot interfere.

use std::collections::BTreeSet;

use super::needs::Needs;
use super::sift::{Extension, LANGUAGES, Made, extensions};
use super::toc::Entry;
use super::{Choices, PARTIAL};
use crate::error::{Kind, Result};
use crate::postgres::quote::{ident, literal, qualified};
use crate::postgres::session::{Session, column};

/// For which role, and how.
#[derive(Clone, Copy)]
pub struct Ready<'a> {
    /// The role that will own what is loaded.
    pub role: &'a str,
    /// Whether it was created for this load: then it is granted only what it needs.
    pub own: bool,
    /// Whether we create extensions and schemas as this role, so that it owns them.
    pub becomes: bool,
    /// What a person decided.
    pub choices: &'a Choices,
}

/// Prepares the database for a role; returns what exists afterwards. `session` is ours, in the empty
/// database.
///
/// # Errors
/// `Postgres` if an extension cannot be created here and may not be left out.
pub async fn ready(session: &mut Session, asked: Ready<'_>, entries: &[Entry]) -> Result<Made> {
    let (what, role) = ("prepare the database for the dump", ident(asked.role));
    let mut made = Made::default();
    take_over_collations(session, entries).await?;
    if asked.becomes {
        session.execute(what, format!("SET ROLE {role}")).await?;
    }
    for extension in extensions(entries)? {
        match make_extension(session, &extension, &role).await {
            Ok(()) => {}
            Err(e) if asked.choices.partial && matches!(e.kind(), Kind::Postgres | Kind::Denied) => {
                made.absent.insert(extension.name, e.causes().join("; "));
            }
            Err(e) => return Err(e),
        }
    }
    languages(session, entries).await?;
    // We create its schemas: with CREATE on the database it could also create trusted extensions, whose
    // scripts run as a superuser.
    let schemas = entries.iter().filter(|entry| entry.desc == "SCHEMA" && entry.tag != "public");
    let mut sql: Vec<String> = schemas
        .map(|entry| format!("CREATE SCHEMA IF NOT EXISTS {} AUTHORIZATION {role}", ident(&entry.tag)))
        .collect();
    if asked.own {
        allow(session, asked, entries, &mut sql).await?;
    }
    of_extensions(session, asked, entries, &mut sql, &mut made).await?;
    session.execute(what, sql.join("; ")).await?;
    if asked.becomes {
        session.execute(what, "RESET ROLE").await?;
    }
    let schemas = "SELECT nspname::text FROM pg_catalog.pg_namespace";
    made.schemas = names(session, schemas).await?;
    let role = literal(asked.role);
    let languages = format!(
        "SELECT lanname::text FROM pg_catalog.pg_language \
         WHERE pg_catalog.has_language_privilege({role}, oid, 'USAGE') AND (lanpltrusted OR NOT lanispl AND lanname = 'sql')"
    );
    made.languages = names(session, &languages).await?;
    let wrappers = format!(
        "SELECT fdwname::text FROM pg_catalog.pg_foreign_data_wrapper \
         WHERE pg_catalog.has_foreign_data_wrapper_privilege({role}, oid, 'USAGE')"
    );
    made.wrappers = names(session, &wrappers).await?;
    let methods = names(session, "SELECT amname::text FROM pg_catalog.pg_am").await?;
    let used = Needs::of(entries).access_methods.into_keys();
    made.no_access_method = used.filter(|method| !methods.contains(method)).collect();
    Ok(made)
}

/// Grants the role of the load what its entries need.
async fn allow(
    session: &mut Session,
    asked: Ready<'_>,
    entries: &[Entry],
    sql: &mut Vec<String>,
) -> Result<()> {
    let role = ident(asked.role);
    // Before 15 the bootstrap superuser owns it, and everybody may create objects in it.
    let ours = "SELECT pg_catalog.pg_has_role(nspowner, 'USAGE') FROM pg_catalog.pg_namespace WHERE nspname = 'public'";
    if column(&session.row("read the owner of schema public", ours).await?, 0)? {
        sql.push(format!("ALTER SCHEMA public OWNER TO {role}"));
    }
    if entries.iter().any(|entry| entry.desc == "PUBLICATION") {
        sql.push(format!("GRANT CREATE ON DATABASE {} TO {role}", ident(session.database())));
    }
    if asked.choices.maps_nothing() {
        let own = "SELECT spcname::text FROM pg_catalog.pg_tablespace t JOIN pg_catalog.pg_database d \
                   ON d.dattablespace = t.oid WHERE d.datname = pg_catalog.current_database()";
        let own: String = column(&session.row("read the database's tablespace", own).await?, 0)?;
        let tablespaces: BTreeSet<&str> =
            entries.iter().map(|e| e.tablespace.as_str()).filter(|t| !t.is_empty() && *t != own).collect();
        sql.extend(
            tablespaces.into_iter().map(|t| format!("GRANT CREATE ON TABLESPACE {} TO {role}", ident(t))),
        );
    }
    if entries.iter().any(|entry| entry.desc == "SERVER") {
        let wrappers = "SELECT fdwname::text FROM pg_catalog.pg_foreign_data_wrapper \
                        WHERE pg_catalog.has_foreign_data_wrapper_privilege(oid, 'USAGE WITH GRANT OPTION')";
        for name in names(session, wrappers).await? {
            sql.push(format!("GRANT USAGE ON FOREIGN DATA WRAPPER {} TO {role}", ident(&name)));
        }
    }
    Ok(())
}

/// Imports collations that the operating system got after this cluster was created.
async fn take_over_collations(session: &mut Session, entries: &[Entry]) -> Result<()> {
    let what = "search for the collations of the dump";
    let known = names(
        session,
        "SELECT collname::text FROM pg_catalog.pg_collation WHERE collencoding IN (-1, (SELECT encoding FROM \
         pg_catalog.pg_database WHERE datname = pg_catalog.current_database()))",
    )
    .await?;
    let superuser = "SELECT rolsuper FROM pg_catalog.pg_roles WHERE rolname = current_user";
    if Needs::of(entries).collations.is_subset(&known) || !column(&session.row(what, superuser).await?, 0)? {
        return Ok(());
    }
    let sql = "SELECT pg_catalog.pg_import_system_collations('pg_catalog')";
    session.execute("import the collations of the operating system", sql).await.map(drop)
}

async fn make_extension(session: &mut Session, extension: &Extension, role: &str) -> Result<()> {
    let (name, schema) = (ident(&extension.name), ident(&extension.schema));
    let what = format!("create extension {}", extension.name);
    if !extension.schema.starts_with("pg_") {
        session.execute(&what, format!("CREATE SCHEMA IF NOT EXISTS {schema} AUTHORIZATION {role}")).await?;
    }
    let sql = format!("CREATE EXTENSION IF NOT EXISTS {name} WITH SCHEMA {schema}");
    session.execute(&what, sql).await.map(drop).map_err(|e| {
        e.next(format!(
            "install the package that contains extension {} on the database server, then run again; or {PARTIAL}",
            extension.name
        ))
    })
}

/// Languages of old dumps that are extensions today.
async fn languages(session: &mut Session, entries: &[Entry]) -> Result<()> {
    let languages = entries.iter().filter(|entry| entry.desc == "PROCEDURAL LANGUAGE");
    for entry in languages.filter(|entry| LANGUAGES.contains(&entry.tag.as_str())) {
        let offered = format!(
            "SELECT EXISTS (SELECT FROM pg_catalog.pg_available_extensions WHERE name = {})",
            literal(&entry.tag)
        );
        let what = format!("create language {}", entry.tag);
        if column(&session.row(&what, offered).await?, 0)? {
            session.execute(&what, format!("CREATE EXTENSION IF NOT EXISTS {}", ident(&entry.tag))).await?;
        }
    }
    Ok(())
}

/// Lets the role use the objects of extensions, and fill those of their tables whose rows are in the dump.
async fn of_extensions(
    session: &mut Session,
    asked: Ready<'_>,
    entries: &[Entry],
    sql: &mut Vec<String>,
    made: &mut Made,
) -> Result<()> {
    let role = &ident(asked.role);
    let schemas = "SELECT n.nspname::text FROM pg_catalog.pg_namespace n JOIN pg_catalog.pg_depend d \
                   ON d.classid = 'pg_catalog.pg_namespace'::pg_catalog.regclass AND d.objid = n.oid AND d.deptype = 'e'";
    let schemas =
        format!("{schemas} WHERE pg_catalog.has_schema_privilege(n.oid, 'USAGE WITH GRANT OPTION')");
    if asked.own {
        let names = names(session, &schemas).await?;
        sql.extend(names.iter().map(|s| format!("GRANT USAGE ON SCHEMA {} TO {role}", ident(s))));
    }
    let wanted: BTreeSet<(&str, &str)> = entries
        .iter()
        .filter(|entry| ["TABLE DATA", "SEQUENCE SET"].contains(&entry.desc.as_str()))
        .map(|entry| (entry.namespace.as_str(), entry.tag.as_str()))
        .collect();
    let members = "SELECT n.nspname::text, c.relname::text, c.relkind = 'S', c.relrowsecurity, \
                     CASE c.relkind WHEN 'S' THEN pg_catalog.has_sequence_privilege(c.oid, 'UPDATE WITH GRANT OPTION') \
                       ELSE pg_catalog.has_table_privilege(c.oid, 'INSERT WITH GRANT OPTION') END \
                   FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
                   JOIN pg_catalog.pg_depend d ON d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass \
                     AND d.objid = c.oid AND d.deptype = 'e' WHERE c.relkind IN ('r', 'p', 'S')";
    for row in session.rows("list the tables of extensions", members).await? {
        let (schema, name): (String, String) = (column(&row, 0)?, column(&row, 1)?);
        if !wanted.contains(&(schema.as_str(), name.as_str())) {
            continue;
        }
        let of = qualified(&schema, &name);
        let (is_sequence, hidden, ours): (bool, bool, bool) =
            (column(&row, 2)?, column(&row, 3)?, column(&row, 4)?);
        match (is_sequence, ours && !hidden, asked.own) {
            (_, false, _) => drop(made.closed.insert((schema, name))),
            (true, _, true) => sql.push(format!("GRANT SELECT, UPDATE ON SEQUENCE {of} TO {role}")),
            (false, _, true) => sql.push(format!("GRANT SELECT, INSERT ON TABLE {of} TO {role}")),
            (_, _, false) => {}
        }
    }
    Ok(())
}

async fn names(session: &mut Session, sql: &str) -> Result<BTreeSet<String>> {
    session.rows("read the empty database", sql).await?.iter().map(|row| column(row, 0)).collect()
}
