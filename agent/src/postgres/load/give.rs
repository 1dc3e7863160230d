//! After the load: what was made goes to whom the dump says, with the rights that it says. Nothing of
//! the dump runs any more, and every statement here touches catalogs only.
//!
//! While it loaded, all belonged to one role, as which the dump's own code ran: that code could have
//! changed any of it. So nothing becomes a superuser's, unless all of it was.

use std::collections::{BTreeMap, BTreeSet};

use super::statements;
use super::toc::Entry;
use crate::error::{Error, Kind, Result};
use crate::postgres::quote::{ident, literal, qualified};
use crate::postgres::session::{Session, column};

/// What `ALTER … OWNER TO` exists for, of what a role without rights can make.
const OWNED: [&str; 20] = [
    "AGGREGATE",
    "BLOB",
    "BLOB METADATA",
    "COLLATION",
    "CONVERSION",
    "DOMAIN",
    "FOREIGN TABLE",
    "FUNCTION",
    "MATERIALIZED VIEW",
    "OPERATOR",
    "PROCEDURE",
    "PUBLICATION",
    "SCHEMA",
    "SEQUENCE",
    "SERVER",
    "STATISTICS",
    "TABLE",
    "TEXT SEARCH CONFIGURATION",
    "TEXT SEARCH DICTIONARY",
    "TYPE",
];
/// A view's is `VIEW`, and the list above would not be sorted with it: looked up beside it.
const VIEW: &str = "VIEW";
/// How a statement of rights begins.
const RIGHTS: [&str; 5] = [
    "GRANT ",
    "REVOKE ",
    "ALTER DEFAULT PRIVILEGES ",
    "SET SESSION AUTHORIZATION ",
    "RESET SESSION AUTHORIZATION",
];
/// Entries that switch row security on. They come last: where it is forced on the tables' owner, who is the loader
/// meanwhile, his rows could neither be checked against their keys nor counted.
pub(super) const ROW_SECURITY: &str = "ROW SECURITY";
/// How many objects a warning names.
const NAMED_MAX: usize = 5;

/// Who gets what.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Estate {
    /// Who gets everything that is not named otherwise.
    pub heir: String,
    /// Statements that give single objects to others.
    others: Vec<String>,
    /// Statements of rights, an entry of the dump each.
    rights: Vec<String>,
    /// Statements that switch row security on, where it is.
    row_security: Vec<String>,
    /// What a person should know.
    pub warnings: Vec<String>,
}

/// Divides what a dump holds. `database_owner` is the recorded one, `by_owner` the role that gets all of
/// it where somebody said so (rights are left out then), `far_reaching` those owners that are superusers
/// here or can become one.
///
/// # Errors
/// `Integrity` where an entry is not as pg_dump writes it.
pub fn divide(
    entries: &[&Entry],
    database_owner: &str,
    by_owner: Option<&str>,
    far_reaching: &BTreeSet<String>,
) -> Result<Estate> {
    let of_rows = entries.iter().filter(|entry| entry.desc == ROW_SECURITY).map(|entry| row_security(entry));
    let mut out = Estate { row_security: of_rows.collect::<Result<_>>()?, ..Estate::default() };
    let superusers = |role: &str| {
        format!(
            "{role} is a superuser here, or can become one: code of the tenant's owner in triggers, index \
            expressions and the like runs with these rights from now on"
        )
    };
    if let Some(owner) = by_owner {
        out.heir = owner.to_owned();
        out.warnings.extend(far_reaching.contains(owner).then(|| superusers(owner)));
        return Ok(out);
    }
    // Without a statement that drops it, it is a part of something else.
    let owned =
        || entries.iter().copied().filter(|e| is_owned(e) && !e.owner.is_empty() && !e.drop.is_empty());
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for entry in owned().filter(|entry| entry.desc != "SCHEMA") {
        *counts.entry(&entry.owner).or_default() += 1;
    }
    let harmless = counts.iter().filter(|(role, _)| !far_reaching.contains(**role));
    let most = harmless.max_by_key(|(_, count)| **count).map(|(role, _)| (*role).to_owned());
    let mixed = most.is_some();
    out.heir = match (far_reaching.contains(database_owner), most) {
        (true, Some(most)) => most,
        _ => database_owner.to_owned(),
    };
    if far_reaching.contains(&out.heir) && !entries.is_empty() {
        out.warnings.push(superusers(&out.heir));
    }
    let mut kept: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for entry in owned().filter(|entry| entry.owner != out.heir) {
        let statements = alter_owner(entry)?;
        match far_reaching.contains(&entry.owner) && mixed && entry.desc != "SCHEMA" {
            true => kept.entry(&entry.owner).or_default().extend(statements),
            false => out.others.extend(statements),
        }
    }
    for (role, statements) in kept {
        let first = statements.iter().take(NAMED_MAX).cloned().collect::<Vec<_>>().join("; ");
        let more = if statements.len() > NAMED_MAX { "; …" } else { "" };
        out.warnings.push(format!(
            "{} objects of {role} (a superuser here, or able to become one) now belong to {}, whose code \
            could have changed them during the load. Check them, then run: {first}{more}",
            statements.len(),
            out.heir
        ));
    }
    for entry in entries.iter().copied().filter(|e| ["ACL", "DEFAULT ACL"].contains(&e.desc.as_str())) {
        if !of_database(entry) {
            out.rights.extend(rights(entry, entries)?);
        }
    }
    Ok(out)
}

/// Rights on the database are not of the dump's content; it restores them only when it makes the database.
fn of_database(entry: &Entry) -> bool {
    entry.desc == "ACL" && entry.tag.starts_with("DATABASE ")
}

fn is_owned(entry: &Entry) -> bool {
    entry.desc == VIEW || OWNED.contains(&entry.desc.as_str())
}

fn unreadable(entry: &Entry) -> Error {
    Error::new(Kind::Integrity, format!("the dump's entry of {} {} cannot be read", entry.desc, entry.tag))
}

fn alter_owner(entry: &Entry) -> Result<Vec<String>> {
    let owner = ident(&entry.owner);
    match entry.desc.as_str() {
        "SCHEMA" => return Ok(vec![format!("ALTER SCHEMA {} OWNER TO {owner}", ident(&entry.tag))]),
        "BLOB" | "BLOB METADATA" => {
            let each = large_objects(entry)?.into_iter();
            return Ok(each.map(|n| format!("ALTER LARGE OBJECT {n} OWNER TO {owner}")).collect());
        }
        _ => {}
    }
    let found = statements::split(&entry.drop);
    let one = found.as_deref().and_then(|all| all.first().filter(|_| all.len() == 1));
    let object = one.and_then(|one| one.strip_prefix("DROP ")).filter(|o| o.starts_with(&entry.desc));
    let object = object.ok_or_else(|| unreadable(entry).because(entry.drop.clone()))?;
    Ok(vec![format!("ALTER {object} OWNER TO {owner}")])
}

/// The numbers of the large objects of an entry: one, or from pg_dump 17 on a line each.
fn large_objects(entry: &Entry) -> Result<Vec<u32>> {
    let text = if entry.desc == "BLOB" { &entry.tag } else { &entry.definition };
    text.split_whitespace().map(|number| number.parse().map_err(|_| unreadable(entry))).collect()
}

/// The one statement of an entry that switches row security on.
fn row_security(entry: &Entry) -> Result<String> {
    let all = statements::split(&entry.definition).unwrap_or_default();
    let one = all.first().filter(|one| {
        all.len() == 1 && one.starts_with("ALTER TABLE ") && one.ends_with(" ENABLE ROW LEVEL SECURITY")
    });
    one.map(|one| (*one).to_owned()).ok_or_else(|| unreadable(entry).because(entry.definition.clone()))
}

/// The statements of an entry, as one text. What is said of the first large object of several is meant of
/// all of them.
fn rights(entry: &Entry, entries: &[&Entry]) -> Result<Vec<String>> {
    let all = statements::split(&entry.definition).unwrap_or_default();
    if all.is_empty() || !all.iter().all(|one| RIGHTS.iter().any(|begin| one.starts_with(begin))) {
        return Err(unreadable(entry).because(entry.definition.clone()));
    }
    let all = all.join("; ");
    if entry.desc == "ACL" && entry.tag.starts_with("LARGE OBJECTS ") {
        let of = entries.iter().find(|of| of.desc == "BLOB METADATA" && entry.needs.contains(&of.id));
        let numbers = of.map_or(Ok(Vec::new()), |of| large_objects(of))?;
        let said = format!(" ON LARGE OBJECT {} ", numbers.first().ok_or_else(|| unreadable(entry))?);
        return Ok(numbers.iter().map(|n| all.replace(&said, &format!(" ON LARGE OBJECT {n} "))).collect());
    }
    Ok(vec![all])
}

/// Gives all of it to whom it belongs. `session` is ours, in the hidden database; the loader has no
/// session any more.
///
/// # Errors
/// `Postgres`, as where a role is missing; running the restore again is safe.
pub async fn give(session: &mut Session, loader: &str, estate: &Estate) -> Result<()> {
    settle(session, loader, Some(&estate.heir)).await?;
    for statement in &estate.others {
        session.execute("give an object to its owner", statement).await?;
    }
    for statement in &estate.rights {
        session.execute("set rights", statement).await?;
    }
    for statement in &estate.row_security {
        session.execute("switch row security on", statement).await?;
    }
    Ok(())
}

/// Gives all that `loader` owns to `heir`, to us where nothing was loaded, and takes every right of the
/// loader's away: it can be dropped then.
pub(super) async fn settle(session: &mut Session, loader: &str, heir: Option<&str>) -> Result<()> {
    let (what, role) = ("give what was loaded to its owner", ident(loader));
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
    let at_home = "SELECT pg_catalog.pg_get_userbyid(nspowner)::text FROM pg_catalog.pg_namespace WHERE nspname = 'public'";
    let row = session.rows(what, at_home).await?;
    if row.first().map(|row| column::<String>(row, 0)).transpose()?.as_deref() == Some(loader) {
        session.execute(what, format!("ALTER SCHEMA public OWNER TO {}", ident(&public))).await?;
    }
    // Where no heir was noted, nothing was loaded: there are the empty schemas that we made.
    let heir = heir.map_or("CURRENT_USER".to_owned(), ident);
    // One by one: all in one transaction would take more locks than a server has.
    for row in session.rows(what, owned).await? {
        let name = qualified(&column::<String>(&row, 0)?, &column::<String>(&row, 1)?);
        session.execute(what, format!("ALTER TABLE {name} OWNER TO {heir}")).await?;
    }
    session.execute(what, format!("REASSIGN OWNED BY {role} TO {heir}")).await?;
    session.execute(what, format!("DROP OWNED BY {role}")).await.map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(desc: &str, tag: &str, owner: &str, drop: &str) -> Entry {
        let (desc, tag, owner, drop) = (desc.to_owned(), tag.to_owned(), owner.to_owned(), drop.to_owned());
        Entry { desc, tag, owner, drop, ..Entry::default() }
    }

    fn far(roles: &[&str]) -> BTreeSet<String> {
        roles.iter().map(|role| (*role).to_owned()).collect()
    }

    #[test]
    fn nothing_becomes_a_superusers_unless_all_of_it_was() {
        let mine = entry("TABLE", "t", "odoo", "DROP TABLE public.t;\n");
        let f = entry("FUNCTION", "f(integer)", "postgres", "DROP FUNCTION public.f(integer);\n");
        let bi = entry("VIEW", "v", "bi", "DROP VIEW public.v;\n");
        let schema = entry("SCHEMA", "public", "postgres", "-- *not* dropping\n");
        let all = [&mine, &mine, &f, &bi, &schema];
        let estate = divide(&all, "odoo", None, &far(&["postgres"])).unwrap();
        assert_eq!(estate.heir, "odoo");
        assert_eq!(
            estate.others,
            ["ALTER VIEW public.v OWNER TO \"bi\"", "ALTER SCHEMA \"public\" OWNER TO \"postgres\""]
        );
        assert!(estate.warnings[0].contains("ALTER FUNCTION public.f(integer) OWNER TO \"postgres\""));
        // The database is a superuser's, its tables are not.
        assert_eq!(divide(&all, "postgres", None, &far(&["postgres"])).unwrap().heir, "odoo");
        // All of it is.
        let estate = divide(&[&f], "postgres", None, &far(&["postgres"])).unwrap();
        assert_eq!((estate.heir.as_str(), estate.others.len(), estate.warnings.len()), ("postgres", 0, 1));
        // Large objects, as pg_dump 17 writes them.
        let text = |mut entry: Entry, text: &str, needs: &[i64]| {
            (entry.definition, entry.needs) = (text.to_owned(), needs.to_vec());
            entry
        };
        let mut objects = text(entry("BLOB METADATA", "7..8", "bi", "-- dummy"), "7\n8\n", &[]);
        objects.id = 3;
        let acl = text(
            entry("ACL", "LARGE OBJECTS 7..8", "bi", ""),
            "GRANT SELECT ON LARGE OBJECT 7 TO PUBLIC;\n",
            &[3],
        );
        let estate = divide(&[&objects, &acl], "odoo", None, &far(&[])).unwrap();
        assert_eq!(estate.others.len(), 2);
        assert_eq!(estate.rights[1], "GRANT SELECT ON LARGE OBJECT 8 TO PUBLIC");
        let estate = divide(&all, "odoo", Some("new"), &far(&["postgres"])).unwrap();
        assert_eq!((estate.heir.as_str(), estate.others.len(), estate.rights.len()), ("new", 0, 0));
    }

    #[test]
    fn only_statements_of_rights_are_run() {
        let acl = |text: &str| Entry { definition: text.to_owned(), ..entry("ACL", "TABLE t", "odoo", "") };
        let divided = |text: &str| divide(&[&acl(text)], "odoo", None, &far(&[]));
        let fine = "REVOKE ALL ON TABLE public.t FROM odoo;\nGRANT SELECT ON TABLE public.t TO \"b;i\";\n";
        assert_eq!(divided(fine).unwrap().rights.len(), 1);
        for odd in ["GRANT SELECT ON t TO x; DROP TABLE t;\n", "DO $$ x $$;", "", "SELECT 1;"] {
            assert_eq!(divided(odd).unwrap_err().kind(), Kind::Integrity, "{odd}");
        }
        let on = |text: &str| Entry { definition: text.to_owned(), ..entry(ROW_SECURITY, "t", "odoo", "") };
        let divided = |text: &str| divide(&[&on(text)], "odoo", Some("new"), &far(&[]));
        let fine = "ALTER TABLE public.\"a;b\" ENABLE ROW LEVEL SECURITY;\n";
        assert_eq!(
            divided(fine).unwrap().row_security,
            ["ALTER TABLE public.\"a;b\" ENABLE ROW LEVEL SECURITY"]
        );
        for odd in ["DROP TABLE t", "ALTER TABLE t ADD x int; ALTER TABLE t ENABLE ROW LEVEL SECURITY", ""] {
            assert_eq!(divided(odd).unwrap_err().kind(), Kind::Integrity, "{odd}");
        }
        let odd = entry("TABLE", "t", "bi", "DROP TABLE t; DROP TABLE u;\n");
        assert!(super::divide(&[&odd], "odoo", None, &far(&[])).is_err());
    }
}
