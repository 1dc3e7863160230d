//! Roles that a dump names but that do not exist on the server, or that we cannot act for: one sentence per
//! kind, then the names.

use std::collections::{BTreeMap, BTreeSet};

use super::lack::{Asked, Lack};
use super::needs::Needs;
use super::rights::Loads;
use super::target::Target;
use crate::postgres::quote::ident;

/// How many roles one sentence names.
const NAMED_MAX: usize = 20;

/// All such roles.
pub(super) fn roles(needs: &Needs, target: &Target, asked: &Asked<'_>) -> Vec<Lack> {
    let mut out = Vec::new();
    let missing = |role: &str| !target.roles.contains_key(role);
    let owner = asked.by_owner.unwrap_or(&asked.properties.owner);
    if missing(owner) {
        let other =
            if asked.by_owner.is_none() { ", or --owner ROLE to give everything to one role" } else { "" };
        let what = format!("role {owner}, which is to own everything, does not exist on the server");
        out.push(Lack { what, remedy: make([owner]) + other, soft: false });
    } else if !target.roles[owner] {
        let what = format!("role {} may not give objects to {owner}", target.us);
        out.push(Lack { what, remedy: member(target, &[owner]), soft: false });
    }
    let skips = asked.by_owner.is_some() || asked.choices.skip_missing_roles;
    let is_told = |role: &str| role == owner;
    let named = needs.named.iter().filter(|(role, _)| missing(role) && !skips && !is_told(role));
    let named: BTreeMap<&str, String> =
        named.map(|(role, what)| (role.as_str(), format!("{what} names it"))).collect();
    if !named.is_empty() {
        let remedy = make(named.keys().copied()) + ", or --skip-grants-of-missing-roles";
        out.push(Lack { what: without(&named), remedy, soft: true });
    }
    if asked.by_owner.is_some() {
        return out;
    }
    let of_database = asked.properties.grants.iter().flatten().filter_map(|grant| grant.role.as_ref());
    let of_database: BTreeSet<&String> = of_database.filter(|role| !role.starts_with("pg_")).collect();
    let granted = needs.granted.iter().chain(&needs.grantors).map(|role| (role, "it has privileges"));
    let owners = needs.owners.iter().chain(&needs.schema_owners).map(|role| (role, "it owns something"));
    let all = of_database.into_iter().map(|role| (role, "it has privileges on the database"));
    let all = all
        .chain(granted)
        .chain(owners)
        .filter(|(role, _)| missing(role) && !skips && !is_told(role) && !named.contains_key(role.as_str()));
    let all: BTreeMap<&str, String> = all.map(|(role, why)| (role.as_str(), why.to_owned())).collect();
    if !all.is_empty() {
        let remedy = format!(
            "{}, or --skip-grants-of-missing-roles, or --owner ROLE to give everything to one role; all roles \
             are in the snapshot of kind globals: lifeboat cat SNAPSHOT globals.sql",
            make(all.keys().copied())
        );
        out.push(Lack { what: without(&all), remedy, soft: false });
    }
    if !target.superuser {
        let kept = needs.owners.iter().filter(|_| asked.choices.keep_owners);
        let unable = kept.chain(&needs.grantors).filter(|role| !is_told(role));
        let unable: BTreeSet<&str> =
            unable.filter(|role| target.roles.get(*role) == Some(&false)).map(String::as_str).collect();
        let unable: Vec<&str> = unable.into_iter().collect();
        if !unable.is_empty() {
            let what = format!("role {} may not act for {}", target.us, unable.join(", "));
            out.push(Lack { what, remedy: member(target, &unable), soft: false });
        }
    }
    out
}

/// The roles whose objects will belong to the tenant's owner, as far as known before the load: one
/// sentence for those to which a flag gives their objects back, and one for those that do not exist on the
/// server.
pub fn given_away(needs: &Needs, target: &Target, asked: &Asked<'_>) -> Vec<String> {
    if asked.loads == Loads::ConfiguredRoleTrusted || asked.by_owner.is_some() {
        return Vec::new();
    }
    let others = needs.owners.iter().filter(|role| **role != asked.properties.owner).map(String::as_str);
    let (here, gone): (Vec<&str>, Vec<&str>) = others.partition(|role| target.roles.contains_key(*role));
    let here = Some(here).filter(|here| !here.is_empty() && !asked.choices.keep_owners).map(|here| {
        format!(
            "objects of {} will belong to the tenant's owner, whose code could change them during the load; \
             --keep-owners gives them back",
            here.join(", ")
        )
    });
    let gone = Some(gone).filter(|gone| !gone.is_empty()).map(|gone| {
        format!(
            "these roles do not exist on the server, so their objects will belong to the tenant's owner: {}",
            gone.join(", ")
        )
    });
    here.into_iter().chain(gone).collect()
}

/// One sentence for one role or for several.
fn without(roles: &BTreeMap<&str, String>) -> String {
    let mut told: Vec<String> =
        roles.iter().take(NAMED_MAX).map(|(role, why)| format!("{role} ({why})")).collect();
    if roles.len() > NAMED_MAX {
        told.push(format!("and {} more", roles.len() - NAMED_MAX));
    }
    let which = if roles.len() == 1 { "role" } else { "roles" };
    format!("the server lacks {which} {}", told.join(", "))
}

fn make<'a>(roles: impl IntoIterator<Item = &'a str>) -> String {
    let all = roles.into_iter().take(NAMED_MAX).map(|role| format!("CREATE ROLE {}", ident(role)));
    all.collect::<Vec<_>>().join("; ")
}

fn member(target: &Target, roles: &[&str]) -> String {
    let options = if target.version_num >= 160_000 { " WITH INHERIT TRUE, SET TRUE" } else { "" };
    let roles: Vec<String> = roles.iter().take(NAMED_MAX).map(|role| ident(role)).collect();
    format!("GRANT {} TO {}{options}, or restore as a superuser", roles.join(", "), ident(&target.us))
}
