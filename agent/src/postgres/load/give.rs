//! After the load: what was made goes to whom [`super::divide`] says. Nothing of the dump runs any more, and every
//! statement here touches catalogs only, or copies files.

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
    /// A role that was made for it and has no session any more: everything is its own.
    OwnRole(&'a str),
    /// The heir, or whoever the dump says.
    Heir,
}

/// Gives all of it to whom it belongs. `session` is ours, in the hidden database. Where `partial`, what is refused is
/// told: it is what came of it.
///
/// # Errors
/// `Postgres`, as where a role is missing; running the restore again is safe.
pub async fn give(
    session: &mut Session,
    giver: Giver<'_>,
    estate: &Estate,
    partial: bool,
) -> Result<Vec<NotMade>> {
    let superuser = "SELECT rolsuper FROM pg_catalog.pg_roles WHERE rolname = session_user";
    let superuser: bool = column(&session.row("look at our role", superuser).await?, 0)?;
    session.allow(TABLE_WAIT).await?; // to move a table takes its time
    let mut left = run(session, "put an object into its tablespace", &estate.moves, partial).await?;
    if let Giver::OwnRole(loader) = giver {
        settle(session, loader, Some(&estate.heir)).await?;
    }
    left.extend(run(session, "give an object to its owner", &estate.others, partial).await?);
    let rights: Vec<String> = match superuser {
        true => estate.rights.clone(),
        // Whoever is no superuser acts for others as a member of them.
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
    left.extend(run(session, "switch row security on", &estate.row_security, partial).await?);
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
                session.execute("go on", "RESET ROLE").await?; // fails where the session is lost
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

/// Gives all that `loader` owns to `heir`, to us where nothing was loaded, and takes every right of the
/// loader's away: it can be dropped then.
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
    // Where no heir was noted, nothing was loaded: there are the empty schemas that we made.
    let heir = heir.map_or("CURRENT_USER".to_owned(), ident);
    // Schemas first: who gets a table must be able to make one there, unless a superuser gives it.
    let mut had_public = false;
    for row in session.rows(what, schemas).await? {
        let schema: String = column(&row, 0)?;
        had_public |= schema == "public";
        session.execute(what, format!("ALTER SCHEMA {} OWNER TO {heir}", ident(&schema))).await?;
    }
    // One by one: all in one transaction would take more locks than a server has.
    for row in session.rows(what, owned).await? {
        let name = qualified(&column::<String>(&row, 0)?, &column::<String>(&row, 1)?);
        session.execute(what, format!("ALTER TABLE {name} OWNER TO {heir}")).await?;
    }
    // Unless a superuser gives it, who gets a publication must be able to make one.
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
