//! Which entries of a dump a role without rights loads, which were made for it beforehand, and which
//! only a superuser could make. Pure.

use std::collections::{BTreeMap, BTreeSet};

use super::give::ROW_SECURITY;
use super::statements;
use super::toc::Entry;
use crate::error::{Error, Kind, Result};

/// What only a superuser may make, whatever its definition says.
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
/// Rights: set afterwards.
const RIGHTS: [&str; 2] = ["ACL", "DEFAULT ACL"];
/// What is said of another entry: it goes with that and is no loss of its own.
const REMARKS: [&str; 4] = ["ACL", "COMMENT", "SECURITY LABEL", "DEFAULT ACL"];
/// Entries without which rows are missing.
const ROWS: [&str; 2] = ["TABLE", "TABLE DATA"];
/// Languages of PostgreSQL's own, which dumps of old databases have without their extensions. No other name is made
/// an extension of: whoever owns a trusted language may call it as he likes.
pub(super) const LANGUAGES: [&str; 7] =
    ["plperl", "plperlu", "plpgsql", "plpython3u", "plpythonu", "pltcl", "pltclu"];
/// How much of a definition a warning shows.
const DEFINITION_CHARS_MAX: usize = 600;
/// How many entries an error names.
const NAMED_MAX: usize = 5;

/// An extension that a dump wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Extension {
    /// Its name.
    pub name: String,
    /// The schema that its objects lie in.
    pub schema: String,
}

/// The extensions of a dump, in the order in which they have to be made.
///
/// # Errors
/// `Integrity` where an entry does not say it as pg_dump does.
pub fn extensions(entries: &[Entry]) -> Result<Vec<Extension>> {
    let all = entries.iter().filter(|entry| entry.desc == "EXTENSION");
    all.map(|entry| {
        extension(&entry.definition).filter(|found| found.name == entry.tag).ok_or_else(|| {
            Error::new(
                Kind::Integrity,
                format!("the dump's entry of extension {:?} cannot be read", entry.tag),
            )
            .because(entry.definition.clone())
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

/// What the database has before the dump is loaded.
#[derive(Clone, Debug, Default)]
pub struct Made {
    /// Schemas that are there.
    pub schemas: BTreeSet<String>,
    /// Languages that a role without rights may use.
    pub languages: BTreeSet<String>,
    /// Tables of extensions whose rows cannot be loaded, as (schema, table).
    pub closed: BTreeSet<(String, String)>,
}

/// The dump, sifted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sifted {
    /// Entries to load, in the dump's order.
    pub load: Vec<i64>,
    /// Entries that are not made.
    pub gone: BTreeSet<i64>,
    /// What is not made, as sentences.
    pub left_out: Vec<String>,
}

/// Sorts the entries.
///
/// # Errors
/// `Refused` where rows would be missing, because their tables need what only a superuser may make.
pub fn sift(entries: &[Entry], made: &Made) -> Result<Sifted> {
    let extensions: BTreeSet<i64> = entries.iter().filter(|e| e.desc == "EXTENSION").map(|e| e.id).collect();
    let mut missing: BTreeMap<i64, String> = BTreeMap::new();
    let mut out = Sifted::default();
    // A need may stand behind the entry that has it: until nothing more is found missing.
    loop {
        let before = missing.len();
        for entry in entries.iter().filter(|entry| !extensions.contains(&entry.id)) {
            if missing.contains_key(&entry.id) {
                continue;
            }
            if let Some(why) = superusers(entry, made) {
                missing.insert(entry.id, why);
            } else if let Some(need) = entry.needs.iter().find(|need| missing.contains_key(need)) {
                let needed = entries.iter().find(|e| e.id == *need).map_or(String::new(), called);
                missing.insert(entry.id, format!("it needs {needed}"));
            }
        }
        if missing.len() == before {
            break;
        }
    }
    let rows: Vec<String> = entries
        .iter()
        .filter(|entry| ROWS.contains(&entry.desc.as_str()))
        .filter(|entry| !made.closed.contains(&(entry.namespace.clone(), entry.tag.clone())))
        .filter_map(|entry| Some(format!("{}: {}", called(entry), missing.get(&entry.id)?)))
        .collect();
    if !rows.is_empty() {
        let first = rows.iter().take(NAMED_MAX).cloned().collect::<Vec<_>>().join("; ");
        return Err(Error::new(
            Kind::Refused,
            format!("{} tables need objects that only a superuser may make", rows.len()),
        )
        .because(first)
        .effect("a role without rights cannot load this dump; nothing was loaded")
        .next("if you trust everybody who could write into this database: --load-as-superuser"));
    }
    for entry in entries {
        let told = !REMARKS.contains(&entry.desc.as_str());
        match missing.get(&entry.id) {
            Some(why) if told => out.left_out.push(left_out(entry, why)),
            Some(_) => {}
            None if is_made(entry, made) => {}
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

/// Made beforehand, or afterwards.
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

/// Why only a superuser may make it.
fn superusers(entry: &Entry, made: &Made) -> Option<String> {
    let definition = entry.definition.as_str();
    let only = || Some("only a superuser may make it".to_owned());
    match entry.desc.as_str() {
        "PROCEDURAL LANGUAGE" if made.languages.contains(&entry.tag) => None,
        "FUNCTION" | "PROCEDURE" => match language(definition) {
            Some(language) if !made.languages.contains(&language) => {
                Some(format!("only a superuser may make it: it is in language {language}"))
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
        "PUBLICATION" if definition.contains(" FOR ALL TABLES") => only(),
        "TABLE DATA" if made.closed.contains(&(entry.namespace.clone(), entry.tag.clone())) => {
            Some("it is of an extension, which hides its rows".to_owned())
        }
        desc if NEVER.contains(&desc) => only(),
        _ => None,
    }
}

/// The language of a function, in the words of pg_dump.
fn language(definition: &str) -> Option<String> {
    let (_, rest) = definition.split_once("\n    LANGUAGE ")?;
    statements::name(rest).map(|(name, _)| name)
}

fn called(entry: &Entry) -> String {
    match entry.namespace.as_str() {
        "" => format!("{} {}", entry.desc, entry.tag),
        schema => format!("{} {schema}.{}", entry.desc, entry.tag),
    }
}

fn left_out(entry: &Entry, why: &str) -> String {
    let one_line = entry.definition.split_whitespace().collect::<Vec<_>>().join(" ");
    let definition: String = one_line.chars().take(DEFINITION_CHARS_MAX).collect();
    let more = if definition.len() < one_line.len() { " …" } else { "" };
    let what = called(entry);
    match definition.is_empty() {
        true => format!("{what} was not made: {why}"),
        false => format!("{what} was not made: {why}. Check it, then run as a superuser: {definition}{more}"),
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
        let sifted = sift(&entries, &made()).unwrap();
        assert_eq!(sifted.load, [4, 5, 10]);
        assert_eq!(sifted.left_out.len(), 3, "{:?}", sifted.left_out);
        assert!(sifted.left_out[0].contains("it is in language c"), "{:?}", sifted.left_out);
        assert!(sifted.left_out[1].starts_with("INDEX public.by_c was not made: it needs FUNCTION public.c"));
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
        let error = sift(&entries, &made()).unwrap_err();
        assert_eq!(error.kind(), Kind::Refused);
        assert!(error.causes()[0].contains("TABLE public.t: it needs TYPE public.b"), "{error}");
    }
}
