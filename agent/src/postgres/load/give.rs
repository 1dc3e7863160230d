//! After the load: gives all objects to the owners that [`super::divide`] chose. No code of the dump runs
//! any more: every statement here changes catalogs only, or copies files.

use super::divide::Estate;
use super::{NotMade, PARTIAL};
use crate::error::shown::foreign;
use crate::error::{Kind, Result};
use crate::postgres::quote::{ident, literal, qualified};
use crate::postgres::safe_settings::TABLE_WAIT;
use crate::postgres::session::{Session, column};

/// Who loaded it.
#[derive(Clone, Copy)]
pub enum Giver<'a> {
    /// A role that was created for the load and has no session any more: it owns everything.
    OwnRole(&'a str),
    /// The heir, or the owners in the dump.
    Heir,
}

/// Gives everything to its owners. `session` is ours, in the hidden database. With `partial`, statements
/// that the server refuses are returned, not an error.
///
/// # Errors
/// `Postgres`, for example if a role does not exist; running the restore again is safe.
pub async fn give(
    session: &mut Session,
    giver: Giver<'_>,
    estate: &Estate,
    partial: bool,
) -> Result<Vec<NotMade>> {
    let superuser = "SELECT rolsuper FROM pg_catalog.pg_roles WHERE rolname = session_user";
    let superuser: bool = column(&session.row("check our role", superuser).await?, 0)?;
    session.allow(TABLE_WAIT).await?; // moving a table takes time
    let mut left = run(session, "move an object into its tablespace", &estate.moves, partial).await?;
    if let Giver::OwnRole(loader) = giver {
        settle(session, loader, Some(&estate.heir)).await?;
    }
    left.extend(run(session, "give an object to its owner", &estate.others, partial).await?);
    let rights: Vec<String> = match superuser {
        true => estate.rights.clone(),
        // Without superuser rights, we act for other roles as a member of them.
        false => estate
            .rights
            .iter()
            .map(|text| {
                text.replace("RESET SESSION AUTHORIZATION", "RESET ROLE")
                    .replace("SET SESSION AUTHORIZATION ", "SET ROLE ")
            })
            .collect(),
    };
    left.extend(run(session, "set rights", &rights, partial).await?);
    left.extend(run(session, "enable row-level security", &estate.row_security, partial).await?);
    Ok(left)
}

async fn run(
    session: &mut Session,
    what: &str,
    statements: &[String],
    partial: bool,
) -> Result<Vec<NotMade>> {
    let mut left = Vec::new();
    for statement in statements {
        match session.execute(what, statement).await {
            Ok(_) => {}
            Err(e) if partial && matches!(e.kind(), Kind::Postgres | Kind::Denied) => {
                session.execute("reset the role", "RESET ROLE").await?; // fails where the session is lost
                let (why, sql) = (e.causes().join("; "), format!("{statement};"));
                left.push(NotMade {
                    what: foreign(statement),
                    why: foreign(&why),
                    sql,
                    failed: true,
                    derived: false,
                });
            }
            Err(e) => return Err(e.next(PARTIAL)),
        }
    }
    Ok(left)
}

/// Gives everything that `loader` owns to `heir`, or to us if nothing was loaded, and revokes all
/// privileges of the loader; it can then be dropped.
pub(super) async fn settle(session: &mut Session, loader: &str, heir: Option<&str>) -> Result<()> {
    let (what, role) = ("give what was loaded to its owner", ident(loader));
    session.allow(TABLE_WAIT).await?;
    let public = match session.version_num() {
        150_000.. => "pg_database_owner".to_owned(),
        _ => column(&session.row(what, "SELECT pg_catalog.pg_get_userbyid(10)::text").await?, 0)?,
    };
    let owned = format!(
        "SELECT n.nspname::text, c.relname::text FROM pg_catalog.pg_class c \
         JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
         WHERE c.relowner = {}::pg_catalog.regrole AND c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S') \
           AND c.relpersistence <> 't' AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend d \
             WHERE d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.objid = c.oid \
               AND d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.deptype IN ('a', 'i') AND c.relkind = 'S')",
        literal(&role)
    );
    let schemas = format!(
        "SELECT nspname::text FROM pg_catalog.pg_namespace WHERE nspowner = {}::pg_catalog.regrole",
        literal(&role)
    );
    // If no heir was noted, nothing was loaded: only the empty schemas that we created exist.
    let heir = heir.map_or("CURRENT_USER".to_owned(), ident);
    // Schemas first: unless a superuser gives it, the new owner of a table needs CREATE on the schema.
    let mut had_public = false;
    for row in session.rows(what, schemas).await? {
        let schema: String = column(&row, 0)?;
        had_public |= schema == "public";
        session.execute(what, format!("ALTER SCHEMA {} OWNER TO {heir}", ident(&schema))).await?;
    }
    // One by one: one transaction for all would need more locks than a server has.
    for row in session.rows(what, owned).await? {
        let name = qualified(&column::<String>(&row, 0)?, &column::<String>(&row, 1)?);
        session.execute(what, format!("ALTER TABLE {name} OWNER TO {heir}")).await?;
    }
    // Unless a superuser gives it, the new owner of a publication needs CREATE on the database.
    let (place, ours) = (ident(session.database()), heir == "CURRENT_USER");
    if !ours {
        session.execute(what, format!("GRANT CREATE ON DATABASE {place} TO {heir}")).await?;
    }
    session.execute(what, format!("REASSIGN OWNED BY {role} TO {heir}")).await?;
    if !ours {
        session.execute(what, format!("REVOKE CREATE ON DATABASE {place} FROM {heir}")).await?;
    }
    if had_public {
        session.execute(what, format!("ALTER SCHEMA public OWNER TO {}", ident(&public))).await?;
    }
    session.execute(what, format!("DROP OWNED BY {role}")).await.map(drop)
}
