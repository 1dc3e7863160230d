//! A look as metrics, for the textfile collector of a monitoring agent.

use std::fmt::Write as _;
use std::path::Path;

use crate::clock::Timestamp;
use crate::disk;
use crate::error::Result;
use crate::release::watch::judge::Verdict;
use crate::release::watch::run::Look;

/// Replaces the file: a reader sees the metrics of one look, whole.
///
/// # Errors
/// Where it cannot be written.
pub fn write(file: &Path, look: &Look) -> Result<()> {
    disk::replace_shared(file, page(look).as_bytes())
}

/// The page, in Prometheus' text format.
pub fn page(look: &Look) -> String {
    let mut page = String::new();
    let release = escaped(look.release.as_str());
    let seconds = |time: Timestamp| time.as_microsecond() as f64 / 1e6;
    head(&mut page, "look_timestamp_seconds", "When the release was last looked at");
    line(&mut page, "look_timestamp_seconds", &[("release", &release)], seconds(look.at));
    head(&mut page, "verdict", "1 for what the last look means: continue, pause or roll-back");
    for verdict in [Verdict::Continue, Verdict::Pause, Verdict::RollBack] {
        let labels = [("release", release.as_str()), ("verdict", verdict.as_str())];
        line(&mut page, "verdict", &labels, f64::from(u8::from(look.verdict == verdict)));
    }
    head(&mut page, "not_known", "How many indicators of the tenant could not be read at the last look");
    for (tenant, found) in &look.tenants {
        let tenant = escaped(tenant.as_str());
        line(&mut page, "not_known", &[("tenant", &tenant)], found.not_known.len() as f64);
    }
    head(&mut page, "count", "Documents, failures or waits of the tenant: since the release, and compared");
    for (tenant, found) in &look.tenants {
        let tenant = escaped(tenant.as_str());
        for finding in &found.findings {
            let counts = [
                ("now", Some(finding.counts.now)),
                ("before", Some(finding.counts.before)),
                ("week", finding.counts.week),
            ];
            for (time, count) in counts {
                let Some(count) = count else { continue };
                let indicator = finding.indicator.as_str();
                let labels = [("tenant", tenant.as_str()), ("indicator", indicator), ("time", time)];
                line(&mut page, "count", &labels, count as f64);
            }
        }
    }
    page
}

fn head(page: &mut String, name: &str, help: &str) {
    // Writing to a String cannot fail.
    let _ = writeln!(page, "# HELP lifeboat_release_{name} {help}\n# TYPE lifeboat_release_{name} gauge");
}

fn line(page: &mut String, name: &str, labels: &[(&str, &str)], value: f64) {
    let labels: Vec<String> = labels.iter().map(|(name, value)| format!("{name}=\"{value}\"")).collect();
    let _ = writeln!(page, "lifeboat_release_{name}{{{}}} {value}", labels.join(","));
}

fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::odoo::business::Document;
    use crate::release::made_up::at;
    use crate::release::watch::judge::{Finding, Indicator, TenantLook};
    use crate::release::watch::series::Counts;

    #[test]
    fn the_page_has_each_number_with_its_tenant() {
        let finding = Finding {
            indicator: Indicator::Documents(Document::SaleOrder),
            counts: Counts { now: 3, before: 4, week: None },
            expected: None,
            drop_percent: None,
            verdict: Verdict::Continue,
            why: None,
        };
        let found = TenantLook { findings: vec![finding], not_known: vec!["payments: x".into()] };
        let look = Look {
            release: "7".parse().unwrap(),
            since: at(0),
            at: at(60),
            covers_seconds: 60,
            number: 1,
            verdict: Verdict::Pause,
            tenants: BTreeMap::from([("a\"b".parse().unwrap(), found)]),
        };
        let page = page(&look);
        for expected in [
            "lifeboat_release_look_timestamp_seconds{release=\"7\"} 1795000060",
            "lifeboat_release_verdict{release=\"7\",verdict=\"pause\"} 1",
            "lifeboat_release_verdict{release=\"7\",verdict=\"continue\"} 0",
            "lifeboat_release_not_known{tenant=\"a\\\"b\"} 1",
            "lifeboat_release_count{tenant=\"a\\\"b\",indicator=\"sale-order\",time=\"before\"} 4",
        ] {
            assert!(page.lines().any(|line| line == expected), "{expected} is not in\n{page}");
        }
        assert!(!page.contains("time=\"week\""), "what is not known is not 0");
    }
}
