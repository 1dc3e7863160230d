//! What `lifeboat release watch` says: a line or more for each look, and the verdict.

use super::rollback_text;
use super::screen::{Text, Tone};
use crate::clock;
use crate::release::plan::RollbackPlan;
use crate::release::watch::judge::{Finding, Indicator, Verdict};
use crate::release::watch::run::Look;

/// One look: what moved since the look before.
pub fn line(look: &Look, before: Option<&Look>) -> String {
    let minutes = look.covers_seconds / 60;
    let seconds = look.covers_seconds % 60;
    let mut out = format!("{}  {minutes} min {seconds} s since the release: ", clock::text(look.at));
    out += look.verdict.as_str();
    let old = |tenant, finding: &Finding| {
        let tenant = before?.tenants.get(tenant)?;
        tenant.findings.iter().find(|one| one.indicator == finding.indicator).cloned()
    };
    for (tenant, found) in &look.tenants {
        let moved = found.findings.iter().filter(|finding| {
            old(tenant, finding).as_ref() != Some(*finding) && (before.is_some() || finding.counts.now > 0)
        });
        let moved: Vec<String> = moved.map(counts).collect();
        if !moved.is_empty() {
            out += &format!("\n  {tenant}: {}", moved.join("; "));
        }
        for why in found.findings.iter().filter_map(|finding| finding.why.as_ref()) {
            out += &format!("\n  WARN {tenant}: {why}");
        }
        for unknown in &found.not_known {
            out += &format!("\n  WARN {tenant}: not known: {unknown}");
        }
    }
    out
}

fn counts(finding: &Finding) -> String {
    let counts = finding.counts;
    let week = counts.week.map_or(String::new(), |week| format!(", a week before {week}"));
    match finding.indicator {
        Indicator::LockWaits => finding.indicator.counted(counts.now),
        indicator => format!("{} (before {}{week})", indicator.counted(counts.now), counts.before),
    }
}

/// Whether anything follows from the documents of any tenant.
fn compares(look: &Look) -> bool {
    look.tenants.values().flat_map(|found| &found.findings).any(|finding| finding.expected.is_some())
}

/// Why nothing follows from the counts of documents.
fn too_few(finding: &Finding) -> &'static str {
    match finding.indicator {
        Indicator::Documents(_) if finding.expected.is_none() => ": too few to compare",
        _ => "",
    }
}

/// The end: the verdict with its reasons, and the plan if there is one.
pub fn last(look: &Look, plan: Option<&RollbackPlan>) -> Text {
    let mut text = Text::default();
    let (tone, rest) = match look.verdict {
        Verdict::Continue if !compares(look) => {
            (Tone::Warning, ": nothing fails; too few documents to compare")
        }
        Verdict::Continue => (Tone::Plain, ": nothing dropped, nothing fails"),
        Verdict::Pause => (Tone::Warning, ": a person should look before the release goes on"),
        Verdict::RollBack => (Tone::Bad, ": the release should be undone"),
    };
    let release = &look.release;
    text.line(2).plain(format!("release {release}: ")).push(tone, look.verdict.as_str()).plain(rest);
    for (tenant, found) in &look.tenants {
        for finding in &found.findings {
            let tone = if finding.verdict == Verdict::Continue { Tone::Plain } else { Tone::Bad };
            let said = finding.why.clone().unwrap_or_else(|| counts(finding) + too_few(finding));
            text.line(4).plain(format!("  {tenant}: ")).push(tone, said);
        }
        for unknown in &found.not_known {
            text.line(4)
                .plain(format!("  {tenant}: "))
                .push(Tone::Warning, "not known")
                .plain(format!(": {unknown}"));
        }
    }
    if let Some(plan) = plan {
        text.line(0);
        text.append(rollback_text::text(plan));
    }
    text
}
