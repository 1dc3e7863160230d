//! Decides who owns what after a dump was loaded, and by which statements. Pure.
//!
//! During the load one role owned everything, and the dump's own code ran as that role: it could have changed
//! any object. So everything goes to one owner, the heir. Nothing goes to a superuser, unless everything did
//! before, and nothing goes to a third role, unless a person said so. Schemas contain no code, so they go to
//! their recorded owners.

use std::collections::{BTreeMap, BTreeSet};

use super::entries::{ROW_SECURITY, is_owned};
use super::target::Target;
use super::toc::Entry;
use super::{Choices, NotMade, statements};
use crate::error::shown::foreign;
use crate::error::{Error, Kind, Result};
use crate::names::counted;
use crate::postgres::quote::{ident, qualified};

/// How a statement about privileges begins.
const RIGHTS: [&str; 5] = [
    "GRANT ",
    "REVOKE ",
    "ALTER DEFAULT PRIVILEGES ",
    "SET SESSION AUTHORIZATION ",
    "RESET SESSION AUTHORIZATION",
];
/// How many objects one warning names.
const NAMED_MAX: usize = 5;

/// Who gets what.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Estate {
    /// The owner of everything that is not listed below.
    pub heir: String,
    /// Statements that put objects into other tablespaces.
    pub(super) moves: Vec<String>,
    /// Statements that give single objects to other owners.
    pub(super) others: Vec<String>,
    /// Statements about privileges, one per entry of the dump.
    pub(super) rights: Vec<String>,
    /// Statements that enable row-level security.
    pub(super) row_security: Vec<String>,
    /// Warnings for a person.
    pub warnings: Vec<String>,
    /// What is left to a person: owners and privileges that differ from the recorded ones.
    pub left: Vec<NotMade>,
}

/// The roles between which it is divided.
#[derive(Clone, Copy)]
pub struct Parties<'a> {
    /// The recorded owner of the database.
    pub database_owner: &'a str,
    /// The role that gets everything, if one was named; privileges are then left out.
    pub by_owner: Option<&'a str>,
    /// The owners that are superusers here or can become one.
    pub far_reaching: &'a BTreeSet<String>,
    /// Roles that exist on the server and to which we may give objects.
    pub target: &'a Target,
    /// What a person decided.
    pub choices: &'a Choices,
    /// The tablespace of the new database.
    pub own_tablespace: &'a str,
}

/// Divides the content of a dump.
///
/// # Errors
/// `Integrity` if an entry does not have the form that pg_dump writes.
pub fn divide(entries: &[&Entry], parties: Parties<'_>) -> Result<Estate> {
    let Parties { database_owner, by_owner, far_reaching, target, choices, own_tablespace } = parties;
    let of_rows = entries.iter().filter(|entry| entry.desc == ROW_SECURITY).map(|entry| row_security(entry));
    let mut out = Estate { row_security: of_rows.collect::<Result<_>>()?, ..Estate::default() };
    if !choices.maps_nothing() {
        let moved = entries
            .iter()
            .filter_map(|entry| Some((entry, choices.tablespace(&entry.tablespace, own_tablespace)?)));
        let moved = moved.filter(|(entry, _)| !entry.tablespace.is_empty());
        out.moves = moved.map(|(entry, to)| move_statement(entry, to)).collect::<Result<_>>()?;
    }
    let superusers = |role: &str| {
        format!(
            "{role} is a superuser here or can become one: from now on, code of the tenant's owner in \
            triggers, index expressions and the like runs with these rights"
        )
    };
    if let Some(owner) = by_owner {
        out.heir = owner.to_owned();
        out.warnings.extend(far_reaching.contains(owner).then(|| superusers(owner)));
        return Ok(out);
    }
    // Without a DROP statement it is a part of something else.
    let owned =
        || entries.iter().copied().filter(|e| is_owned(e) && !e.owner.is_empty() && !e.drop.is_empty());
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for entry in owned().filter(|entry| entry.desc != "SCHEMA") {
        *counts.entry(&entry.owner).or_default() += 1;
    }
    let may_have = |role: &str| target.roles.get(role) == Some(&true);
    let harmless = counts.iter().filter(|(role, _)| !far_reaching.contains(**role) && may_have(role));
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
        let trusted = match far_reaching.contains(&entry.owner) {
            true => !mixed,
            false => choices.keep_owners,
        };
        match may_have(&entry.owner) && (trusted || entry.desc == "SCHEMA") {
            true => out.others.extend(statements),
            false => kept.entry(&entry.owner).or_default().extend(statements),
        }
    }
    let mut warned: BTreeMap<Kept, Vec<(&str, &Vec<String>)>> = BTreeMap::new();
    for (role, statements) in &kept {
        let kind = match (far_reaching.contains(*role), target.roles.contains_key(*role)) {
            (true, _) => Kept::FarReaching,
            (_, false) => Kept::Missing,
            (_, true) => Kept::Trustable,
        };
        warned.entry(kind).or_default().push((role, statements));
    }
    out.warnings.extend(warned.into_iter().map(|(kind, of)| kind.warning(&of, &out.heir)));
    for (role, statements) in kept {
        out.left.push(NotMade {
            what: format!("{role} as the owner of {}", counted(statements.len(), "object")),
            why: "the tenant's code could have changed them during the load".to_owned(),
            sql: statements.iter().map(|statement| format!("{statement};\n")).collect(),
            failed: false,
            derived: false,
        });
    }
    for entry in entries.iter().copied().filter(|e| ["ACL", "DEFAULT ACL"].contains(&e.desc.as_str())) {
        if !of_database(entry) {
            out.rights.extend(rights(entry, entries)?);
        }
    }
    if choices.skip_missing_roles {
        let missing = |one: &str| {
            statements::roles(one).iter().any(|r| !target.roles.contains_key(r) && !r.starts_with("pg_"))
        };
        let (left, rights) = std::mem::take(&mut out.rights)
            .into_iter()
            .partition(|text: &String| statements::split(text).unwrap_or_default().into_iter().any(missing));
        out.rights = rights;
        out.left.extend(Vec::into_iter(left).map(|sql| NotMade {
            what: format!("right: {sql}"),
            why: "the role does not exist on the server".to_owned(),
            sql: sql + ";",
            failed: false,
            derived: false,
        }));
    }
    Ok(out)
}

/// Why an object stays with the heir.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Kept {
    /// No flag says that the heir's code is trusted.
    Trustable,
    /// Its owner has too many rights.
    FarReaching,
    /// The role does not exist.
    Missing,
}

impl Kept {
    /// One sentence for all roles of one kind.
    fn warning(self, of: &[(&str, &Vec<String>)], heir: &str) -> String {
        let count = |(role, statements): &(&str, &Vec<String>)| {
            format!("{} of {role}", counted(statements.len(), "object"))
        };
        let who: Vec<String> = of.iter().take(NAMED_MAX).map(count).collect();
        let others = of.len().saturating_sub(NAMED_MAX);
        let others =
            if others > 0 { format!(", and of {}", counted(others, "more role")) } else { String::new() };
        let all: Vec<&str> =
            of.iter().flat_map(|(_, statements)| statements.iter().map(String::as_str)).collect();
        let first = all.iter().take(NAMED_MAX).copied().collect::<Vec<_>>().join("; ");
        let more = if all.len() > NAMED_MAX { "; …" } else { "" };
        let kind = match self {
            Kept::Trustable => "",
            Kept::FarReaching => " (superusers here, or roles that can become one)",
            Kept::Missing => " (roles that do not exist on the server)",
        };
        let flag = if self == Kept::Trustable { ", or restore with --keep-owners" } else { "" };
        format!(
            "{heir} now owns {}{others}{kind}: the tenant's code could have changed them during the load. \
            Check them, then run: {first}{more}{flag}",
            who.join(", ")
        )
    }
}

/// Privileges on the database are not restored here: pg_restore restores them only if it creates the
/// database.
fn of_database(entry: &Entry) -> bool {
    entry.desc == "ACL" && entry.tag.starts_with("DATABASE ")
}

fn unreadable(entry: &Entry) -> Error {
    Error::new(Kind::Integrity, format!("the dump's entry of {} {} cannot be parsed", entry.desc, entry.tag))
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
    let object = dropped(entry).filter(|object| object.starts_with(&entry.desc));
    let object = object.ok_or_else(|| unreadable(entry).because(foreign(&entry.drop)))?;
    Ok(vec![format!("ALTER {object} OWNER TO {owner}")])
}

/// The kind and full name in an entry's DROP statement.
fn dropped(entry: &Entry) -> Option<&str> {
    let all = statements::split(&entry.drop)?;
    all.first().filter(|_| all.len() == 1)?.strip_prefix("DROP ")
}

/// Moves a table or an index, also a constraint's index, into a tablespace.
fn move_statement(entry: &Entry, to: &str) -> Result<String> {
    let object = match entry.desc.as_str() {
        "CONSTRAINT" => {
            let name = statements::after(&entry.drop, " DROP CONSTRAINT ").map(|(first, _)| first);
            name.and_then(statements::name)
                .map(|(name, _)| format!("INDEX {}", qualified(&entry.namespace, &name)))
        }
        _ => dropped(entry).map(str::to_owned),
    };
    let object = object.ok_or_else(|| unreadable(entry).because(foreign(&entry.drop)))?;
    Ok(format!("ALTER {object} SET TABLESPACE {}", ident(to)))
}

/// The numbers of an entry's large objects: one, or since pg_dump 17 one per line.
fn large_objects(entry: &Entry) -> Result<Vec<u32>> {
    let text = if entry.desc == "BLOB" { &entry.tag } else { &entry.definition };
    text.split_whitespace().map(|number| number.parse().map_err(|_| unreadable(entry))).collect()
}

/// The only statement of an entry that enables row-level security.
fn row_security(entry: &Entry) -> Result<String> {
    let all = statements::split(&entry.definition).unwrap_or_default();
    let one = all.first().filter(|one| {
        all.len() == 1 && one.starts_with("ALTER TABLE ") && one.ends_with(" ENABLE ROW LEVEL SECURITY")
    });
    one.map(|one| (*one).to_owned()).ok_or_else(|| unreadable(entry).because(foreign(&entry.definition)))
}

/// The statements of an entry, as one text. A statement about the first of several large objects applies to
/// all of them.
fn rights(entry: &Entry, entries: &[&Entry]) -> Result<Vec<String>> {
    let all = statements::split(&entry.definition).unwrap_or_default();
    if all.is_empty() || !all.iter().all(|one| RIGHTS.iter().any(|begin| one.starts_with(begin))) {
        return Err(unreadable(entry).because(foreign(&entry.definition)));
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

    fn divided(
        entries: &[&Entry],
        database_owner: &str,
        by_owner: Option<&str>,
        far_reaching: &BTreeSet<String>,
        choices: &Choices,
    ) -> Result<Estate> {
        let roles = ["odoo", "bi", "postgres", "new", "pg_database_owner"];
        let target = Target { roles: roles.map(|role| (role.to_owned(), true)).into(), ..Target::default() };
        let own_tablespace = "pg_default";
        divide(
            entries,
            Parties { database_owner, by_owner, far_reaching, target: &target, choices, own_tablespace },
        )
    }

    fn divide_keeping(
        entries: &[&Entry],
        owner: &str,
        by_owner: Option<&str>,
        far: &BTreeSet<String>,
    ) -> Result<Estate> {
        divided(entries, owner, by_owner, far, &Choices { keep_owners: true, ..Choices::default() })
    }

    #[test]
    fn a_third_roles_objects_go_to_the_heir_unless_somebody_said_so() {
        let mine = entry("TABLE", "t", "odoo", "DROP TABLE public.t;\n");
        let f = entry("FUNCTION", "f()", "bi", "DROP FUNCTION bi.f();\n");
        let gone = entry("VIEW", "v", "gone", "DROP VIEW public.v;\n");
        let schema = entry("SCHEMA", "bi", "bi", "DROP SCHEMA bi;\n");
        let acl = Entry {
            definition: "GRANT SELECT ON TABLE public.t TO gone;\n".into(),
            ..entry("ACL", "TABLE t", "odoo", "")
        };
        let all = [&mine, &mine, &mine, &f, &gone, &schema, &acl];
        let choices = Choices { skip_missing_roles: true, ..Choices::default() };
        let estate = divided(&all, "odoo", None, &far(&[]), &choices).unwrap();
        assert_eq!(estate.others, ["ALTER SCHEMA \"bi\" OWNER TO \"bi\""]);
        assert_eq!(estate.rights, Vec::<String>::new());
        let left: String = estate.left.iter().map(|left| left.sql.as_str()).collect();
        for sql in ["FUNCTION bi.f() OWNER TO \"bi\";", "VIEW public.v OWNER TO \"gone\";", "TO gone;"] {
            assert!(left.contains(sql), "{sql}: {left}");
        }
        assert!(
            estate.warnings.iter().any(|w| w.starts_with("odoo now owns 1 object of bi:")
                && w.contains("restore with --keep-owners")),
            "{:?}",
            estate.warnings
        );
        let keeps = Choices { keep_owners: true, ..choices };
        let estate = divided(&all, "odoo", None, &far(&[]), &keeps).unwrap();
        assert_eq!(estate.others.len(), 2);
    }

    #[test]
    fn what_lies_in_a_mapped_tablespace_is_moved() {
        let placed = |desc: &str, drop: &str| Entry {
            tablespace: "fast".into(),
            namespace: "public".into(),
            ..entry(desc, "t", "odoo", drop)
        };
        let table = placed("TABLE", "DROP TABLE public.t;\n");
        let key = placed("CONSTRAINT", "ALTER TABLE ONLY public.t DROP CONSTRAINT \"t key\";\n");
        let index = placed("INDEX", "DROP INDEX public.i;\n");
        let elsewhere = Entry { tablespace: String::new(), ..table.clone() };
        let all = [&table, &key, &index, &elsewhere];
        let map =
            Choices { tablespaces: [("fast".to_owned(), "slow".to_owned())].into(), ..Choices::default() };
        let estate = divided(&all, "odoo", None, &far(&[]), &map).unwrap();
        assert_eq!(
            estate.moves,
            [
                "ALTER TABLE public.t SET TABLESPACE \"slow\"",
                "ALTER INDEX \"public\".\"t key\" SET TABLESPACE \"slow\"",
                "ALTER INDEX public.i SET TABLESPACE \"slow\""
            ]
        );
        let none = Choices { no_tablespaces: true, ..map };
        assert_eq!(divided(&all, "odoo", None, &far(&[]), &none).unwrap().moves, Vec::<String>::new());
        assert_eq!(divided(&all, "odoo", None, &far(&[]), &Choices::default()).unwrap().moves.len(), 0);
    }

    #[test]
    fn nothing_becomes_a_superusers_unless_all_of_it_was() {
        let mine = entry("TABLE", "t", "odoo", "DROP TABLE public.t;\n");
        let f = entry("FUNCTION", "f(integer)", "postgres", "DROP FUNCTION public.f(integer);\n");
        let bi = entry("VIEW", "v", "bi", "DROP VIEW public.v;\n");
        let schema = entry("SCHEMA", "public", "postgres", "-- *not* dropping\n");
        let all = [&mine, &mine, &f, &bi, &schema];
        let estate = divide_keeping(&all, "odoo", None, &far(&["postgres"])).unwrap();
        assert_eq!(estate.heir, "odoo");
        assert_eq!(
            estate.others,
            ["ALTER VIEW public.v OWNER TO \"bi\"", "ALTER SCHEMA \"public\" OWNER TO \"postgres\""]
        );
        assert!(estate.warnings[0].contains("ALTER FUNCTION public.f(integer) OWNER TO \"postgres\""));
        // The database is a superuser's, its tables are not.
        assert_eq!(divide_keeping(&all, "postgres", None, &far(&["postgres"])).unwrap().heir, "odoo");
        // All of it is.
        let estate = divide_keeping(&[&f], "postgres", None, &far(&["postgres"])).unwrap();
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
        let estate = divide_keeping(&[&objects, &acl], "odoo", None, &far(&[])).unwrap();
        assert_eq!(estate.others.len(), 2);
        assert_eq!(estate.rights[1], "GRANT SELECT ON LARGE OBJECT 8 TO PUBLIC");
        let estate = divide_keeping(&all, "odoo", Some("new"), &far(&["postgres"])).unwrap();
        assert_eq!((estate.heir.as_str(), estate.others.len(), estate.rights.len()), ("new", 0, 0));
    }

    #[test]
    fn only_statements_of_rights_are_run() {
        let acl = |text: &str| Entry { definition: text.to_owned(), ..entry("ACL", "TABLE t", "odoo", "") };
        let divided = |text: &str| divide_keeping(&[&acl(text)], "odoo", None, &far(&[]));
        let fine = "REVOKE ALL ON TABLE public.t FROM odoo;\nGRANT SELECT ON TABLE public.t TO \"b;i\";\n";
        assert_eq!(divided(fine).unwrap().rights.len(), 1);
        for odd in ["GRANT SELECT ON t TO x; DROP TABLE t;\n", "DO $$ x $$;", "", "SELECT 1;"] {
            assert_eq!(divided(odd).unwrap_err().kind(), Kind::Integrity, "{odd}");
        }
        let on = |text: &str| Entry { definition: text.to_owned(), ..entry(ROW_SECURITY, "t", "odoo", "") };
        let divided = |text: &str| divide_keeping(&[&on(text)], "odoo", Some("new"), &far(&[]));
        let fine = "ALTER TABLE public.\"a;b\" ENABLE ROW LEVEL SECURITY;\n";
        assert_eq!(
            divided(fine).unwrap().row_security,
            ["ALTER TABLE public.\"a;b\" ENABLE ROW LEVEL SECURITY"]
        );
        for odd in ["DROP TABLE t", "ALTER TABLE t ADD x int; ALTER TABLE t ENABLE ROW LEVEL SECURITY", ""] {
            assert_eq!(divided(odd).unwrap_err().kind(), Kind::Integrity, "{odd}");
        }
        let odd = entry("TABLE", "t", "bi", "DROP TABLE t; DROP TABLE u;\n");
        assert!(divide_keeping(&[&odd], "odoo", None, &far(&[])).is_err());
    }
}
