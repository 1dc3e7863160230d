//! The decisions: what was found, and whether the tier lets it pass. Pure functions over values. What could
//! not be looked up is unknown, and blocks like a failure.

use std::time::Duration;

use crate::archive::evidence::gate::{Gate, GateResult, Outcome, Override};
use crate::archive::evidence::predicate::Release;
use crate::checkpoint::proof::Proof;
use crate::clock::{self, Timestamp, span_text};
use crate::config::{Checkpoint as Settings, Tier};
use crate::error::{Error, Kind, Result};
use crate::inventory::drills::StoredDrill;
use crate::inventory::pick::MARGIN;
use crate::names::{Lsn, bytes_text, counted};

/// What was found for one gate, before the tier and the overrides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What became of it.
    pub outcome: Outcome,
    /// In a sentence with its numbers.
    pub found: String,
}

impl Finding {
    /// It is as it must be.
    pub fn passed(found: impl Into<String>) -> Finding {
        Finding { outcome: Outcome::Passed, found: found.into() }
    }

    /// It is not.
    pub fn failed(found: impl Into<String>) -> Finding {
        Finding { outcome: Outcome::Failed, found: found.into() }
    }

    /// It could not be looked up.
    pub fn unknown(found: impl Into<String>) -> Finding {
        Finding { outcome: Outcome::Unknown, found: found.into() }
    }

    /// There is nothing to look at.
    pub fn not_required(found: impl Into<String>) -> Finding {
        Finding { outcome: Outcome::NotRequired, found: found.into() }
    }

    /// Failed where the error says that something is missing or wrong; unknown where it says that we could
    /// not look.
    pub fn of_error(e: &Error) -> Finding {
        match e.kind() {
            Kind::Unreachable | Kind::Denied | Kind::Interrupted | Kind::Io | Kind::Internal => {
                Finding::unknown(e.line())
            }
            _ => Finding::failed(e.line()),
        }
    }
}

/// The chain: what a restore needs is stored as it was signed.
pub fn chain(proof: &Proof) -> Finding {
    let all = counted(proof.objects, "object");
    if proof.damaged_count > 0 {
        let more = proof.damaged_count - proof.damaged.len() as u64;
        let more = if more > 0 { format!("; and {more} more") } else { String::new() };
        return Finding::failed(format!("{}{more}", proof.damaged.join("; ")));
    }
    if proof.unknown_count > 0 {
        let first = proof.unknown.first().map_or("", String::as_str);
        return Finding::unknown(format!(
            "{} of {all} could not be checked; the first: {first}",
            proof.unknown_count
        ));
    }
    Finding::passed(format!(
        "{all} are stored as they were signed; {} of them were read now ({}), the others have not changed since they were read",
        proof.read,
        bytes_text(proof.read_bytes)
    ))
}

/// The WAL of the point.
pub fn wal(point: Lsn, stored: Option<Lsn>, timeline: (u32, Option<u32>), waited: Duration) -> Finding {
    let waited = span_text(waited);
    match (stored, timeline) {
        (_, (made, now)) if now != Some(made) => Finding::failed(format!(
            "the server left timeline {made}, on which the point is{}: run the checkpoint again",
            now.map_or(String::new(), |now| format!(", and is now on timeline {now}"))
        )),
        (Some(stored), _) if stored >= point => {
            Finding::passed(format!("WAL is stored up to {stored}, {waited} after the point at {point}"))
        }
        (stored, _) => Finding::failed(format!(
            "the WAL of the point at {point} was not stored after {waited}; {}",
            stored.map_or("nothing of its segment is stored".to_owned(), |stored| format!(
                "WAL is stored up to {stored}"
            ))
        )),
    }
}

/// The last drill.
pub fn drill(newest: Result<Option<&StoredDrill>, &Error>, now: Timestamp, age_max: Duration) -> Finding {
    let drill = match newest {
        Err(e) => return Finding::unknown(format!("the drills could not be read: {}", e.line())),
        Ok(None) => {
            return Finding::failed(
                "no restore drill is stored that a trusted key signed; run restore-drill run",
            );
        }
        Ok(Some(drill)) => drill,
    };
    let age = match age(now, drill.time()) {
        Ok(age) => age,
        Err(ahead) => return ahead.of("the last drill"),
    };
    let text = format!("drill {} of {}: {}, {} ago", drill.id, drill.tenant, drill.verdict, span_text(age));
    match drill.verdict.as_str() {
        "passed" if age <= age_max => Finding::passed(text),
        "passed" => {
            Finding::failed(format!("{text}; the limit is {} (checkpoint.drill_age_max)", span_text(age_max)))
        }
        _ => Finding::failed(text),
    }
}

/// The age of the base backup.
pub fn base(point: Timestamp, now: Timestamp, age_max: Duration) -> Finding {
    let age = match age(now, point) {
        Ok(age) => age,
        Err(ahead) => return ahead.of("the base backup"),
    };
    let text = format!("the base backup is {} old", span_text(age));
    match age <= age_max {
        true => Finding::passed(text),
        false => Finding::failed(format!(
            "{text}; the limit is {} (checkpoint.base_age_max); run lifeboat backup --kind base",
            span_text(age_max)
        )),
    }
}

/// The freeze windows.
pub fn freeze(settings: &Settings, now: Timestamp) -> Finding {
    let open = settings.freezes.iter().find_map(|freeze| Some((freeze, freeze.open_at(now)?)));
    if let Some((freeze, until)) = open {
        let reason = freeze.reason.as_ref().map_or(String::new(), |reason| format!(" ({reason})"));
        return Finding::failed(format!(
            "freeze window {}{reason} is open until {}",
            freeze.name,
            clock::text(until)
        ));
    }
    let next =
        settings.freezes.iter().filter_map(|freeze| Some((freeze.next_after(now)?, &freeze.name))).min();
    match next {
        Some((at, name)) => {
            Finding::passed(format!("no window is open; the next is {name} at {}", clock::text(at)))
        }
        None if settings.freezes.is_empty() => Finding::passed("no freeze window is configured"),
        None => Finding::passed("no window is open, and none will open"),
    }
}

/// The regions of the repositories.
pub fn region(settings: &Settings, region: Option<&str>) -> Finding {
    let allowed = settings.regions_allowed.join(", ");
    match region {
        _ if settings.regions_allowed.is_empty() => Finding::not_required("every region is allowed"),
        None => Finding::unknown(format!("repository.region is not set; allowed: {allowed}")),
        Some(region) if settings.regions_allowed.iter().any(|one| one == region) => {
            Finding::passed(format!("the repository is in {region}"))
        }
        Some(region) => Finding::failed(format!("the repository is in {region}; allowed: {allowed}")),
    }
}

/// The approvals of the release.
pub fn approval(release: &Release, tier: &Tier) -> Finding {
    people(&release.approved_by, tier.approvals, "approval", "--approved-by")
}

/// The approval of a migration.
pub fn migration(release: &Release, tier: &Tier) -> Finding {
    match release.migrates {
        Some(false) => Finding::not_required("the release changes no module version of these tenants"),
        // What is not known may be one.
        Some(true) | None => {
            let (by, wanted) = (&release.migration_approved_by, tier.migration_approvals);
            let mut finding = people(by, wanted, "approval of the migration", "--migration-approved-by");
            if release.migrates.is_none() {
                finding.found += "; without --modules it is not known whether the release migrates";
            }
            finding
        }
    }
}

/// What stands for a name in the files of deploy/ until somebody replaces it.
const PLACEHOLDER: &str = "REPLACE";

fn people(who: &[String], wanted: usize, what: &str, flag: &str) -> Finding {
    let names = who.iter().map(|name| name.trim());
    let mut different: Vec<&str> = names.filter(|name| !name.is_empty() && *name != PLACEHOLDER).collect();
    different.sort_unstable();
    different.dedup();
    let text = match different.is_empty() {
        true => format!("no {what}"),
        false => format!("{} by {}", what, different.join(", ")),
    };
    match different.len() >= wanted {
        true => Finding::passed(text),
        false => Finding::failed(format!("{text}; the tier requires {wanted} ({flag} NAME)")),
    }
}

/// How far in the future something is that has happened.
struct Ahead(Duration);

impl Ahead {
    fn of(&self, what: &str) -> Finding {
        let ahead = span_text(self.0);
        Finding::unknown(format!(
            "the age of {what} is not known: it is dated {ahead} after now, so a clock is wrong"
        ))
    }
}

/// How old it is. What seems to come from the future is not new: a clock went back.
fn age(now: Timestamp, then: Timestamp) -> Result<Duration, Ahead> {
    let age = now.duration_since(then);
    match age < -MARGIN {
        true => Err(Ahead(age.unsigned_abs())),
        false => Ok(Duration::try_from(age).unwrap_or_default()),
    }
}

/// An override that was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AskedOverride {
    /// Which gate.
    pub gate: Gate,
    /// Who and why.
    pub by: Override,
}

/// The results, in the order of the gates: the tier says which are required and which may be overridden.
///
/// # Errors
/// `Usage` for an override that the tier does not allow, or of a gate that needs none.
pub fn results(
    findings: Vec<(Gate, Finding)>,
    tier: (&str, &Tier),
    overrides: &[AskedOverride],
) -> Result<Vec<GateResult>> {
    let (name, tier) = tier;
    for asked in overrides {
        if !tier.overridable.contains(asked.gate.as_str()) {
            let allowed: Vec<&str> = tier.overridable.iter().map(String::as_str).collect();
            let allowed = if allowed.is_empty() { "none".to_owned() } else { allowed.join(", ") };
            return Err(Error::new(
                Kind::Usage,
                format!("tier {name} does not allow an override of gate {}", asked.gate),
            )
            .because(format!("it allows overrides of: {allowed}"))
            .next("correct the cause, or use a tier that allows it (--tier)"));
        }
    }
    let mut results: Vec<GateResult> = findings
        .into_iter()
        .map(|(gate, finding)| {
            let required = !tier.not_required.contains(gate.as_str());
            let fails = matches!(finding.outcome, Outcome::Failed | Outcome::Unknown);
            let asked = overrides.iter().find(|asked| asked.gate == gate);
            match (fails, required) {
                (true, false) => GateResult {
                    gate,
                    outcome: Outcome::NotRequired,
                    found: format!("{} (tier {name} does not require it)", finding.found),
                    overridden: None,
                },
                _ => GateResult {
                    gate,
                    outcome: finding.outcome,
                    found: finding.found,
                    overridden: asked.filter(|_| fails).map(|asked| asked.by.clone()),
                },
            }
        })
        .collect();
    results.sort_by_key(|result| result.gate);
    Ok(results)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3_600);

    fn at(hour: i64) -> Timestamp {
        Timestamp::from_second(1_795_000_000 + hour * 3_600).unwrap()
    }

    fn outcome_of_drill(ended: i64, stored_at: i64, now: i64) -> Outcome {
        let drill = StoredDrill {
            reason: None,
            id: "d".to_owned(),
            tenant: "shop".parse().unwrap(),
            whole_instance: false,
            stored_at: at(stored_at),
            ended: at(ended),
            verdict: "passed".to_owned(),
            rpo_seconds: None,
            rto_seconds: None,
            state: None,
        };
        super::drill(Ok(Some(&drill)), at(now), 24 * HOUR).outcome
    }

    #[test]
    fn one_person_twice_a_blank_and_a_placeholder_are_one_approval() {
        let outcome = |names: &[&str], wanted| {
            let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
            people(&names, wanted, "approval", "--approved-by").outcome
        };
        assert_eq!(outcome(&["anna"], 1), Outcome::Passed);
        assert_eq!(outcome(&["REPLACE"], 1), Outcome::Failed);
        assert_eq!(outcome(&["anna", " anna ", "", "REPLACE"], 2), Outcome::Failed);
        assert_eq!(outcome(&["anna", "ben"], 2), Outcome::Passed);
    }

    #[test]
    fn an_old_drill_stays_old_and_the_future_is_not_new() {
        assert_eq!(outcome_of_drill(0, 0, 24), Outcome::Passed);
        assert_eq!(outcome_of_drill(0, 0, 25), Outcome::Failed);
        assert_eq!(outcome_of_drill(0, 1_000, 1_001), Outcome::Failed, "its report was stored again");
        assert_eq!(outcome_of_drill(1_000, 0, 25), Outcome::Failed, "its host's clock was ahead");
        assert_eq!(outcome_of_drill(10, 10, 0), Outcome::Unknown, "our clock went back");
        assert_eq!(base(at(10), at(0), 24 * HOUR).outcome, Outcome::Unknown);
        assert_eq!(base(at(0), at(0) - Duration::from_secs(60), HOUR).outcome, Outcome::Passed);
    }
}
