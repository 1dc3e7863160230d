//! After a backup: which databases that this host has backed up does the server not have any more? A signed
//! record says so, again every six days, so that `class.NAME.dropped` counts only what was seen again and
//! again.
//!
//! The server's own list decides. A database whose object ID is still there was renamed, and is not gone. A
//! database that this host never backed up may be somebody else's: nothing is said of it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::job::Job;
use crate::archive::absence::{Absence, KIND};
use crate::catalog::census::Census;
use crate::clock;
use crate::config::Config;
use crate::error::Result;
use crate::names::{SnapshotId, TenantName};
use crate::odoo::tenants::object_ids;

/// How often a record is stored while nothing changes.
const TOLD_EVERY: Duration = Duration::from_secs(6 * 86_400);

/// Looks, and stores a record where one is due; returns notes for a person.
///
/// # Errors
/// Those of the server, the store and the state directory: nothing is said then.
pub async fn take(job: &Job, config: &Config, stored: &BTreeSet<TenantName>) -> Result<Vec<String>> {
    let Some(system) = job.system_identifier.as_deref() else { return Ok(Vec::new()) };
    let file = Census::file(&config.state_dir, &config.instance);
    let mut census = Census::read(&file, system, job.repository.id())?;
    let before = census.absent.clone();
    let there = object_ids(&job.postgres).await?;
    let now = clock::now();
    let Seen { absent, back, renamed } = look(&mut census, &there, stored);
    let is_new = absent != census.absent || !back.is_empty();
    let is_due = census.told_at.is_none_or(|at| now.duration_since(at).unsigned_abs() >= TOLD_EVERY);
    if is_new || (is_due && !absent.is_empty()) {
        let look = SnapshotId::new(now, KIND);
        let record = Absence::new(job.origin.clone(), look, absent.clone(), back);
        job.repository.store_absence(&record, &job.signing).await?;
        census.told_at = Some(now);
        census.absent = absent.clone();
    }
    census.keep(&file)?;
    let renamed = renamed.into_iter().map(|(from, to)| {
        format!("database {from} is now called {to}: the backups of {from} stay under that name")
    });
    let gone = absent.difference(&before).map(|name| {
        format!(
            "database {name} is gone from the server; class.NAME.dropped says how long its last backup stays"
        )
    });
    Ok(renamed.chain(gone).collect())
}

/// What a look shows.
#[derive(Debug, Default, PartialEq)]
struct Seen {
    absent: BTreeSet<TenantName>,
    back: BTreeSet<TenantName>,
    renamed: BTreeMap<TenantName, String>,
}

/// Compares what is known with the server's list; `stored` were backed up just now.
fn look(census: &mut Census, there: &BTreeMap<String, u32>, stored: &BTreeSet<TenantName>) -> Seen {
    for name in stored {
        if let Some(oid) = there.get(name.as_str()) {
            census.known.insert(name.clone(), *oid);
        }
    }
    let mut seen = Seen::default();
    for (name, oid) in &census.known {
        if there.contains_key(name.as_str()) {
            continue;
        }
        match there.iter().find(|(_, other)| *other == oid) {
            Some((other, _)) => drop(seen.renamed.insert(name.clone(), other.clone())),
            None => drop(seen.absent.insert(name.clone())),
        }
    }
    // A renamed one is not known under its old name any more.
    census.known.retain(|name, _| !seen.renamed.contains_key(name));
    seen.back = census.absent.difference(&seen.absent).cloned().collect();
    seen
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(all: &[&str]) -> BTreeSet<TenantName> {
        all.iter().map(|name| name.parse().unwrap()).collect()
    }

    fn there(all: &[(&str, u32)]) -> BTreeMap<String, u32> {
        all.iter().map(|(name, oid)| ((*name).to_owned(), *oid)).collect()
    }

    #[test]
    fn only_what_was_backed_up_and_is_there_under_no_name_is_absent() {
        let mut census = Census::default();
        let nothing =
            look(&mut census, &there(&[("shop", 7), ("mill", 8), ("other", 9)]), &names(&["shop", "mill"]));
        assert_eq!(nothing, Seen::default());
        // `other` was never backed up; `mill` was renamed.
        let seen = look(&mut census, &there(&[("mill_old", 8)]), &names(&[]));
        assert_eq!((seen.absent, seen.renamed.len()), (names(&["shop"]), 1));
        census.absent = names(&["shop"]);
        let later = look(&mut census, &there(&[]), &names(&[]));
        assert_eq!((later.absent, later.back), (names(&["shop"]), names(&[])), "mill is known no more");
        let back = look(&mut census, &there(&[("shop", 12)]), &names(&["shop"]));
        assert_eq!((back.absent, back.back), (names(&[]), names(&["shop"])));
    }
}
