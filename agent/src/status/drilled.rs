//! What the stored drills say: a tenant whose newest drill did not pass, and a class whose drills are
//! overdue.

use std::time::Duration;

use crate::clock::{self, Timestamp, later, span_text};
use crate::config::{Config, class_of};
use crate::error::{Result, shown};
use crate::inventory::drills::{Recent, StoredDrill};
use crate::names::TenantName;

/// The newest drill of each of these tenants, as far as it was read; the newest first.
pub fn newest(recent: &Recent, tenants: &[&TenantName]) -> Vec<StoredDrill> {
    let mut found: Vec<StoredDrill> = Vec::new();
    for drill in recent.drills.iter().filter(|drill| tenants.contains(&&drill.tenant)) {
        if found.iter().all(|other| other.tenant != drill.tenant) {
            found.push(drill.clone());
        }
    }
    found
}

/// What a person must look at, in sentences. `since` is when the oldest state was stored: before that, no
/// drill was possible.
pub fn problems(
    config: &Config,
    drills: &Result<Recent>,
    tenants: &[&TenantName],
    since: Option<Timestamp>,
    now: Timestamp,
) -> Vec<String> {
    let recent = match drills {
        Ok(recent) => recent,
        Err(e) => return vec![format!("it is not known how the last drills ended: {}", e.what())],
    };
    let mut all: Vec<String> = newest(recent, tenants).iter().filter_map(not_passed).collect();
    all.extend(by_class(config, recent, tenants, since, now).into_iter().filter_map(|(_, says)| says));
    all
}

/// Each class that promises drills and has tenants, and a sentence if its drills are overdue.
pub fn by_class<'c>(
    config: &'c Config,
    recent: &Recent,
    tenants: &[&TenantName],
    since: Option<Timestamp>,
    now: Timestamp,
) -> Vec<(&'c str, Option<String>)> {
    let mut all = Vec::new();
    for (name, class) in &config.classes {
        let Some(every) = class.drill_every else { continue };
        let is_own = |tenant: &TenantName| class_of(&config.classes, tenant).is_ok_and(|(of, _)| of == name);
        if tenants.iter().any(|tenant| is_own(tenant)) {
            let is_of_class =
                |drill: &&StoredDrill| tenants.contains(&&drill.tenant) && is_own(&drill.tenant);
            let last = recent.drills.iter().find(is_of_class);
            let says = overdue(name, every, last, since.filter(|_| recent.is_all), now);
            all.push((name.as_str(), says));
        }
    }
    all
}

/// A sentence about a drill that did not pass.
fn not_passed(drill: &StoredDrill) -> Option<String> {
    let how = match drill.verdict.as_str() {
        "passed" => return None,
        "failed" => "failed",
        "could-not-run" => "could not run, so it proved nothing",
        "missed-objective" => "missed its objective",
        _ => "did not pass",
    };
    let reason = drill.reason.as_ref().map(|reason| format!(": {}", shown::foreign(reason)));
    let (tenant, at, id) = (&drill.tenant, clock::text(drill.time()), &drill.id);
    Some(format!(
        "the newest restore drill of {tenant}, at {at}, {how}{}; restore-drill show {id}",
        reason.unwrap_or_default()
    ))
}

/// A sentence if the last drill of a class is older than it promises; or if there is none although there was
/// time for one.
fn overdue(
    class: &str,
    every: Duration,
    last: Option<&StoredDrill>,
    since: Option<Timestamp>,
    now: Timestamp,
) -> Option<String> {
    let promised = format!("class {class} promises a restore drill every {}", span_text(every));
    match (last, since) {
        (Some(last), _) if later(last.time(), every) < now => {
            let (tenant, at) = (&last.tenant, clock::text(last.time()));
            Some(format!(
                "{promised}, and the last one, of {tenant}, was at {at}: run restore-drill run PLAN"
            ))
        }
        (None, Some(since)) if later(since, every) < now => {
            Some(format!("{promised}, and none is stored: run restore-drill run PLAN"))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Class, Inputs};

    const DAY: u64 = 86_400;

    fn at(day: u64) -> Timestamp {
        later(Timestamp::UNIX_EPOCH, Duration::from_secs(day * DAY))
    }

    fn drill(tenant: &str, day: u64, verdict: &str) -> StoredDrill {
        StoredDrill {
            id: format!("drill-of-{tenant}-{day}"),
            tenant: tenant.parse().unwrap(),
            whole_instance: false,
            stored_at: at(day),
            ended: at(day),
            verdict: verdict.to_owned(),
            reason: Some("check ACC01: 2 violations\u{1b}[31m".to_owned()),
            rpo_seconds: None,
            rto_seconds: None,
            state: None,
        }
    }

    fn said(config: &Config, drills: Vec<StoredDrill>, since: u64) -> Vec<String> {
        let names: Vec<TenantName> = ["shop", "mill"].map(|name| name.parse().unwrap()).into();
        let tenants: Vec<&TenantName> = names.iter().collect();
        let mut drills = drills;
        drills.sort_by_key(|drill| std::cmp::Reverse(drill.stored_at));
        problems(config, &Ok(Recent { drills, is_all: true }), &tenants, Some(at(since)), at(100))
    }

    fn config() -> Config {
        let text = "instance = 'prod'\n[repository]\nurl = 'file:///r'\n";
        Config::parse("/etc/lifeboat.toml".as_ref(), text, &Inputs::default()).unwrap()
    }

    #[test]
    fn the_newest_drill_of_a_tenant_counts_and_only_a_passed_one_is_silent() {
        let config = config();
        let all = said(&config, vec![drill("shop", 1, "failed"), drill("shop", 2, "passed")], 0);
        assert!(all.is_empty(), "{all:?}");
        assert!(said(&config, vec![drill("gone", 2, "failed")], 0).is_empty(), "nothing of it is stored");
        for (verdict, how) in [
            ("failed", "failed: check ACC01: 2 violations"),
            ("could-not-run", "could not run, so it proved nothing: check"),
            ("missed-objective", "missed its objective: check"),
            ("new-word", "did not pass: check"),
        ] {
            let all = said(&config, vec![drill("shop", 1, "passed"), drill("shop", 2, verdict)], 0);
            assert!(all.len() == 1 && all[0].contains(how), "{all:?}");
            assert!(all[0].ends_with("; restore-drill show drill-of-shop-2"), "{all:?}");
            assert!(!all[0].contains('\u{1b}'), "{all:?}");
        }
    }

    #[test]
    fn a_class_is_overdue_if_there_was_time_for_a_drill() {
        let mut config = config();
        let class = Class { tenants: vec!["*".parse().unwrap()], ..Class::default() };
        let class = Class { drill_every: Some(Duration::from_secs(7 * DAY)), ..class };
        config.classes.insert("gold".to_owned(), class);
        assert!(said(&config, vec![drill("mill", 94, "passed")], 0).is_empty());
        let late = said(&config, vec![drill("mill", 90, "passed")], 0);
        assert!(late[0].starts_with("class gold promises a restore drill every 7 d"), "{late:?}");
        assert!(late[0].contains("and the last one, of mill, was at 1970-04-01"), "{late:?}");
        let none = said(&config, vec![], 0);
        assert!(none[0].contains("and none is stored"), "{none:?}");
        assert!(said(&config, vec![], 95).is_empty(), "the first backup is five days old");
    }
}
