//! `lifeboat expire` for people: what is kept for which reasons, and what would be deleted, by tenant.

use std::collections::{BTreeMap, BTreeSet};

use super::screen::{Text, Tone};
use crate::clock;
use crate::config::Config;
use crate::names::{TenantName, bytes_text, counted};
use crate::retention::plan::ExpiryPlan;
use crate::retention::reason::Reason;

/// Where reasons begin, and continue after a line break.
const REASONS: usize = 4;
const INDENT: usize = 4;

/// The plan, and what could not be read.
pub fn plan_text(
    config: &Config,
    repository: &str,
    plan: &ExpiryPlan,
    unknown: &[String],
    as_of: bool,
) -> Text {
    let mut text = Text::default();
    let when = match as_of {
        true => format!("as of {}, if nothing is stored until then", clock::text(plan.now)),
        false => clock::text(plan.now),
    };
    text.line(INDENT).plain(format!("instance {} in {repository}, {when}", config.instance));
    for what in unknown {
        text.line(INDENT + 2).plain("  ").push(Tone::Warning, "not known").plain(format!(": {what}"));
    }
    for note in &plan.notes {
        text.line(INDENT + 2).plain(format!("  note: {note}"));
    }
    stays(&mut text, plan);
    goes(&mut text, plan);
    text.line(0);
    text.line(INDENT).plain(format!(
        "{} would be freed. Nothing was deleted: this version only plans.",
        bytes_text(plan.bytes())
    ));
    text
}

/// Snapshots by tenant.
fn by_tenant<T>(all: &[T], tenant: fn(&T) -> Option<&TenantName>) -> BTreeMap<String, Vec<&T>> {
    let mut of: BTreeMap<String, Vec<&T>> = BTreeMap::new();
    for one in all {
        let whose = tenant(one).map_or("all tenants".to_owned(), ToString::to_string);
        of.entry(whose).or_default().push(one);
    }
    of
}

/// The line above the snapshots of a tenant: how many, what becomes of them, and their size.
fn head(text: &mut Text, whose: &str, count: usize, what: &str, bytes: u64) {
    text.line(0);
    let count = counted(count, "snapshot");
    text.line(INDENT).plain(format!("{whose}: {count} {what}, {}", bytes_text(bytes)));
}

fn stays(text: &mut Text, plan: &ExpiryPlan) {
    for (whose, all) in by_tenant(&plan.stays, |one| one.tenant.as_ref()) {
        head(text, &whose, all.len(), "kept", all.iter().map(|one| one.bytes).sum());
        for one in all {
            text.line(INDENT).plain(format!("  {}  {}", one.id, bytes_text(one.bytes)));
            text.line(REASONS + 2).plain(format!("{:REASONS$}{}", "", reasons(&one.reasons)));
        }
    }
    text.line(0);
    let wal: BTreeSet<&Reason> = plan.wal_stays.iter().map(|span| &span.reason).collect();
    if let Some(reason) = &plan.all_wal_stays {
        text.line(INDENT).plain(format!("all WAL is kept: {reason}"));
    } else if !wal.is_empty() {
        text.line(INDENT).plain(format!("WAL is kept for: {}", reasons(wal)));
    }
    if plan.batches_stay > 0 {
        text.line(INDENT).plain(format!("batches of files kept: {}", plan.batches_stay));
    }
}

fn goes(text: &mut Text, plan: &ExpiryPlan) {
    for (whose, all) in by_tenant(&plan.snapshots, |one| one.tenant.as_ref()) {
        head(text, &whose, all.len(), "would be deleted", all.iter().map(|one| one.bytes).sum());
        for one in all {
            let stored = clock::text(one.stored_at);
            text.line(INDENT).plain(format!("  {}  {}, stored {stored}", one.id, bytes_text(one.bytes)));
        }
    }
    let of_batches: u64 = plan.batches.iter().map(|one| one.bytes).sum();
    let of_wal: u64 = plan.wal.iter().map(|one| one.bytes).sum();
    let others = [
        ("batches of files", plan.batches.len(), Some(of_batches)),
        ("WAL objects", plan.wal.len(), Some(of_wal)),
        ("unfinished snapshots", plan.unfinished.len(), None),
    ];
    for (what, count, bytes) in others.into_iter().filter(|(_, count, _)| *count > 0) {
        let size = bytes.map_or(String::new(), |bytes| format!(", {}", bytes_text(bytes)));
        text.line(INDENT).plain(format!("{what} that would be deleted: {count}{size}"));
    }
}

/// Reasons in a line: of several snapshots that need it, one is named.
fn reasons<'a>(reasons: impl IntoIterator<Item = &'a Reason>) -> String {
    let (needed, others): (Vec<&Reason>, Vec<&Reason>) =
        reasons.into_iter().partition(|reason| matches!(reason, Reason::NeededBy(_)));
    let mut words: Vec<String> = others.into_iter().map(ToString::to_string).collect();
    if let Some(first) = needed.first() {
        let more = needed.len() - 1;
        words.push(match more {
            0 => first.to_string(),
            _ => format!("{first} and {}", counted(more, "other")),
        });
    }
    words.join(", ")
}
