//! Whether the drills of a class are as often, and restore as fast, as it promises.

use std::time::Duration;

use super::{Finding, Outcome, span};
use crate::clock::{Timestamp, span_text};
use crate::config::Class;
use crate::error::Result;
use crate::inventory::drills::{Recent, StoredDrill};
use crate::names::{TenantName, counted};

/// A drill that passed.
pub const PASSED: &str = "passed";

/// How old the newest drill of these tenants is, how it ended, and how long it took.
pub fn findings(
    class: &Class,
    tenants: &[&TenantName],
    drills: &Result<Recent>,
    now: Timestamp,
) -> Vec<Finding> {
    if class.drill_every.is_none() && class.rto.is_none() {
        return Vec::new();
    }
    let recent = match drills {
        Ok(recent) => recent,
        Err(e) => return vec![Finding::unknown("drill", "the reports could not be read", e)],
    };
    let newest = recent.drills.iter().find(|drill| tenants.contains(&&drill.tenant));
    let mut all = Vec::new();
    all.extend(class.drill_every.map(|every| cadence(every, newest, recent, now)));
    // The time of a whole instance says nothing of one tenant.
    let of_tenant = |drill: &&StoredDrill| tenants.contains(&&drill.tenant) && !drill.whole_instance;
    let of_tenant = recent.drills.iter().find(of_tenant);
    all.extend(class.rto.map(|rto| recovery(rto, of_tenant, recent)));
    all
}

fn cadence(every: Duration, newest: Option<&StoredDrill>, recent: &Recent, now: Timestamp) -> Finding {
    let promised = format!("drill_every = {}", span(every));
    let next =
        "run restore-drill run PLAN for a tenant of this class (docs/installation.md, \"The first drill\")";
    let Some(drill) = newest else {
        let oldest = recent.drills.last().map(|drill| now.duration_since(drill.stored_at));
        let reach_back = oldest.is_some_and(|age| Duration::try_from(age).is_ok_and(|age| age > every));
        return no_drill("drill", &promised, recent, recent.is_all || reach_back).next(next);
    };
    let age = Duration::try_from(now.duration_since(drill.time())).unwrap_or_default();
    let text =
        format!("{promised}; the last drill, of {}, {} {} ago", drill.tenant, said(drill), span_text(age));
    match drill.verdict == PASSED && age <= every {
        true => Finding::new("drill", Outcome::Ok, text),
        false => Finding::new("drill", Outcome::Fail, text).next(next),
    }
}

/// How a drill ended, in words.
fn said(drill: &StoredDrill) -> String {
    match drill.verdict.as_str() {
        PASSED => "passed".to_owned(),
        other => format!("ended with {other}"),
    }
}

/// No report is of the class. `is_known`: an unread report would not change that.
fn no_drill(about: &'static str, promised: &str, recent: &Recent, is_known: bool) -> Finding {
    match is_known {
        true => {
            Finding::new(about, Outcome::Fail, format!("{promised}; no drill of these tenants is stored"))
        }
        false => {
            let count = counted(recent.drills.len() as u64, "newest report");
            let text = format!("{promised}; the {count} that were read are of other tenants");
            Finding::new(about, Outcome::Unknown, text)
        }
    }
}

/// The recovery time that a drill measured.
fn recovery(rto: Duration, newest: Option<&StoredDrill>, recent: &Recent) -> Finding {
    let promised = format!("rto = {}", span(rto));
    let Some(drill) = newest else {
        let finding = no_drill("recovery", &promised, recent, recent.is_all);
        return Finding { outcome: Outcome::Unknown, ..finding };
    };
    let took = drill.rto_seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    match took {
        None => {
            let text = format!("{promised}; the last drill, of {}, measured no time", drill.tenant);
            Finding::new("recovery", Outcome::Unknown, text)
        }
        Some(took) => {
            let text = format!("{promised}; the last drill restored {} in {}", drill.tenant, span_text(took));
            let outcome = if took <= rto { Outcome::Ok } else { Outcome::Fail };
            Finding::new("recovery", outcome, text)
        }
    }
}
