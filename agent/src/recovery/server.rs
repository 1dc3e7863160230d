//! The server that a restored tenant goes to: whether it can take it.

use std::collections::BTreeSet;

use crate::error::{Error, Kind, Result};
use crate::names::TenantName;
use crate::odoo::baseline::Baseline;
use crate::postgres::database::database_exists;
use crate::postgres::load::Choices;
use crate::postgres::load::lacks::{Asked, check};
use crate::postgres::load::needs::Needs;
use crate::postgres::load::rights::Loads;
use crate::postgres::load::sift::{Made, Sieve, sift};
use crate::postgres::load::target::Target;
use crate::postgres::load::toc::Entry;
use crate::postgres::server::{ServerInfo, server_info};
use crate::postgres::session::Session;
use crate::recovery::place::name_taken;

/// The server, where a database of this name can be made in it out of `what`, which is of the
/// version and major version given.
///
/// # Errors
/// `Refused` where it is a standby, older than that, or has such a database.
pub(super) async fn check_server(
    session: &mut Session,
    (what, version, major): (&str, &str, u32),
    database: &TenantName,
) -> Result<ServerInfo> {
    let server = server_info(session).await?;
    if server.is_standby {
        return Err(Error::new(
            Kind::Refused,
            format!("{} is a standby: nothing can be made there", session.place()),
        )
        .next("set postgres.host to the primary or to another cluster"));
    }
    if server.major < major {
        return Err(Error::new(
            Kind::Refused,
            format!("{what} is of PostgreSQL {version}, the target is {}", server.version),
        )
        .effect("an older server may not understand it; nothing was changed")
        .next("restore into a cluster of the same or a newer major version"));
    }
    match database_exists(session, database.as_str()).await? {
        true => Err(name_taken(database)),
        false => Ok(server),
    }
}

/// What is held against the server.
pub(super) struct Asking<'a> {
    pub(super) baseline: &'a Baseline,
    pub(super) by_owner: Option<&'a str>,
    pub(super) loads: Loads,
    pub(super) choices: &'a Choices,
}

/// A dump's entries, and the server that takes them.
pub(super) struct Seen {
    pub(super) entries: Vec<Entry>,
    pub(super) target: Target,
    /// What is restored otherwise than it was.
    pub(super) notes: Vec<String>,
}

impl Seen {
    /// The roles of the server, where policies and mappings of others are left out.
    pub(super) fn roles_to_skip(
        &self,
        by_owner: Option<&str>,
        choices: &Choices,
    ) -> Option<BTreeSet<String>> {
        let skips = by_owner.is_some() || choices.skip_missing_roles;
        skips.then(|| self.target.roles.keys().cloned().collect())
    }
}

/// Holds what the entries and the baseline need against what the server has.
///
/// # Errors
/// `Refused`, naming each thing that the server lacks, and its mend.
pub(super) async fn look(session: &mut Session, entries: Vec<Entry>, asked: &Asking<'_>) -> Result<Seen> {
    let Asking { baseline, by_owner, loads, choices } = *asked;
    let mut needs = Needs::of(&entries);
    needs.add_database(&baseline.properties);
    if entries.is_empty() {
        // The list of an older backup is read with the dump: the baseline knows the most frequent.
        needs.granted.extend(baseline.roles.iter().cloned());
        needs.extensions.extend(baseline.extensions.iter().map(|extension| extension.name.clone()));
    }
    let target = Target::look(session, &needs, &baseline.properties.encoding).await?;
    let versions: Vec<_> = baseline.extensions.iter().map(|e| (e.name.clone(), e.version.clone())).collect();
    let properties = &baseline.properties;
    let notes = check(&needs, &target, &Asked { properties, versions: &versions, by_owner, loads, choices })?;
    Ok(Seen { entries, target, notes })
}

/// What of the dump will not be made, as far as that can be said before.
///
/// # Errors
/// `Refused` where rows would be missing.
pub(super) fn will_miss(seen: &Seen, asked: &Asking<'_>) -> Result<Vec<String>> {
    let Asking { by_owner, loads, choices, .. } = *asked;
    let absent = seen.entries.iter().filter(|entry| entry.desc == "EXTENSION");
    let absent = absent.filter(|entry| !seen.target.extensions.contains_key(&entry.tag));
    let made = Made {
        languages: seen.target.languages(),
        roles: seen.roles_to_skip(by_owner, choices),
        absent: absent.map(|e| (e.tag.clone(), "the server does not have it".to_owned())).collect(),
        ..Made::assumed(&seen.entries)
    };
    let trusted = loads == Loads::ConfiguredRoleTrusted;
    let sifted = sift(&seen.entries, &made, Sieve { trusted, partial: choices.partial })?;
    Ok(sifted.left_out.iter().map(ToString::to_string).collect())
}
