//! Checks whether the target server can take a restored tenant.

use std::collections::BTreeSet;

use crate::error::{Error, Kind, Result};
use crate::names::TenantName;
use crate::odoo::baseline::Baseline;
use crate::postgres::database::database_exists;
use crate::postgres::load::lack::Asked;
use crate::postgres::load::lacks::check;
use crate::postgres::load::needs::Needs;
use crate::postgres::load::rights::Loads;
use crate::postgres::load::roles::given_away;
use crate::postgres::load::sift::{Made, Sieve, sift};
use crate::postgres::load::target::Target;
use crate::postgres::load::toc::Entry;
use crate::postgres::load::{Choices, DEFAULT_TABLESPACE};
use crate::postgres::server::{ServerInfo, server_info};
use crate::postgres::session::Session;
use crate::recovery::place::name_taken;

/// The server, if a database of this name can be created in it from `what`, which has the given version and
/// major version.
///
/// # Errors
/// `Refused` if it is a standby, is older, or already has such a database.
pub(super) async fn check_server(
    session: &mut Session,
    (what, version, major): (&str, &str, u32),
    database: &TenantName,
) -> Result<ServerInfo> {
    let server = server_info(session).await?;
    if server.is_standby {
        return Err(Error::new(
            Kind::Refused,
            format!("{} is a standby: nothing can be created there", session.place()),
        )
        .next("set postgres.host to the primary or to another cluster"));
    }
    if server.major < major {
        return Err(Error::new(
            Kind::Refused,
            format!("{what} is of PostgreSQL {version}, but the target is {}", server.version),
        )
        .effect("nothing was changed: an older server may not understand it")
        .next("restore into a cluster of the same or a newer major version"));
    }
    match database_exists(session, database.as_str()).await? {
        true => Err(name_taken(database)),
        false => Ok(server),
    }
}

/// What is compared with the server.
pub(super) struct Asking<'a> {
    pub(super) baseline: &'a Baseline,
    pub(super) by_owner: Option<&'a str>,
    pub(super) loads: Loads,
    pub(super) choices: &'a Choices,
}

/// A dump's entries, and the target server.
pub(super) struct Seen {
    pub(super) entries: Vec<Entry>,
    pub(super) target: Target,
    /// What will differ from the source.
    pub(super) notes: Vec<String>,
    /// What happens to owners, as far as known before the load; after the load the result is reported
    /// instead.
    pub(super) foreseen: Vec<String>,
    /// Access methods that the server does not have.
    no_access_method: BTreeSet<String>,
    /// Libraries that sessions of the database would load but the server does not have.
    pub(super) not_loaded: BTreeSet<String>,
}

impl Seen {
    /// The roles of the server, if policies and mappings of other roles are left out.
    pub(super) fn roles_to_skip(
        &self,
        by_owner: Option<&str>,
        choices: &Choices,
    ) -> Option<BTreeSet<String>> {
        let skips = by_owner.is_some() || choices.skip_missing_roles;
        skips.then(|| self.target.roles.keys().cloned().collect())
    }
}

/// Compares what the entries and the baseline need with what the server has.
///
/// # Errors
/// `Refused`, naming each thing that the server lacks and how to correct it.
pub(super) async fn look(session: &mut Session, entries: Vec<Entry>, asked: &Asking<'_>) -> Result<Seen> {
    let Asking { baseline, by_owner, loads, choices } = *asked;
    let mut needs = Needs::of(&entries);
    needs.add_database(&baseline.properties);
    if entries.is_empty() {
        // The list of an older backup is read with the dump: the baseline has the most common needs.
        needs.granted.extend(baseline.roles.iter().cloned());
        needs.extensions.extend(baseline.extensions.iter().map(|extension| extension.name.clone()));
    }
    let target = Target::look(session, &needs, &baseline.properties.encoding).await?;
    let versions: Vec<_> = baseline.extensions.iter().map(|e| (e.name.clone(), e.version.clone())).collect();
    let properties = &baseline.properties;
    let asked = Asked { properties, versions: &versions, by_owner, loads, choices };
    let notes = check(&needs, &target, &asked)?;
    let foreseen = given_away(&needs, &target, &asked);
    let methods = needs.access_methods.into_keys().filter(|method| !target.access_methods.contains(method));
    let no_access_method = methods.collect();
    let not_loaded =
        needs.loaded.into_keys().filter(|name| target.missing_libraries.contains(name)).collect();
    Ok(Seen { entries, target, notes, foreseen, no_access_method, not_loaded })
}

/// The tablespace of the new database, if it is not the server's default.
pub(super) fn own_tablespace(baseline: &Baseline, choices: &Choices) -> Option<String> {
    let own = choices.own_tablespace(&baseline.properties);
    Some(own.to_owned()).filter(|own| own != DEFAULT_TABLESPACE)
}

/// What of the dump will not be created, as far as that is known before.
///
/// # Errors
/// `Refused` if rows would be missing.
pub(super) fn will_miss(seen: &Seen, asked: &Asking<'_>) -> Result<Vec<String>> {
    let Asking { by_owner, loads, choices, .. } = *asked;
    let absent = seen.entries.iter().filter(|entry| entry.desc == "EXTENSION");
    let absent = absent.filter(|entry| !seen.target.extensions.contains_key(&entry.tag));
    let made = Made {
        languages: seen.target.languages(),
        roles: seen.roles_to_skip(by_owner, choices),
        no_access_method: seen.no_access_method.clone(),
        absent: absent.map(|e| (e.tag.clone(), "the server does not have it".to_owned())).collect(),
        ..Made::assumed(&seen.entries)
    };
    let trusted = loads == Loads::ConfiguredRoleTrusted;
    let sifted = sift(&seen.entries, &made, Sieve { trusted, partial: choices.partial })?;
    Ok(sifted.left_out.iter().map(ToString::to_string).collect())
}
