//! The release checkpoint: gates, cohorts, freeze windows and tiers.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Duration;

use jiff::civil::DateTime;
use jiff::tz::TimeZone;

use super::read::{Reader, tenant};
use crate::clock::Timestamp;
use crate::crontab::{self, Schedule};
use crate::error::Result;
use crate::names::TenantName;

/// The words of all gates, in order; `archive::evidence::gate` gives them their meaning.
pub const GATES: [&str; 11] = [
    "chain",
    "wal",
    "filestore",
    "drill",
    "base",
    "freeze",
    "region",
    "approval",
    "migration",
    "agent",
    "rehearsal",
];
/// Gates that nobody may override: without them there is nothing to go back to.
const NEVER: [&str; 3] = ["chain", "wal", "filestore"];

/// The release checkpoint.
#[derive(Clone, Debug, PartialEq)]
pub struct Checkpoint {
    /// The private key that signs evidence.
    pub key_file: Option<PathBuf>,
    /// Files of the public keys whose evidence is believed.
    pub trusted_key_files: Vec<PathBuf>,
    /// How long one may take.
    pub timeout: Duration,
    /// The tier of a release whose pipeline says none.
    pub tier: String,
    /// How old the last drill may be.
    pub drill_age_max: Duration,
    /// How old the base backup may be.
    pub base_age_max: Duration,
    /// The program that rehearses; found if `None`.
    pub drill_program: Option<PathBuf>,
    /// Plans of restore drills.
    pub drill_plans: Vec<PathBuf>,
    /// How many unchanged objects are read again.
    pub sample_files: usize,
    /// Allowed regions; empty allows all.
    pub regions_allowed: Vec<String>,
    /// The zone of the freeze windows.
    pub time_zone: String,
    /// Lists of tenants by name.
    pub cohorts: BTreeMap<String, Vec<TenantName>>,
    /// Freeze windows, by name.
    pub freezes: Vec<Freeze>,
    /// Tiers by name.
    pub tiers: BTreeMap<String, Tier>,
}

/// A freeze window.
#[derive(Clone, Debug, PartialEq)]
pub struct Freeze {
    /// Its name.
    pub name: String,
    /// When it is open.
    pub opens: Opens,
    /// Why.
    pub reason: Option<String>,
}

/// When a freeze window is open.
#[derive(Clone, Debug, PartialEq)]
pub enum Opens {
    /// Once, from the first moment up to the second, which is not in it.
    Once(Timestamp, Timestamp),
    /// From each moment that is due, for so long.
    Again(Box<Schedule>, Duration),
}

/// What a release of a tier needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tier {
    /// How many people must have approved the release.
    pub approvals: usize,
    /// How many must have approved its migration.
    pub migration_approvals: usize,
    /// Gates that do not block it.
    pub not_required: BTreeSet<String>,
    /// Gates that may be overridden.
    pub overridable: BTreeSet<String>,
}

pub(super) fn build(read: &Reader<'_>) -> Result<Checkpoint> {
    let time_zone = read.word("checkpoint.time_zone")?;
    let zone = crontab::zone(&time_zone).map_err(|why| read.refused("checkpoint.time_zone", &why))?;
    let cohort = |(name, own): (&str, Reader<'_>)| match own.is_given("cohort.*.tenants") {
        true => Ok((name.to_owned(), own.list("cohort.*.tenants", tenant)?)),
        false => Err(own.refused("cohort.*.tenants", "it is required")),
    };
    let mut tiers = BTreeMap::new();
    for (name, own) in read.named("tier") {
        tiers.insert(name.to_owned(), tier(&own)?);
    }
    if tiers.is_empty() {
        tiers = usual_tiers();
    }
    let tier = read.word("checkpoint.tier")?;
    if !tiers.contains_key(&tier) {
        let known: Vec<&str> = tiers.keys().map(String::as_str).collect();
        let why = format!("there is no [tier.{tier}]; known tiers: {}", known.join(", "));
        return Err(read.refused("checkpoint.tier", &why));
    }
    Ok(Checkpoint {
        key_file: read.path("checkpoint.key_file")?,
        trusted_key_files: read.paths("checkpoint.trusted_key_files")?,
        timeout: read.duration("checkpoint.timeout")?,
        tier,
        drill_age_max: read.duration("checkpoint.drill_age_max")?,
        base_age_max: read.duration("checkpoint.base_age_max")?,
        drill_program: read.path("checkpoint.drill_program")?,
        drill_plans: read.paths("checkpoint.drill_plans")?,
        sample_files: read.count("checkpoint.sample_files")?,
        regions_allowed: read.list("checkpoint.regions_allowed", |text| Ok(text.to_owned()))?,
        time_zone,
        cohorts: read.named("cohort").into_iter().map(cohort).collect::<Result<_>>()?,
        freezes: read
            .named("freeze")
            .into_iter()
            .map(|(name, own)| freeze(name, &own, &zone))
            .collect::<Result<_>>()?,
        tiers,
    })
}

fn tier(own: &Reader<'_>) -> Result<Tier> {
    let gate = |text: &str| match GATES.contains(&text) {
        true => Ok(text.to_owned()),
        false => Err("is no gate".to_owned()),
    };
    let overridable: BTreeSet<String> = own.list("tier.*.override", gate)?.into_iter().collect();
    if let Some(never) = NEVER.iter().find(|never| overridable.contains(**never)) {
        let why = format!("{never} cannot be overridden: without it there is nothing to go back to");
        return Err(own.refused("tier.*.override", &why));
    }
    let not_required: BTreeSet<String> = own.list("tier.*.not_required", gate)?.into_iter().collect();
    if let Some(never) = NEVER.iter().find(|never| not_required.contains(**never)) {
        let why = format!("{never} is always required: without it there is nothing to go back to");
        return Err(own.refused("tier.*.not_required", &why));
    }
    if not_required.contains("rehearsal") {
        let why =
            "rehearsal is looked at only where a call asks for it, and then it must pass or be overridden";
        return Err(own.refused("tier.*.not_required", why));
    }
    Ok(Tier {
        approvals: own.count("tier.*.approvals")?,
        migration_approvals: own.count("tier.*.migration_approvals")?,
        not_required,
        overridable,
    })
}

/// The tiers of a configuration that has none of its own.
fn usual_tiers() -> BTreeMap<String, Tier> {
    let tier = |approvals, overridable: &[&str]| Tier {
        approvals,
        migration_approvals: 1,
        not_required: BTreeSet::new(),
        overridable: overridable.iter().map(|gate| (*gate).to_owned()).collect(),
    };
    BTreeMap::from([
        ("emergency".to_owned(), tier(1, &["drill", "base", "freeze", "agent"])),
        ("standard".to_owned(), tier(1, &[])),
        ("major".to_owned(), tier(2, &[])),
    ])
}

fn freeze(name: &str, own: &Reader<'_>, zone: &TimeZone) -> Result<Freeze> {
    let (from, to) = (moment(own, "freeze.*.from", zone)?, moment(own, "freeze.*.to", zone)?);
    let line = own.text("freeze.*.schedule")?;
    let lasts = own.is_given("freeze.*.lasts");
    let opens = match (from, to, line) {
        (Some(from), Some(to), None) if !lasts => {
            if from >= to {
                return Err(own.refused("freeze.*.to", "it must be after from"));
            }
            Opens::Once(from, to)
        }
        (None, None, Some(line)) if lasts => {
            let schedule = Schedule::parse(&line, zone.clone())
                .map_err(|why| own.refused("freeze.*.schedule", &format!("it {why}")))?;
            Opens::Again(Box::new(schedule), own.duration("freeze.*.lasts")?)
        }
        (from, ..) => {
            let key = if from.is_some() { "freeze.*.to" } else { "freeze.*.schedule" };
            return Err(own.refused(key, "a freeze window has from and to, or schedule and lasts"));
        }
    };
    Ok(Freeze { name: name.to_owned(), opens, reason: own.text("freeze.*.reason")? })
}

fn moment(own: &Reader<'_>, key: &'static str, zone: &TimeZone) -> Result<Option<Timestamp>> {
    let Some(text) = own.text(key)? else { return Ok(None) };
    let parsed = text.parse::<DateTime>().ok().and_then(|at| at.to_zoned(zone.clone()).ok());
    let why = "it takes a date and a time without zone, such as \"2026-11-27T00:00\"";
    parsed.map(|at| Some(at.timestamp())).ok_or_else(|| own.refused(key, why))
}

impl Freeze {
    /// Until when it is open at this moment; `None` where it is not.
    pub fn open_at(&self, now: Timestamp) -> Option<Timestamp> {
        match &self.opens {
            Opens::Once(from, to) => (*from <= now && now < *to).then_some(*to),
            Opens::Again(schedule, lasts) => {
                // The latest beginning that can still be open; windows may overlap.
                let mut begun = now.checked_sub(*lasts).ok()?;
                let mut until = None;
                while let Some(next) = schedule.next_after(begun).filter(|next| *next <= now) {
                    until = next.checked_add(*lasts).ok();
                    begun = next;
                }
                until
            }
        }
    }

    /// The first moment after this one at which it opens; `None` where it never does again.
    pub fn next_after(&self, now: Timestamp) -> Option<Timestamp> {
        match &self.opens {
            Opens::Once(from, _) => (*from > now).then_some(*from),
            Opens::Again(schedule, _) => schedule.next_after(now),
        }
    }
}
