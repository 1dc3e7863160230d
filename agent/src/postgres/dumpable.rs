//! Checks in the catalogs whether a role can dump a database: what pg_dump needs, object by object, and
//! the grant for each missing privilege.
//!
//! pg_dump fails as a whole on the first table that it may not read. It silently leaves out subscriptions
//! and the passwords of foreign servers, which only a superuser can read. This check finds both before the
//! first backup.

use crate::error::Result;
use crate::postgres::quote::{ident, qualified};
use crate::postgres::session::{Session, column};

/// How many objects of one kind are named one by one; for more, the grant covers all of them.
const NAMED_MAX: usize = 5;
/// How many objects of one kind are read.
const ROWS_MAX: usize = 1_000;

/// Something of a database that makes a dump by this role fail, or that the dump would not contain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lack {
    /// What: "may not read tables public.a, public.b".
    pub what: String,
    /// The SQL that fixes it, to be run in this database by a superuser or the owner.
    pub grant: String,
    /// Whether the dump fails; otherwise it is made without this.
    pub fatal: bool,
}

/// Schemas that pg_dump writes: not system schemas, and not those of an extension.
const SCHEMAS: &str = "n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'";
/// Excludes objects of an extension, except its configuration tables, whose rows are dumped.
const NOT_OF_EXTENSION: &str = "NOT EXISTS (SELECT FROM pg_catalog.pg_depend d JOIN pg_catalog.pg_extension e \
    ON d.refclassid = 'pg_catalog.pg_extension'::pg_catalog.regclass AND e.oid = d.refobjid \
    WHERE d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.objid = c.oid AND d.deptype = 'e' \
    AND NOT coalesce(c.oid = ANY (e.extconfig), false))";

/// The privileges that this session's role lacks to dump this session's database; empty for a superuser.
pub async fn lacks(session: &mut Session, user: &str) -> Result<Vec<Lack>> {
    let sql = "SELECT pg_catalog.current_setting('is_superuser') = 'on'";
    if column(&session.row("ask for privileges", sql).await?, 0)? {
        return Ok(Vec::new());
    }
    let user = ident(user);
    let mut lacks = Vec::new();
    schemas(session, &user, &mut lacks).await?;
    relations(session, &user, &mut lacks).await?;
    row_security(session, &user, &mut lacks).await?;
    large_objects(session, &user, &mut lacks).await?;
    left_out(session, &user, &mut lacks).await?;
    Ok(lacks)
}

async fn names(session: &mut Session, sql: String) -> Result<Vec<(String, String)>> {
    let rows = session.rows("ask for privileges", format!("{sql} LIMIT {ROWS_MAX}")).await?;
    rows.iter().map(|row| Ok((column(row, 0)?, column(row, 1)?))).collect()
}

/// `a, b and 7 more`.
fn listed(names: &[String]) -> String {
    match names.len() {
        0..=NAMED_MAX => names.join(", "),
        more => format!("{} and {} more", names[..NAMED_MAX].join(", "), more - NAMED_MAX),
    }
}

async fn schemas(session: &mut Session, user: &str, lacks: &mut Vec<Lack>) -> Result<()> {
    let sql = format!(
        "SELECT n.nspname::text, '' FROM pg_catalog.pg_namespace n WHERE {SCHEMAS} \
         AND NOT pg_catalog.has_schema_privilege(n.oid, 'USAGE') ORDER BY 1"
    );
    let found: Vec<String> = names(session, sql).await?.iter().map(|(name, _)| ident(name)).collect();
    if !found.is_empty() {
        lacks.push(Lack {
            what: format!("it may not use schemas {}", listed(&found)),
            grant: format!("GRANT USAGE ON SCHEMA {} TO {user};", found.join(", ")),
            fatal: true,
        });
    }
    Ok(())
}

/// Tables that are read and locked, and sequences.
async fn relations(session: &mut Session, user: &str, lacks: &mut Vec<Lack>) -> Result<()> {
    for (kinds, what, all) in [("'r', 'p'", "tables", "ALL TABLES"), ("'S'", "sequences", "ALL SEQUENCES")] {
        let may = if what == "tables" { "has_table_privilege" } else { "has_sequence_privilege" };
        // CASE: sequence privileges can be checked on sequences only
        let sql = format!(
            "SELECT n.nspname::text, c.relname::text FROM pg_catalog.pg_class c \
             JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
             WHERE CASE WHEN c.relkind IN ({kinds}) AND {SCHEMAS} \
             THEN NOT pg_catalog.{may}(c.oid, 'SELECT') ELSE false END AND {NOT_OF_EXTENSION} ORDER BY 1, 2"
        );
        let found = names(session, sql).await?;
        if found.is_empty() {
            continue;
        }
        let each: Vec<String> = found.iter().map(|(schema, name)| qualified(schema, name)).collect();
        let grant = match each.len() > NAMED_MAX {
            false => {
                let kind = if what == "tables" { "TABLE" } else { "SEQUENCE" };
                format!("GRANT SELECT ON {kind} {} TO {user};", each.join(", "))
            }
            true => {
                let mut schemas: Vec<String> = found.iter().map(|(schema, _)| ident(schema)).collect();
                schemas.dedup();
                format!("GRANT SELECT ON {all} IN SCHEMA {} TO {user};", schemas.join(", "))
            }
        };
        let what = format!("it may not read {what} {}", listed(&each));
        lacks.push(Lack { what, grant, fatal: true });
    }
    Ok(())
}

/// Tables whose policies would hide rows: pg_dump refuses to dump only some of the rows.
async fn row_security(session: &mut Session, user: &str, lacks: &mut Vec<Lack>) -> Result<()> {
    let sql = format!(
        "SELECT n.nspname::text, c.relname::text FROM pg_catalog.pg_class c \
         JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
         WHERE c.relkind IN ('r', 'p') AND {SCHEMAS} AND c.relrowsecurity \
         AND pg_catalog.row_security_active(c.oid) ORDER BY 1, 2"
    );
    let found: Vec<String> =
        names(session, sql).await?.iter().map(|(schema, name)| qualified(schema, name)).collect();
    if !found.is_empty() {
        lacks.push(Lack {
            what: format!("row-level security hides rows of {} from it", listed(&found)),
            grant: format!("ALTER ROLE {user} BYPASSRLS;"),
            fatal: true,
        });
    }
    Ok(())
}

/// `pg_read_all_data` does not cover large objects: each has its own owner and grants.
async fn large_objects(session: &mut Session, user: &str, lacks: &mut Vec<Lack>) -> Result<()> {
    let sql = "SELECT m.oid::text, '' FROM pg_catalog.pg_largeobject_metadata m \
        WHERE pg_catalog.current_setting('lo_compat_privileges') = 'off' \
        AND NOT pg_catalog.pg_has_role(m.lomowner, 'USAGE') \
        AND NOT EXISTS (SELECT FROM pg_catalog.aclexplode(m.lomacl) a WHERE a.privilege_type = 'SELECT' \
          AND CASE a.grantee WHEN 0 THEN true ELSE pg_catalog.pg_has_role(a.grantee, 'USAGE') END) ORDER BY m.oid";
    let found: Vec<String> = names(session, sql.to_owned()).await?.into_iter().map(|(oid, _)| oid).collect();
    if found.is_empty() {
        return Ok(());
    }
    let grant = match found.len() > NAMED_MAX {
        false => format!("GRANT SELECT ON LARGE OBJECT {} TO {user};", found.join(", ")),
        true => format!(
            "DO $$DECLARE l oid; BEGIN FOR l IN SELECT oid FROM pg_catalog.pg_largeobject_metadata LOOP \
             EXECUTE pg_catalog.format('GRANT SELECT ON LARGE OBJECT %s TO %s', l, {}); END LOOP; END$$;",
            crate::postgres::quote::literal(user)
        ),
    };
    lacks.push(Lack {
        what: format!("it may not read large objects {}", listed(&found)),
        grant,
        fatal: true,
    });
    Ok(())
}

/// What pg_dump leaves out without failing if its role is not a superuser.
async fn left_out(session: &mut Session, user: &str, lacks: &mut Vec<Lack>) -> Result<()> {
    let sql = "SELECT (SELECT count(*) FROM pg_catalog.pg_subscription s WHERE s.subdbid = (SELECT oid FROM \
        pg_catalog.pg_database WHERE datname = pg_catalog.current_database())), \
        (SELECT count(*) FROM pg_catalog.pg_user_mappings m WHERE m.umoptions IS NULL)";
    let row = session.row("ask for privileges", sql).await?;
    let (subscriptions, mappings): (i64, i64) = (column(&row, 0)?, column(&row, 1)?);
    for (count, what) in [
        (subscriptions, "subscriptions are not dumped by it"),
        (mappings, "user mappings of foreign servers are dumped without their options and passwords"),
    ] {
        if count > 0 {
            lacks.push(Lack {
                what: format!("{count} {what}"),
                grant: format!("ALTER ROLE {user} SUPERUSER; or write them down yourself"),
                fatal: false,
            });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_are_named_and_many_are_counted() {
        let names: Vec<String> = ('a'..='h').map(String::from).collect();
        assert_eq!(listed(&names[..2]), "a, b");
        assert_eq!(listed(&names), "a, b, c, d, e and 3 more");
    }
}
