//! What a dump needs held against what the server has: known before anything is fetched. Pure.

use std::collections::BTreeSet;

use serde::Serialize;

use super::needs::Needs;
use super::rights::Loads;
use super::target::Target;
use super::{Choices, PARTIAL};
use crate::error::{Error, Kind, Result};
use crate::postgres::create::create_statement;
use crate::postgres::database::DatabaseProperties;
use crate::postgres::quote::{ident, literal};

/// Lacks that an error tells.
const TOLD_MAX: usize = 20;

/// Something that the server lacks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Lack {
    /// What, in a sentence without a full stop.
    pub what: String,
    /// What mends it.
    pub mend: String,
    /// Whether everything else can be restored without it.
    #[serde(skip)]
    pub soft: bool,
}

/// What is asked.
pub struct Asked<'a> {
    /// The database as it was.
    pub properties: &'a DatabaseProperties,
    /// Its extensions with their versions.
    pub versions: &'a [(String, Option<String>)],
    /// The role that gets everything, where one was named.
    pub by_owner: Option<&'a str>,
    /// As whom the dump is loaded.
    pub loads: Loads,
    /// What a person decided.
    pub choices: &'a Choices,
}

/// What a person has to know: what is restored otherwise than it was.
///
/// # Errors
/// `Refused`, naming each lack and its mend.
pub fn check(needs: &Needs, target: &Target, asked: &Asked<'_>) -> Result<Vec<String>> {
    let lacks = lacks(needs, target, asked);
    let mut notes = notes(needs, target, asked);
    let (soft, hard): (Vec<Lack>, Vec<Lack>) =
        lacks.into_iter().partition(|l| l.soft && asked.choices.partial);
    if hard.is_empty() {
        notes.extend(soft.iter().map(|lack| {
            format!("{}: what needs it will not be restored (to restore it: {})", lack.what, lack.mend)
        }));
        return Ok(notes);
    }
    let told = hard.iter().take(TOLD_MAX).map(|lack| format!("{}: {}", lack.what, lack.mend));
    let more =
        if hard.len() > TOLD_MAX { format!("\nand {} more", hard.len() - TOLD_MAX) } else { String::new() };
    let things = if hard.len() == 1 { "something".to_owned() } else { format!("{} things", hard.len()) };
    let mut error =
        Error::new(Kind::Refused, format!("this tenant needs {things} that the server does not have"))
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
    let mut lack = |soft: bool, what: String, mend: String| out.push(Lack { what, mend, soft });
    let us = ident(&target.us);
    if !target.createdb {
        lack(
            false,
            format!("role {} may not create databases", target.us),
            format!("ALTER ROLE {us} CREATEDB"),
        );
    }
    if let Err(e) = create_statement("x", None, asked.properties, target.version_num / 10_000) {
        let mend = e.next_text().unwrap_or("restore into another server").to_owned();
        lack(false, e.what().to_owned(), mend);
    }
    roles(needs, target, asked, &mut lack);
    for old in &needs.tablespaces {
        let Some(new) = asked.choices.tablespace(old) else { continue };
        let mend = format!(
            "--tablespace-map {old}=OTHER, or --no-tablespaces, or create it: CREATE TABLESPACE {} LOCATION 'DIRECTORY'",
            ident(new)
        );
        match target.tablespaces.get(new) {
            None => lack(false, format!("the server has no tablespace {new}"), mend),
            Some(found) => {
                let by_own_role = asked.loads == Loads::OwnRole && asked.choices.maps_nothing();
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
            // Managed servers let some of their roles make more than PostgreSQL itself would.
            Some(offer) if offer.superusers && !target.superuser && !target.createrole => lack(
                true,
                format!("role {} may not create extension {name}", target.us),
                "restore as a superuser".into(),
            ),
            Some(_) => {}
        }
    }
    for name in &target.missing_collations {
        lack(
            true,
            format!("the server has no collation {name}"),
            "install the locale on the database server, then as a superuser in template1 and postgres: \
             SELECT pg_import_system_collations('pg_catalog')"
                .into(),
        );
    }
    for (probe, said) in &target.failed {
        let mend = "install on the database server what it needs: a locale, a build with ICU, or a file in tsearch_data";
        lack(!probe.of_database, format!("the server cannot create {}: {said}", probe.what), mend.into());
    }
    out
}

fn roles(needs: &Needs, target: &Target, asked: &Asked<'_>, lack: &mut impl FnMut(bool, String, String)) {
    let missing = |role: &str| !target.roles.contains_key(role);
    let make = |role: &str| format!("CREATE ROLE {}", ident(role));
    let owner = asked.by_owner.unwrap_or(&asked.properties.owner);
    let mut told = BTreeSet::new();
    if missing(owner) {
        told.insert(owner);
        let other =
            if asked.by_owner.is_none() { ", or --owner ROLE to give everything to one role" } else { "" };
        lack(
            false,
            format!("the server has no role {owner}, which will own everything"),
            make(owner) + other,
        );
    } else if !target.roles[owner] {
        told.insert(owner);
        lack(false, format!("role {} cannot give anything to {owner}", target.us), member(target, owner));
    }
    for (role, what) in &needs.named {
        let skipped = asked.by_owner.is_some() || asked.choices.skip_missing_roles;
        if missing(role) && !skipped && told.insert(role) {
            let mend = make(role) + ", or --skip-grants-of-missing-roles";
            lack(true, format!("the server has no role {role}, which {what} names"), mend);
        }
    }
    if asked.by_owner.is_some() {
        return;
    }
    let of_database = asked.properties.grants.iter().flatten().filter_map(|grant| grant.role.as_ref());
    let of_database: BTreeSet<&String> = of_database.filter(|role| !role.starts_with("pg_")).collect();
    let owners = needs.owners.iter().chain(&needs.schema_owners).map(|role| (role, "it owns something"));
    let granted = needs.granted.iter().chain(&needs.grantors).map(|role| (role, "it has rights"));
    let granted = granted.chain(of_database.into_iter().map(|role| (role, "it has rights on the database")));
    for (role, why) in owners.chain(granted) {
        if !missing(role) || asked.choices.skip_missing_roles || !told.insert(role) {
            continue;
        }
        lack(
            false,
            format!("the server has no role {role} ({why})"),
            format!(
                "{}, or --skip-grants-of-missing-roles, or --owner ROLE to give everything to one role; all roles \
                 are in the snapshot of kind globals: lifeboat cat SNAPSHOT globals.sql",
                make(role)
            ),
        );
    }
    if target.superuser {
        return;
    }
    let kept = needs.owners.iter().filter(|_| asked.choices.keep_owners);
    for role in kept.chain(&needs.grantors) {
        if target.roles.get(role) == Some(&false) && told.insert(role) {
            lack(false, format!("role {} cannot act for {role}", target.us), member(target, role));
        }
    }
}

fn member(target: &Target, role: &str) -> String {
    let options = if target.version_num >= 160_000 { " WITH INHERIT TRUE, SET TRUE" } else { "" };
    format!("GRANT {} TO {}{options}, or restore as a superuser", ident(role), ident(&target.us))
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
    if asked.loads != Loads::ConfiguredRoleTrusted && asked.by_owner.is_none() && !asked.choices.keep_owners {
        let others: Vec<&str> =
            needs.owners.iter().filter(|role| **role != asked.properties.owner).map(String::as_str).collect();
        if !others.is_empty() {
            out.push(format!(
                "objects of {} will belong to the tenant's owner, whose code could change them during the load; \
                 --keep-owners gives them back",
                others.join(", ")
            ));
        }
    }
    let unused = asked.choices.tablespaces.keys().filter(|old| !needs.tablespaces.contains(*old));
    out.extend(unused.map(|old| {
        format!("nothing lies in tablespace {}: its --tablespace-map has no effect", literal(old))
    }));
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::postgres::database::Grant;
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
    fn each_lack_is_told_with_its_mend_and_each_flag_mends_its_own() {
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
            "role bi (it owns",
            "role reader",
            "role probe",
            "tablespace fast",
            "extension postgis",
            "role clerk",
        ] {
            assert!(said.contains(lack), "{lack}: {said}");
        }
        for mend in
            ["CREATE ROLE \"probe\", or --skip-grants", "--tablespace-map fast=OTHER", "install the package"]
        {
            assert!(said.contains(mend), "{mend}: {said}");
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
        assert!(notes.contains("extension postgis: what needs it will not be restored"), "{notes}");
        assert!(notes.contains("objects of bi will belong to the tenant's owner"), "{notes}");
        // With one owner for everything rights are left out, policies of roles that are not here, too.
        let none = Choices { no_tablespaces: true, ..Choices::default() };
        let (said, _) = told(&needs, &target(), &none, Some("odoo"));
        assert!(!said.contains("reader") && !said.contains("probe") && !said.contains("clerk"), "{said}");
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
