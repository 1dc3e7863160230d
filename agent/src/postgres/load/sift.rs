//! Decides which entries of a dump an unprivileged role loads, which are created beforehand, and which
//! only a superuser can create. Pure.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::entries::{RIGHTS, ROW_SECURITY, named_roles};
use super::toc::Entry;
use super::{NotMade, PARTIAL, statements};
use crate::error::shown::foreign;
use crate::error::{Error, Kind, Result};
use crate::names::counted;

/// Kinds that only a superuser may create, whatever the definition is.
const NEVER: [&str; 12] = [
    "ACCESS METHOD",
    "EVENT TRIGGER",
    "FOREIGN DATA WRAPPER",
    "OPERATOR CLASS",
    "OPERATOR FAMILY",
    "PROCEDURAL LANGUAGE",
    "PUBLICATION TABLES IN SCHEMA",
    "SHELL TYPE",
    "SUBSCRIPTION",
    "SUBSCRIPTION TABLE",
    "TEXT SEARCH PARSER",
    "TEXT SEARCH TEMPLATE",
];
/// Kinds that describe another entry: they are left out with it and are no loss of their own.
const REMARKS: [&str; 4] = ["ACL", "COMMENT", "SECURITY LABEL", "DEFAULT ACL"];
/// Entries without which rows are missing.
const ROWS: [&str; 2] = ["TABLE", "TABLE DATA"];
/// PostgreSQL's own languages, which dumps of old databases contain without their extensions. No other
/// name is turned into an extension: the owner of a trusted language may rename it freely.
pub(super) const LANGUAGES: [&str; 7] =
    ["plperl", "plperlu", "plpgsql", "plpython3u", "plpythonu", "pltcl", "pltclu"];
/// The content of materialized views. It is created last: filling a view may reach other systems, so the
/// copy is neutralized first.
const VIEW_CONTENT: &str = "MATERIALIZED VIEW DATA";
/// How many entries one error names.
const NAMED_MAX: usize = 5;

/// An extension that a dump needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Extension {
    /// Its name.
    pub name: String,
    /// The schema of its objects.
    pub schema: String,
}

/// The extensions of a dump, in the order in which they must be created.
///
/// # Errors
/// `Integrity` if an entry does not have the form that pg_dump writes.
pub fn extensions(entries: &[Entry]) -> Result<Vec<Extension>> {
    let all = entries.iter().filter(|entry| entry.desc == "EXTENSION");
    all.map(|entry| {
        extension(&entry.definition).filter(|found| found.name == entry.tag).ok_or_else(|| {
            Error::new(
                Kind::Integrity,
                format!("the dump's entry of extension {:?} cannot be parsed", entry.tag),
            )
            .because(foreign(&entry.definition))
        })
    })
    .collect()
}

fn extension(definition: &str) -> Option<Extension> {
    let definition = definition.trim_start();
    let rest = definition.strip_prefix("CREATE EXTENSION IF NOT EXISTS ")?;
    let (name, rest) = statements::name(rest)?;
    let (schema, rest) = statements::name(rest.strip_prefix(" WITH SCHEMA ")?)?;
    (rest.trim() == ";").then_some(Extension { name, schema })
}

/// What exists in the database before the dump is loaded.
#[derive(Clone, Debug, Default)]
pub struct Made {
    /// Schemas that exist.
    pub schemas: BTreeSet<String>,
    /// Languages that an unprivileged role may use.
    pub languages: BTreeSet<String>,
    /// Tables of extensions whose rows cannot be loaded, as (schema, table).
    pub closed: BTreeSet<(String, String)>,
    /// Foreign data wrappers that the role may use.
    pub wrappers: BTreeSet<String>,
    /// Extensions that could not be created, and why.
    pub absent: BTreeMap<String, String>,
    /// Access methods that tables of the dump use but that do not exist.
    pub no_access_method: BTreeSet<String>,
    /// Roles that exist on the server, if policies and mappings of other roles are left out.
    pub roles: Option<BTreeSet<String>>,
}

impl Made {
    /// What these entries find if everything that they need can be created.
    pub fn assumed(entries: &[Entry]) -> Made {
        let of = |desc: &'static str| entries.iter().filter(move |entry| entry.desc == desc);
        Made {
            schemas: of("SCHEMA").map(|entry| entry.tag.clone()).collect(),
            wrappers: of("SERVER").filter_map(|entry| wrapper(&entry.definition)).collect(),
            ..Made::default()
        }
    }
}

/// How strictly the entries are sorted.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sieve {
    /// The role that loads may create everything.
    pub trusted: bool,
    /// Rows may be left out, and are reported.
    pub partial: bool,
}

/// The entries of a dump, sorted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sifted {
    /// Entries to load, in the dump's order.
    pub load: Vec<i64>,
    /// Entries to load after the copy was neutralized.
    pub last: Vec<i64>,
    /// Entries that are not created.
    pub gone: BTreeSet<i64>,
    /// What is not created, and why.
    pub left_out: Vec<NotMade>,
}

/// Sorts the entries.
///
/// # Errors
/// `Refused` if rows would be missing, because their tables need objects that only a superuser may create.
pub fn sift(entries: &[Entry], made: &Made, sieve: Sieve) -> Result<Sifted> {
    let by_id: HashMap<i64, &Entry> = entries.iter().map(|entry| (entry.id, entry)).collect();
    let mut missing: BTreeMap<i64, (String, bool)> = BTreeMap::new();
    // An entry may need a later one: repeat until nothing more is found missing.
    loop {
        let before = missing.len();
        for entry in entries {
            if missing.contains_key(&entry.id) {
                continue;
            }
            if let Some(why) = made.absent.get(&entry.tag).filter(|_| entry.desc == "EXTENSION") {
                missing.insert(entry.id, (why.clone(), true));
            } else if made.no_access_method.contains(&entry.access_method) {
                let why = format!("the server does not have access method {}", entry.access_method);
                missing.insert(entry.id, (why, true));
            } else if let Some(role) = stranger(entry, made) {
                missing.insert(entry.id, (format!("role {role} does not exist on the server"), false));
            } else if let Some(why) = superusers(entry, made).filter(|_| !sieve.trusted) {
                missing.insert(entry.id, (why, false));
            } else if entry.desc != "EXTENSION"
                && let Some((need, failed)) =
                    entry.needs.iter().find_map(|need| Some((need, missing.get(need)?.1)))
            {
                let needed = by_id.get(need).map_or(String::new(), |entry| called(entry));
                missing.insert(entry.id, (format!("it needs {needed}"), failed));
            }
        }
        if missing.len() == before {
            break;
        }
    }
    let rows: Vec<&Entry> = entries
        .iter()
        .filter(|entry| ROWS.contains(&entry.desc.as_str()) && missing.contains_key(&entry.id))
        .filter(|entry| !made.closed.contains(&(entry.namespace.clone(), entry.tag.clone())))
        .collect();
    if !rows.is_empty() && !sieve.partial {
        let first =
            rows.iter().take(NAMED_MAX).map(|entry| format!("{}: {}", called(entry), missing[&entry.id].0));
        return Err(Error::new(
            Kind::Refused,
            format!(
                "{} cannot be restored: needed objects cannot be created here",
                counted(rows.len(), "table")
            ),
        )
        .because(first.collect::<Vec<_>>().join("; "))
        .effect("nothing was loaded: their rows would be missing")
        .next(format!(
            "if only a superuser may create these objects, and you trust everybody who could write into this \
             database, add --load-as-superuser; otherwise {PARTIAL}"
        )));
    }
    let rows: BTreeSet<i64> = rows.into_iter().map(|entry| entry.id).collect();
    let mut out = Sifted::default();
    for entry in entries {
        let told = !REMARKS.contains(&entry.desc.as_str());
        match missing.get(&entry.id) {
            Some((why, failed)) if told => {
                let failed = *failed || rows.contains(&entry.id);
                out.left_out.push(not_made(entry, why.clone(), failed));
            }
            Some(_) => {}
            None if is_made(entry, made) => {}
            None if entry.desc == VIEW_CONTENT => out.last.push(entry.id),
            None => out.load.push(entry.id),
        }
    }
    out.gone = missing.into_keys().collect();
    Ok(out)
}

/// The text of the file for `pg_restore --use-list`.
pub fn use_list(load: &[i64]) -> String {
    load.iter().map(|id| format!("{id};\n")).collect()
}

/// Whether it is created beforehand or afterwards.
fn is_made(entry: &Entry, made: &Made) -> bool {
    match entry.desc.as_str() {
        "EXTENSION" | "PROCEDURAL LANGUAGE" => true,
        "SCHEMA" => entry.tag != "public" && made.schemas.contains(&entry.tag),
        "COMMENT" | "SECURITY LABEL" => {
            ["EXTENSION ", "LANGUAGE ", "PROCEDURAL LANGUAGE "].iter().any(|of| entry.tag.starts_with(of))
        }
        desc => RIGHTS.contains(&desc) || desc == ROW_SECURITY,
    }
}

/// A role that the entry is for and that does not exist on the server.
fn stranger(entry: &Entry, made: &Made) -> Option<String> {
    let roles = made.roles.as_ref()?;
    named_roles(entry).into_iter().find(|role| !roles.contains(role))
}

/// Why only a superuser may create it.
fn superusers(entry: &Entry, made: &Made) -> Option<String> {
    let definition = entry.definition.as_str();
    let only = || Some("only a superuser may create it".to_owned());
    match entry.desc.as_str() {
        "PROCEDURAL LANGUAGE" if made.languages.contains(&entry.tag) => None,
        "FUNCTION" | "PROCEDURE" => match language(definition) {
            Some(language) if !made.languages.contains(&language) => {
                Some(format!("only a superuser may create it: it is in language {language}"))
            }
            _ => None,
        },
        "TYPE"
            if definition.trim_start().starts_with("CREATE TYPE ")
                && definition.contains("(\n    INPUT = ") =>
        {
            only()
        }
        "CAST" if definition.contains("WITHOUT FUNCTION") || !entry.tag.contains('.') => only(),
        "TRANSFORM" => only(),
        "USER MAPPING" if definition.contains("password_required 'false'") => only(),
        "SERVER" if !made.wrappers.contains(&wrapper(definition).unwrap_or_default()) => {
            Some("the role that loads may not use its foreign data wrapper".to_owned())
        }
        "PUBLICATION" if definition.contains(" FOR ALL TABLES") => only(),
        "TABLE DATA" | "SEQUENCE SET"
            if made.closed.contains(&(entry.namespace.clone(), entry.tag.clone())) =>
        {
            Some("it belongs to an extension, whose rows the role that loads may not write".to_owned())
        }
        desc if NEVER.contains(&desc) => only(),
        _ => None,
    }
}

/// The language of a function, from pg_dump's definition.
fn language(definition: &str) -> Option<String> {
    let (_, rest) = definition.split_once("\n    LANGUAGE ")?;
    statements::name(rest).map(|(name, _)| name)
}

/// The foreign data wrapper of a server, from pg_dump's definition.
fn wrapper(definition: &str) -> Option<String> {
    let (first, _) = statements::after(definition, " FOREIGN DATA WRAPPER ")?;
    statements::name(first).map(|(name, _)| name)
}

fn called(entry: &Entry) -> String {
    match entry.namespace.as_str() {
        "" if entry.tag.starts_with(&format!("{} ", entry.desc)) => entry.tag.clone(), // of a user mapping
        "" => format!("{} {}", entry.desc, entry.tag),
        schema => format!("{} {schema}.{}", entry.desc, entry.tag),
    }
}

/// Says that an entry is not in the database, with the SQL that would create it.
pub fn not_made(entry: &Entry, why: String, failed: bool) -> NotMade {
    let what = match entry.desc.as_str() {
        "TABLE DATA" => format!("the rows of table {}.{}", entry.namespace, entry.tag),
        VIEW_CONTENT => format!("the content of materialized view {}.{}", entry.namespace, entry.tag),
        _ => called(entry),
    };
    let derived = entry.desc == VIEW_CONTENT;
    NotMade {
        what: foreign(&what),
        why: foreign(&why),
        sql: entry.definition.trim().to_owned(),
        failed,
        derived,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(id: i64, desc: &str, tag: &str, definition: &str, needs: &[i64]) -> Entry {
        let (desc, tag, definition) = (desc.to_owned(), tag.to_owned(), definition.to_owned());
        Entry {
            id,
            desc,
            tag,
            definition,
            namespace: "public".into(),
            needs: needs.to_vec(),
            ..Entry::default()
        }
    }

    fn made() -> Made {
        let languages = ["sql", "plpgsql"].map(str::to_owned).into();
        Made { languages, schemas: ["public".to_owned(), "ext".to_owned()].into(), ..Made::default() }
    }

    #[test]
    fn what_a_superuser_makes_is_left_out_with_what_needs_it() {
        let c =
            "CREATE FUNCTION public.c(integer) RETURNS integer\n    LANGUAGE c STRICT\n    AS 'x', 'c';\n";
        let entries = [
            entry(
                1,
                "EXTENSION",
                "pg_trgm",
                "CREATE EXTENSION IF NOT EXISTS pg_trgm WITH SCHEMA ext;\n",
                &[],
            ),
            entry(2, "COMMENT", "EXTENSION pg_trgm", "", &[1]),
            entry(3, "SCHEMA", "ext", "CREATE SCHEMA ext;\n", &[]),
            entry(4, "TABLE", "t", "", &[1]),
            entry(5, "TABLE DATA", "t", "", &[4]),
            entry(6, "FUNCTION", "c(integer)", c, &[]),
            entry(7, "INDEX", "by_c", "CREATE INDEX", &[4, 6]),
            entry(8, "EVENT TRIGGER", "e", "CREATE EVENT TRIGGER e", &[]),
            entry(9, "ACL", "TABLE t", "GRANT", &[4]),
            entry(
                10,
                "FUNCTION",
                "f()",
                "CREATE FUNCTION public.f() RETURNS integer\n    LANGUAGE plpgsql\n",
                &[],
            ),
        ];
        let sifted = sift(&entries, &made(), Sieve::default()).unwrap();
        assert_eq!(sifted.load, [4, 5, 10]);
        assert_eq!(sifted.left_out.len(), 3, "{:?}", sifted.left_out);
        let told: Vec<String> = sifted.left_out.iter().map(ToString::to_string).collect();
        assert!(told[0].contains("it is in language c"), "{told:?}");
        assert!(
            told[1].starts_with("INDEX public.by_c was not created: it needs FUNCTION public.c"),
            "{told:?}"
        );
        assert!(sifted.left_out.iter().all(|left| !left.failed), "{told:?}");
        let trusted = sift(&entries, &made(), Sieve { trusted: true, partial: false }).unwrap();
        assert_eq!((trusted.load, trusted.left_out.len()), (vec![4, 5, 6, 7, 8, 10], 0));
        assert_eq!(use_list(&sifted.load), "4;\n5;\n10;\n");
        assert_eq!(
            extensions(&entries).unwrap(),
            [Extension { name: "pg_trgm".into(), schema: "ext".into() }]
        );
    }

    #[test]
    fn rows_are_never_left_out_silently() {
        let base = "CREATE TYPE public.b (\n    INPUT = public.b_in,\n";
        let entries = [
            entry(2, "TABLE", "t", "", &[5]),
            entry(3, "TABLE DATA", "t", "", &[2]),
            entry(5, "TYPE", "b", base, &[]),
        ];
        let error = sift(&entries, &made(), Sieve::default()).unwrap_err();
        assert_eq!(error.kind(), Kind::Refused);
        assert!(error.causes()[0].contains("TABLE public.t: it needs TYPE public.b"), "{error}");
        let partial = sift(&entries, &made(), Sieve { trusted: false, partial: true }).unwrap();
        let told: Vec<(&str, bool)> = partial.left_out.iter().map(|l| (l.what.as_str(), l.failed)).collect();
        assert_eq!(
            told,
            [("TABLE public.t", true), ("the rows of table public.t", true), ("TYPE public.b", false)]
        );
    }

    #[test]
    fn what_needs_an_extension_that_is_absent_is_told_and_views_are_filled_last() {
        let entries = [
            entry(1, "EXTENSION", "postgis", "", &[]),
            entry(2, "INDEX", "by_place", "CREATE INDEX", &[1]),
            entry(3, "MATERIALIZED VIEW", "m", "", &[]),
            entry(4, VIEW_CONTENT, "m", "REFRESH MATERIALIZED VIEW public.m;", &[3]),
        ];
        let absent = [("postgis".to_owned(), "the server does not have it".to_owned())].into();
        let sifted =
            sift(&entries, &Made { absent, ..made() }, Sieve { trusted: false, partial: true }).unwrap();
        assert_eq!((sifted.load, sifted.last), (vec![3], vec![4]));
        assert!(sifted.left_out.iter().all(|left| left.failed) && sifted.left_out.len() == 2);
    }
}
