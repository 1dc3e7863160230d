//! Making the empty database ready for a role without rights: extensions and languages, from the
//! server's own files, by us; nothing of the dump is in it yet, so nothing of the dump can meddle.

use std::collections::BTreeSet;

use super::sift::{Extension, LANGUAGES, Made, extensions};
use super::toc::Entry;
use crate::error::Result;
use crate::postgres::quote::{ident, literal, qualified};
use crate::postgres::session::{Session, column};

/// Makes it ready for `loader`; what is there then. `session` is ours, in the empty database.
///
/// # Errors
/// `Postgres` where an extension cannot be made here.
pub async fn ready(session: &mut Session, loader: &str, entries: &[Entry]) -> Result<Made> {
    let role = ident(loader);
    for extension in extensions(entries)? {
        make_extension(session, &extension, &role).await?;
    }
    languages(session, entries).await?;
    // Schemas are made for it: whoever may make some in a database may make trusted extensions, too, whose
    // scripts a superuser runs.
    let mut sql = vec![format!("ALTER SCHEMA public OWNER TO {role}")];
    let schemas = entries.iter().filter(|entry| entry.desc == "SCHEMA" && entry.tag != "public");
    sql.extend(
        schemas
            .map(|entry| format!("CREATE SCHEMA IF NOT EXISTS {} AUTHORIZATION {role}", ident(&entry.tag))),
    );
    if entries.iter().any(|entry| entry.desc == "PUBLICATION") {
        sql.push(format!("GRANT CREATE ON DATABASE {} TO {role}", ident(session.database())));
    }
    let tablespaces: BTreeSet<&str> = entries
        .iter()
        .map(|e| e.tablespace.as_str())
        .filter(|t| !t.is_empty() && *t != "pg_default")
        .collect();
    sql.extend(tablespaces.into_iter().map(|t| format!("GRANT CREATE ON TABLESPACE {} TO {role}", ident(t))));
    if entries.iter().any(|entry| entry.desc == "SERVER") {
        let wrappers = "SELECT fdwname::text FROM pg_catalog.pg_foreign_data_wrapper";
        for row in session.rows("list foreign data wrappers", wrappers).await? {
            let name: String = column(&row, 0)?;
            sql.push(format!("GRANT USAGE ON FOREIGN DATA WRAPPER {} TO {role}", ident(&name)));
        }
    }
    let mut made = Made::default();
    of_extensions(session, &role, entries, &mut sql, &mut made).await?;
    session.execute("make the database ready for the dump", sql.join("; ")).await?;
    let schemas = "SELECT nspname::text FROM pg_catalog.pg_namespace";
    made.schemas = names(session, schemas).await?;
    let languages = format!(
        "SELECT lanname::text FROM pg_catalog.pg_language \
         WHERE pg_catalog.has_language_privilege({}, oid, 'USAGE') AND (lanpltrusted OR NOT lanispl AND lanname = 'sql')",
        literal(loader)
    );
    made.languages = names(session, &languages).await?;
    Ok(made)
}

async fn make_extension(session: &mut Session, extension: &Extension, role: &str) -> Result<()> {
    let (name, schema) = (ident(&extension.name), ident(&extension.schema));
    let what = format!("make extension {}", extension.name);
    if !extension.schema.starts_with("pg_") {
        session.execute(&what, format!("CREATE SCHEMA IF NOT EXISTS {schema} AUTHORIZATION {role}")).await?;
    }
    let sql = format!("CREATE EXTENSION IF NOT EXISTS {name} WITH SCHEMA {schema}");
    session.execute(&what, sql).await.map(drop).map_err(|e| {
        e.next(format!(
            "install the package that brings extension {} on the server, then run again",
            extension.name
        ))
    })
}

/// Languages of old dumps that are extensions by now.
async fn languages(session: &mut Session, entries: &[Entry]) -> Result<()> {
    let languages = entries.iter().filter(|entry| entry.desc == "PROCEDURAL LANGUAGE");
    for entry in languages.filter(|entry| LANGUAGES.contains(&entry.tag.as_str())) {
        let offered = format!(
            "SELECT EXISTS (SELECT FROM pg_catalog.pg_available_extensions WHERE name = {})",
            literal(&entry.tag)
        );
        let what = format!("make language {}", entry.tag);
        if column(&session.row(&what, offered).await?, 0)? {
            session.execute(&what, format!("CREATE EXTENSION IF NOT EXISTS {}", ident(&entry.tag))).await?;
        }
    }
    Ok(())
}

/// Lets the role use what extensions made, and fill those of their tables whose rows are in the dump.
async fn of_extensions(
    session: &mut Session,
    role: &str,
    entries: &[Entry],
    sql: &mut Vec<String>,
    made: &mut Made,
) -> Result<()> {
    let schemas = "SELECT n.nspname::text FROM pg_catalog.pg_namespace n JOIN pg_catalog.pg_depend d \
                   ON d.classid = 'pg_catalog.pg_namespace'::pg_catalog.regclass AND d.objid = n.oid AND d.deptype = 'e'";
    sql.extend(
        names(session, schemas)
            .await?
            .iter()
            .map(|s| format!("GRANT USAGE ON SCHEMA {} TO {role}", ident(s))),
    );
    let wanted: BTreeSet<(&str, &str)> = entries
        .iter()
        .filter(|entry| ["TABLE DATA", "SEQUENCE SET"].contains(&entry.desc.as_str()))
        .map(|entry| (entry.namespace.as_str(), entry.tag.as_str()))
        .collect();
    let members = "SELECT n.nspname::text, c.relname::text, c.relkind = 'S', c.relrowsecurity \
                   FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
                   JOIN pg_catalog.pg_depend d ON d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass \
                     AND d.objid = c.oid AND d.deptype = 'e' WHERE c.relkind IN ('r', 'p', 'S')";
    for row in session.rows("list the tables of extensions", members).await? {
        let (schema, name): (String, String) = (column(&row, 0)?, column(&row, 1)?);
        if !wanted.contains(&(schema.as_str(), name.as_str())) {
            continue;
        }
        let of = qualified(&schema, &name);
        match (column::<bool>(&row, 2)?, column::<bool>(&row, 3)?) {
            (true, _) => sql.push(format!("GRANT SELECT, UPDATE ON SEQUENCE {of} TO {role}")),
            (false, false) => sql.push(format!("GRANT SELECT, INSERT ON TABLE {of} TO {role}")),
            (false, true) => drop(made.closed.insert((schema, name))),
        }
    }
    Ok(())
}

async fn names(session: &mut Session, sql: &str) -> Result<BTreeSet<String>> {
    session.rows("look at the empty database", sql).await?.iter().map(|row| column(row, 0)).collect()
}
