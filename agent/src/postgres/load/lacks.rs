//! Compares what a dump needs with what the server has, before anything is fetched. Pure.

use super::lack::{Asked, Lack};
use super::needs::Needs;
use super::rights::Loads;
use super::roles::roles;
use super::target::Target;
use super::{DEFAULT_TABLESPACE, PARTIAL};
use crate::error::{Error, Kind, Result};
use crate::postgres::create::create_statement;
use crate::postgres::quote::{ident, literal};

/// How many lacks one error lists.
const TOLD_MAX: usize = 20;
/// Extensions whose libraries can only be loaded at server start; the library has the extension's name.
const PRELOADED: [&str; 5] = ["citus", "pg_cron", "pgaudit", "pglogical", "timescaledb"];

/// Notes for a person: what will differ from the source.
///
/// # Errors
/// `Refused`, naming each lack and how to correct it.
pub fn check(needs: &Needs, target: &Target, asked: &Asked<'_>) -> Result<Vec<String>> {
    let lacks = lacks(needs, target, asked);
    let mut notes = notes(needs, target, asked);
    let (soft, hard): (Vec<Lack>, Vec<Lack>) =
        lacks.into_iter().partition(|l| l.soft && asked.choices.partial);
    if hard.is_empty() {
        notes.extend(soft.iter().map(|lack| {
            format!(
                "{}: objects that need it will not be restored (to restore them: {})",
                lack.what, lack.remedy
            )
        }));
        return Ok(notes);
    }
    let told = hard.iter().take(TOLD_MAX).map(|lack| format!("{}: {}", lack.what, lack.remedy));
    let more =
        if hard.len() > TOLD_MAX { format!("\nand {} more", hard.len() - TOLD_MAX) } else { String::new() };
    let things = match hard.len() {
        1 => "something".to_owned(),
        n => format!("{n} things"),
    };
    let mut error = Error::new(Kind::Refused, format!("the server lacks {things} that this tenant needs"))
        .because(told.collect::<Vec<_>>().join("\n") + &more)
        .effect("nothing was changed")
        .safe("running again is safe");
    error = match hard.iter().all(|lack| lack.soft) {
        true => error.next(format!("correct each point above, then run again; or {PARTIAL}")),
        false => error.next("correct each point above, then run again"),
    };
    Err(error)
}

fn lacks(needs: &Needs, target: &Target, asked: &Asked<'_>) -> Vec<Lack> {
    let mut out = Vec::new();
    let mut lack = |soft: bool, what: String, remedy: String| out.push(Lack { what, remedy, soft });
    let us = ident(&target.us);
    if !target.createdb {
        lack(
            false,
            format!("role {} may not create databases", target.us),
            format!("ALTER ROLE {us} CREATEDB"),
        );
    }
    if let Err(e) = create_statement("x", None, asked.properties, target.version_num / 10_000) {
        let remedy = e.next_text().unwrap_or("restore into another server").to_owned();
        lack(false, e.what().to_owned(), remedy);
    }
    out.extend(roles(needs, target, asked));
    let mut lack = |soft: bool, what: String, remedy: String| out.push(Lack { what, remedy, soft });
    let own = asked.choices.own_tablespace(asked.properties);
    let moved =
        needs.tablespaces.iter().filter_map(|old| Some((old.as_str(), asked.choices.tablespace(old, own)?)));
    let of_database = asked.properties.tablespace.as_deref().filter(|_| own != DEFAULT_TABLESPACE);
    for (old, new) in of_database.map(|old| (old, own)).into_iter().chain(moved) {
        let remedy = format!(
            "--tablespace-map {old}=OTHER, or --no-tablespaces, or create it: CREATE TABLESPACE {} LOCATION 'DIRECTORY'",
            ident(new)
        );
        match target.tablespaces.get(new) {
            None => lack(false, format!("the server lacks tablespace {new}"), remedy),
            Some(found) => {
                let by_own_role = new != own && asked.loads == Loads::OwnRole && asked.choices.maps_nothing();
                let fine = found.may_use && (!by_own_role || found.may_grant);
                if !fine {
                    let option = if by_own_role { " WITH GRANT OPTION" } else { "" };
                    let grant = format!("GRANT CREATE ON TABLESPACE {} TO {us}{option}", ident(new));
                    lack(
                        false,
                        format!("role {} may not use tablespace {new}", target.us),
                        format!("--no-tablespaces, or {grant}"),
                    );
                }
            }
        }
    }
    for name in &needs.extensions {
        match target.extensions.get(name) {
            None => lack(
                true,
                format!("the server does not have extension {name}"),
                "install the package that contains it (such as postgresql-contrib) on the database server"
                    .into(),
            ),
            // Managed servers let some of their roles create more than PostgreSQL itself would.
            Some(offer) if offer.superusers && !target.superuser && !target.createrole => lack(
                true,
                format!("role {} may not create extension {name}", target.us),
                "restore as a superuser".into(),
            ),
            Some(_) => preloaded(name, target, &mut lack),
        }
    }
    for (method, table) in
        needs.access_methods.iter().filter(|(method, _)| !target.access_methods.contains(*method))
    {
        lack(
            true,
            format!("the server does not have access method {method}, which {table} uses"),
            "restore into a server that has it, of the same kind as the source".into(),
        );
    }
    libraries(needs, target, asked, &mut lack);
    for name in &target.missing_collations {
        lack(
            true,
            format!("the server lacks collation {name}"),
            "install the locale on the database server, then as a superuser in template1 and postgres: \
             SELECT pg_import_system_collations('pg_catalog')"
                .into(),
        );
    }
    for (probe, said) in &target.failed {
        let remedy = "install the missing part on the database server: a locale, a build with ICU, or a file in tsearch_data";
        lack(!probe.of_database, format!("the server cannot create {}: {said}", probe.what), remedy.into());
    }
    out
}

/// An extension that can only be created if the server loads its library at server start.
fn preloaded(name: &str, target: &Target, lack: &mut impl FnMut(bool, String, String)) {
    let loads =
        |preloaded: &String| preloaded.split(',').any(|library| library.trim().trim_matches('"') == name);
    if PRELOADED.contains(&name) && target.preloaded.as_ref().is_some_and(|preloaded| !loads(preloaded)) {
        lack(
            true,
            format!("the server does not load the library of extension {name} when it starts"),
            format!("add {name} to shared_preload_libraries and restart the server"),
        );
    }
}

/// Libraries of no extension. Functions in C are left out anyway, unless a superuser loads them.
fn libraries(needs: &Needs, target: &Target, asked: &Asked<'_>, lack: &mut impl FnMut(bool, String, String)) {
    let missing = |library: &String| target.missing_libraries.contains(library);
    let trusted = asked.loads == Loads::ConfiguredRoleTrusted;
    for (library, function) in needs.libraries.iter().filter(|(library, _)| trusted && missing(library)) {
        lack(
            true,
            format!("the server does not have library {library}, which contains {function}"),
            "install it on the database server, in the same place as on the source".into(),
        );
    }
    for (library, setting) in needs.loaded.iter().filter(|(library, _)| missing(library)) {
        lack(
            true,
            format!(
                "the server does not have library {library}, which the database's setting {setting} names: nobody \
                 could connect to the database"
            ),
            "install it on the database server".into(),
        );
    }
}

fn notes(needs: &Needs, target: &Target, asked: &Asked<'_>) -> Vec<String> {
    let mut out = Vec::new();
    for (name, was) in asked.versions {
        if let (Some(was), Some(offer)) = (was, target.extensions.get(name))
            && *was != offer.version
        {
            out.push(format!(
                "extension {name} was version {was}; the server installs its own version {}",
                offer.version
            ));
        }
    }
    if asked.loads != Loads::ConfiguredRoleTrusted {
        let missing =
            needs.libraries.iter().filter(|(library, _)| target.missing_libraries.contains(*library));
        out.extend(missing.map(|(library, function)| {
            format!(
                "the server does not have library {library}: install it before you run the SQL of {function}"
            )
        }));
    }
    let lies =
        |old: &String| needs.tablespaces.contains(old) || asked.properties.tablespace.as_ref() == Some(old);
    let unused = asked.choices.tablespaces.keys().filter(|old| !lies(old));
    out.extend(
        unused.map(|old| {
            format!("nothing is in tablespace {}: its --tablespace-map has no effect", literal(old))
        }),
    );
    out
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::super::Choices;
    use super::super::roles::given_away;
    use super::*;
    use crate::postgres::database::{DatabaseProperties, Grant};
    use crate::postgres::load::target::{Offer, Tablespace};

    fn properties() -> DatabaseProperties {
        let grant = Grant { role: Some("probe".into()), privilege: "CONNECT".into(), grantable: false };
        DatabaseProperties {
            encoding: "UTF8".into(),
            collate: "C".into(),
            ctype: "C".into(),
            locale_provider: "libc".into(),
            locale: None,
            icu_rules: None,
            tablespace: None,
            owner: "odoo".into(),
            connection_limit: -1,
            grants: Some(vec![grant]),
            settings: Vec::new(),
        }
    }

    fn target() -> Target {
        Target {
            version_num: 150_000,
            us: "postgres".into(),
            superuser: true,
            createdb: true,
            createrole: true,
            roles: [("odoo".to_owned(), true), ("postgres".to_owned(), true)].into(),
            tablespaces: [("slow".to_owned(), Tablespace { may_use: true, may_grant: true })].into(),
            extensions: [("pg_trgm".to_owned(), Offer { version: "1.6".into(), superusers: false })].into(),
            ..Target::default()
        }
    }

    fn told(
        needs: &Needs,
        target: &Target,
        choices: &Choices,
        by_owner: Option<&str>,
    ) -> (String, Vec<String>) {
        let properties = properties();
        let versions = [("pg_trgm".to_owned(), Some("1.5".to_owned()))];
        let asked =
            Asked { properties: &properties, versions: &versions, by_owner, loads: Loads::OwnRole, choices };
        match check(needs, target, &asked) {
            Ok(notes) => (String::new(), notes),
            Err(e) => (e.causes().join("\n"), Vec::new()),
        }
    }

    #[test]
    fn each_lack_is_told_with_its_remedy_and_each_flag_is_a_remedy_for_its_own() {
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<BTreeSet<_>>();
        let needs = Needs {
            owners: names(&["odoo", "bi"]),
            granted: names(&["reader"]),
            tablespaces: names(&["fast"]),
            extensions: names(&["pg_trgm", "postgis"]),
            named: [("clerk".to_owned(), "policy t p".to_owned())].into(),
            ..Needs::default()
        };
        let (said, _) = told(&needs, &target(), &Choices::default(), None);
        for lack in [
            "the server lacks roles bi (it owns something), probe (it has privileges on the database), reader (it has privileges): ",
            "tablespace fast",
            "extension postgis",
            "role clerk (policy t p names it)",
        ] {
            assert!(said.contains(lack), "{lack}: {said}");
        }
        for remedy in [
            "CREATE ROLE \"bi\"; CREATE ROLE \"probe\"; CREATE ROLE \"reader\", or --skip-grants",
            "--tablespace-map fast=OTHER",
            "install the package",
        ] {
            assert!(said.contains(remedy), "{remedy}: {said}");
        }
        let flags = Choices {
            partial: true,
            skip_missing_roles: true,
            tablespaces: [("fast".to_owned(), "slow".to_owned())].into(),
            ..Choices::default()
        };
        let (said, notes) = told(&needs, &target(), &flags, None);
        assert_eq!(said, "");
        let notes = notes.join("\n");
        assert!(
            notes.contains("pg_trgm was version 1.5; the server installs its own version 1.6"),
            "{notes}"
        );
        assert!(notes.contains("extension postgis: objects that need it will not be restored"), "{notes}");
        let asked = Asked {
            properties: &properties(),
            versions: &[],
            by_owner: None,
            loads: Loads::OwnRole,
            choices: &flags,
        };
        let away = given_away(&needs, &target(), &asked);
        assert_eq!(
            away,
            [
                "these roles do not exist on the server, so their objects will belong to the tenant's owner: bi"
            ]
        );
        let mut here = target();
        here.roles.insert("bi".into(), true);
        let away = given_away(&needs, &here, &asked);
        assert!(away.len() == 1 && away[0].contains("--keep-owners gives them back"), "{away:?}");
        // With one owner for everything rights are left out, policies of roles that are not here, too.
        let none = Choices { no_tablespaces: true, ..Choices::default() };
        let (said, _) = told(&needs, &target(), &none, Some("odoo"));
        assert!(!said.contains("reader") && !said.contains("probe") && !said.contains("clerk"), "{said}");
    }

    /// What is of no extension: known by its name alone.
    #[test]
    fn libraries_and_access_methods_are_told_and_can_be_done_without() {
        let one = |name: &str, what: &str| [(name.to_owned(), what.to_owned())].into();
        let needs = Needs {
            extensions: ["citus".to_owned(), "pg_trgm".to_owned()].into(),
            access_methods: one("columnar", "table public.t"),
            libraries: one("$libdir/ours", "function public.f()"),
            loaded: one("auto_explain", "session_preload_libraries"),
            ..Needs::default()
        };
        let mut target = Target { preloaded: Some("auto_explain, pg_cron".into()), ..target() };
        target.roles.insert("probe".into(), true);
        target.extensions.insert("citus".into(), Offer::default());
        target.missing_libraries = needs.libraries.keys().chain(needs.loaded.keys()).cloned().collect();
        let (said, _) = told(&needs, &target, &Choices::default(), None);
        for lack in [
            "access method columnar, which table public.t uses",
            "library auto_explain, which the database's setting session_preload_libraries names",
            "add citus to shared_preload_libraries",
        ] {
            assert!(said.contains(lack), "{lack}: {said}");
        }
        assert!(!said.contains("$libdir/ours"), "a function in C is left out anyway: {said}");
        let (said, notes) = told(&needs, &target, &Choices { partial: true, ..Choices::default() }, None);
        assert_eq!(said, "");
        assert!(
            notes.join("\n").contains("install it before you run the SQL of function public.f()"),
            "{notes:?}"
        );
        target.preloaded = None;
        let (said, _) = told(&needs, &target, &Choices::default(), None);
        assert!(!said.contains("citus"), "whether it is loaded is not known: {said}");
    }

    #[test]
    fn a_role_that_is_no_superuser_is_told_what_it_cannot_give_away() {
        let mut target = Target { us: "restorer".into(), superuser: false, createdb: false, ..target() };
        target.roles.insert("odoo".into(), false);
        target.roles.insert("probe".into(), false);
        let needs = Needs::default();
        let (said, _) = told(&needs, &target, &Choices::default(), None);
        assert!(said.contains("ALTER ROLE \"restorer\" CREATEDB"), "{said}");
        assert!(said.contains("GRANT \"odoo\" TO \"restorer\", or"), "{said}");
        target.version_num = 160_000;
        let (said, _) = told(&needs, &target, &Choices::default(), None);
        assert!(said.contains("GRANT \"odoo\" TO \"restorer\" WITH INHERIT TRUE, SET TRUE"), "{said}");
    }
}
