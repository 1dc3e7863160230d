//! What a dump needs of the target server, read from the dump's table of contents. Pure.

use std::collections::{BTreeMap, BTreeSet};

use super::entries::{RIGHTS, is_owned, named_roles};
use super::statements;
use super::toc::Entry;
use crate::postgres::database::{DatabaseProperties, Setting};
use crate::postgres::quote::{ident, literal};

/// Definitions that may name one of PostgreSQL's own collations.
const COLLATED: [&str; 8] =
    ["CONSTRAINT", "DOMAIN", "FOREIGN TABLE", "INDEX", "MATERIALIZED VIEW", "TABLE", "TYPE", "VIEW"];
/// Text search templates that every server has, and whose files a dictionary may name.
const TEMPLATES: [&str; 5] = ["ispell", "simple", "snowball", "synonym", "thesaurus"];
/// Options of a collation.
const COLLATION_OPTIONS: [&str; 6] =
    ["deterministic", "lc_collate", "lc_ctype", "locale", "provider", "rules"];

/// What the server must have or be able to create.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Needs {
    /// Roles that own objects in the dump.
    pub owners: BTreeSet<String>,
    /// Roles that own a schema.
    pub schema_owners: BTreeSet<String>,
    /// Roles that have privileges.
    pub granted: BTreeSet<String>,
    /// Roles that granted privileges to others.
    pub grantors: BTreeSet<String>,
    /// Roles that other objects name, and which object names them.
    pub named: BTreeMap<String, String>,
    /// Tablespaces of objects.
    pub tablespaces: BTreeSet<String>,
    /// Extensions.
    pub extensions: BTreeSet<String>,
    /// PostgreSQL's own collations that definitions name.
    pub collations: BTreeSet<String>,
    /// Table access methods that the dump does not create, with one table of each.
    pub access_methods: BTreeMap<String, String>,
    /// Libraries of C functions, with one function of each; a dump contains no functions of extensions.
    pub libraries: BTreeMap<String, String>,
    /// Libraries that the database's sessions load, with the setting that names each.
    pub loaded: BTreeMap<String, String>,
    /// Objects that the server is asked to create, in a transaction that is rolled back.
    pub probes: Vec<Probe>,
}

/// One thing that depends on the server's operating system or build.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Probe {
    /// What it is.
    pub what: String,
    /// The statement that tries it.
    pub sql: String,
    /// Whether the answer counts only if the maintenance database has the tenant's encoding.
    pub of_encoding: bool,
    /// Whether the database cannot exist without it.
    pub of_database: bool,
}

impl Needs {
    /// Collects what the entries of a dump need.
    pub fn of(entries: &[Entry]) -> Needs {
        let mut out = Needs::default();
        for entry in entries {
            out.add(entry);
        }
        let makers =
            entries.iter().filter(|entry| ["EXTENSION", "ACCESS METHOD"].contains(&entry.desc.as_str()));
        let makers: BTreeSet<i64> = makers.map(|entry| entry.id).collect();
        let own = entries.iter().filter(|entry| !["", "heap"].contains(&entry.access_method.as_str()));
        for entry in own.filter(|entry| !entry.needs.iter().any(|need| makers.contains(need))) {
            let table = format!("table {}.{}", entry.namespace, entry.tag);
            out.access_methods.entry(entry.access_method.clone()).or_insert(table);
        }
        out
    }

    fn add(&mut self, entry: &Entry) {
        let definition = entry.definition.as_str();
        let is_role = !entry.owner.is_empty() && !entry.owner.starts_with("pg_");
        if is_owned(entry) && is_role && !entry.drop.is_empty() {
            let owners = if entry.desc == "SCHEMA" { &mut self.schema_owners } else { &mut self.owners };
            owners.insert(entry.owner.clone());
        }
        if !entry.tablespace.is_empty() {
            self.tablespaces.insert(entry.tablespace.clone());
        }
        match entry.desc.as_str() {
            "EXTENSION" => drop(self.extensions.insert(entry.tag.clone())),
            desc if RIGHTS.contains(&desc) && !entry.tag.starts_with("DATABASE ") => {
                for statement in statements::split(definition).unwrap_or_default() {
                    let acts = statement.starts_with("SET SESSION AUTHORIZATION ");
                    let roles =
                        statements::roles(statement).into_iter().filter(|role| !role.starts_with("pg_"));
                    if acts { self.grantors.extend(roles) } else { self.granted.extend(roles) }
                }
            }
            "POLICY" | "USER MAPPING" => {
                let what = format!("{} {}", entry.desc.to_lowercase(), entry.tag);
                self.named.extend(named_roles(entry).into_iter().map(|role| (role, what.clone())));
            }
            "FUNCTION" | "PROCEDURE" => {
                let what = || format!("{} {}.{}", entry.desc.to_lowercase(), entry.namespace, entry.tag);
                self.libraries.extend(statements::library(definition).map(|library| (library, what())));
            }
            "COLLATION" => self.probes.extend(collation(entry)),
            "TEXT SEARCH DICTIONARY" => self.probes.extend(dictionary(entry)),
            desc if COLLATED.contains(&desc) => {
                for (at, words) in definition.match_indices("COLLATE pg_catalog.") {
                    let name = statements::name(&definition[at + words.len()..]);
                    self.collations.extend(name.map(|(name, _)| name));
                }
            }
            _ => {}
        }
    }

    /// Adds what the database itself needs: its locale, and the libraries that its sessions load.
    pub fn add_database(&mut self, properties: &DatabaseProperties) {
        for setting in &properties.settings {
            let libraries = loaded_by(setting).into_iter();
            self.loaded.extend(libraries.map(|library| (library, setting.name.clone())));
        }
        let mut probe = |what: String, options: String, of_encoding| {
            let sql = format!("CREATE COLLATION pg_temp.lifeboat_probe ({options})");
            self.probes.push(Probe { what, sql, of_encoding, of_database: true });
        };
        let DatabaseProperties { collate, ctype, locale_provider: provider, .. } = properties;
        if [collate, ctype].iter().any(|locale| !["C", "POSIX"].contains(&locale.as_str())) {
            let options =
                format!("provider = libc, lc_collate = {}, lc_ctype = {}", literal(collate), literal(ctype));
            probe(format!("the locale {collate} (LC_CTYPE {ctype}) of the database"), options, true);
        }
        if let (Some(locale), "icu" | "builtin") = (&properties.locale, provider.as_str()) {
            let options = format!("provider = {provider}, locale = {}", literal(locale));
            probe(format!("the {provider} locale {locale} of the database"), options, false);
        }
    }
}

/// The libraries that a setting makes each session load, by the names that PostgreSQL searches for.
pub fn loaded_by(setting: &Setting) -> Vec<String> {
    let plugins = match setting.name.as_str() {
        "session_preload_libraries" => false,
        "local_preload_libraries" => true,
        _ => return Vec::new(),
    };
    let names =
        setting.value.split(',').map(|name| name.trim().trim_matches('"')).filter(|name| !name.is_empty());
    names
        .map(
            |name| {
                if plugins && !name.contains('/') {
                    format!("$libdir/plugins/{name}")
                } else {
                    name.to_owned()
                }
            },
        )
        .collect()
}

/// The text between the outer brackets.
fn inner(definition: &str) -> Option<&str> {
    definition.trim_end().strip_suffix(");")?.split_once('(').map(|(_, inner)| inner)
}

fn collation(entry: &Entry) -> Option<Probe> {
    let options = statements::options(inner(&entry.definition)?)?;
    let icu = options.iter().any(|(key, value)| key == "provider" && value == "icu");
    let wanted = options.iter().filter(|(key, _)| COLLATION_OPTIONS.contains(&key.as_str()));
    let options: Vec<String> = wanted.map(|(key, value)| format!("{key} = {}", literal(value))).collect();
    let sql = format!("CREATE COLLATION pg_temp.lifeboat_probe ({})", options.join(", "));
    let what = format!("collation {}.{}", entry.namespace, entry.tag);
    Some(Probe { what, sql, of_encoding: !icu, of_database: false })
}

fn dictionary(entry: &Entry) -> Option<Probe> {
    let mut options = statements::options(inner(&entry.definition)?.replacen("pg_catalog.", "", 1).as_str())?;
    let at = options.iter().position(|(key, _)| key == "template")?;
    let (_, template) = options.remove(at);
    if !TEMPLATES.contains(&template.as_str()) {
        return None; // it belongs to an extension
    }
    let options = options.iter().map(|(key, value)| match key.as_str() {
        "dictionary" => ", dictionary = pg_catalog.simple".to_owned(), // the named one may not exist here
        _ => format!(", {} = {}", ident(key), literal(value)),
    });
    let sql = format!(
        "CREATE TEXT SEARCH DICTIONARY pg_temp.lifeboat_probe (TEMPLATE = pg_catalog.{template}{})",
        options.collect::<String>()
    );
    let what = format!("text search dictionary {}.{}", entry.namespace, entry.tag);
    Some(Probe { what, sql, of_encoding: false, of_database: false })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(desc: &str, tag: &str, definition: &str) -> Entry {
        Entry {
            desc: desc.into(),
            tag: tag.into(),
            definition: definition.into(),
            namespace: "public".into(),
            owner: "odoo".into(),
            drop: "DROP".into(),
            ..Entry::default()
        }
    }

    #[test]
    fn every_kind_of_need_is_found_in_the_words_of_pg_dump() {
        let mut table = entry(
            "TABLE",
            "t",
            "CREATE TABLE public.t (\n    x text COLLATE pg_catalog.\"fr_FR.utf8\"\n);\n",
        );
        table.tablespace = "fast".into();
        let needs = Needs::of(&[
            table,
            entry("EXTENSION", "pg_trgm", ""),
            entry(
                "ACL",
                "TABLE t",
                "GRANT SELECT ON TABLE public.t TO bi;\nSET SESSION AUTHORIZATION bi;\nGRANT SELECT ON TABLE public.t TO \"x y\";\nRESET SESSION AUTHORIZATION;\n",
            ),
            entry("ACL", "DATABASE shop", "GRANT CONNECT ON DATABASE shop TO probe;\n"),
            entry(
                "POLICY",
                "t p",
                "CREATE POLICY p ON public.t FOR SELECT TO clerk, \"the boss\" USING ((x <> ' TO '::text));\n",
            ),
            entry(
                "USER MAPPING",
                "USER MAPPING remote SERVER far",
                "CREATE USER MAPPING FOR remote SERVER far;\n",
            ),
            entry(
                "COLLATION",
                "de",
                "CREATE COLLATION public.de (provider = icu, locale = 'de-u-co-phonebk');\n",
            ),
            entry(
                "TEXT SEARCH DICTIONARY",
                "d",
                "CREATE TEXT SEARCH DICTIONARY public.d (\n    TEMPLATE = pg_catalog.ispell,\n    dictfile = 'our', afffile = 'our', stopwords = 'x' );\n",
            ),
            entry(
                "TEXT SEARCH DICTIONARY",
                "u",
                "CREATE TEXT SEARCH DICTIONARY public.u (\n    TEMPLATE = public.unaccent );\n",
            ),
        ]);
        let set = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<BTreeSet<_>>();
        assert_eq!(needs.owners, set(&["odoo"]));
        assert_eq!(needs.granted, set(&["bi", "x y"]));
        assert_eq!(needs.grantors, set(&["bi"]));
        assert_eq!(
            needs.named.keys().cloned().collect::<BTreeSet<_>>(),
            set(&["clerk", "remote", "the boss"])
        );
        assert_eq!(needs.tablespaces, set(&["fast"]));
        assert_eq!(needs.collations, set(&["fr_FR.utf8"]));
        assert_eq!(
            needs.probes.iter().map(|probe| probe.sql.as_str()).collect::<Vec<_>>(),
            [
                "CREATE COLLATION pg_temp.lifeboat_probe (provider = 'icu', locale = 'de-u-co-phonebk')",
                "CREATE TEXT SEARCH DICTIONARY pg_temp.lifeboat_probe (TEMPLATE = pg_catalog.ispell, \
                 \"dictfile\" = 'our', \"afffile\" = 'our', \"stopwords\" = 'x')",
            ]
        );
    }
}
