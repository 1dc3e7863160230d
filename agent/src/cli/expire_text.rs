//! What `lifeboat expire` shows: what is kept for which reasons, what goes, and what was done, by tenant.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use serde::Serialize;
use serde_json::{Value, json};

use super::screen::{Text, Tone};
use crate::clock::{self, Timestamp, span_text};
use crate::config::Config;
use crate::names::{SnapshotId, TenantName, bytes_text, counted};
use crate::retention::apply::Applied;
use crate::retention::cost::{ColdRead, Costs, WHOLE, money};
use crate::retention::garbage::Sort;
use crate::retention::phases::Phases;
use crate::retention::plan::ExpiryPlan;
use crate::retention::reason::Reason;

/// Where reasons begin, and continue after a line break.
const REASONS: usize = 4;
const INDENT: usize = 4;
/// Objects that are named one by one.
const FAILED_SHOWN: usize = 20;
/// Foreign objects that are named.
const FOREIGN_SHOWN: usize = 5;

/// What is shown before anything is done.
pub struct Shown<'a> {
    /// Whose classes.
    pub config: &'a Config,
    /// The URL.
    pub repository: &'a str,
    /// What goes and stays.
    pub plan: &'a ExpiryPlan,
    /// What of it is announced or deleted now.
    pub phases: &'a Phases,
    /// What could not be read.
    pub unknown: Vec<String>,
    /// Tombstones that are not believed, and why.
    pub not_believed: Vec<String>,
    /// Until when something that goes is locked.
    pub locked: HashMap<SnapshotId, Timestamp>,
    /// Whether it is about a time to come.
    pub as_of: bool,
    /// What it costs.
    pub costs: &'a Costs,
    /// What it takes to read those in another storage class than the bucket's own.
    pub cold: BTreeMap<SnapshotId, ColdRead>,
}

/// The same for programs. The plan may have a hundred thousand entries: it is written as it is.
#[derive(Serialize)]
pub struct ShownJson<'a> {
    plan: &'a ExpiryPlan,
    #[serde(flatten)]
    rest: Value,
}

impl ShownJson<'_> {
    /// Adds what became of it.
    pub fn add(&mut self, name: &str, value: Value) {
        self.rest[name] = value;
    }
}

impl Shown<'_> {
    /// For programs.
    pub fn json(&self) -> ShownJson<'_> {
        let phases = self.phases;
        let rest = json!({
            "instance": self.config.instance,
            "repository": self.repository,
            "frees_bytes": self.plan.bytes(),
            "not_known": self.unknown,
            "not_believed": self.not_believed,
            "locked_until": self.locked,
            "deletes": {
                "snapshots": phases.snapshots,
                "batches": phases.batches,
                "unfinished": phases.unfinished,
                "wal_objects": phases.wal.len(),
                "garbage": phases.garbage,
                "uploads": phases.uploads,
            },
            "announces": phases.announced,
            "withdraws": phases.withdrawn,
            "next": phases.next,
            "costs": self.costs,
            "cold": self.cold,
        });
        ShownJson { plan: self.plan, rest }
    }

    /// For people.
    pub fn text(&self) -> Text {
        let plan = self.plan;
        let mut text = Text::default();
        let when = match self.as_of {
            true => format!("as of {}, if nothing more is stored before that", clock::text(plan.now)),
            false => clock::text(plan.now),
        };
        let instance = &self.config.instance;
        text.line(INDENT).plain(format!("instance {instance} in {}, {when}", self.repository));
        for what in &self.unknown {
            text.line(INDENT + 2).plain("  ").push(Tone::Warning, "not known").plain(format!(": {what}"));
        }
        for what in &self.not_believed {
            let line = text.line(INDENT + 2).plain("  ");
            line.push(Tone::Warning, "tombstone not believed").plain(format!(": {what}"));
        }
        for note in &plan.notes {
            text.line(INDENT + 2).plain(format!("  note: {note}"));
        }
        for run in &self.phases.withdrawn {
            text.line(INDENT + 2).plain(format!(
                "  note: tombstone {run} does not count any more: something in it is needed after all"
            ));
        }
        stays(&mut text, plan, self);
        goes(&mut text, plan, self);
        costs(&mut text, self.costs);
        self.sum(&mut text);
        text
    }

    /// What it takes to read this snapshot, if it is in another storage class than the bucket's own.
    pub fn cold(&self, id: &SnapshotId) -> Option<String> {
        let ColdRead { storage_class, ready_after_seconds, read_once } = self.cold.get(id)?;
        let ready = match ready_after_seconds {
            0 => String::new(),
            seconds => format!(", readable {} after a request", span_text(Duration::from_secs(*seconds))),
        };
        let currency = self.costs.currency.as_ref();
        let costs = read_once
            .zip(currency)
            .map_or(String::new(), |(amount, currency)| format!(", {} to read", money(amount, currency)));
        Some(format!("in {storage_class}{ready}{costs}"))
    }

    fn sum(&self, text: &mut Text) {
        let phases = self.phases;
        text.line(0);
        if let Some(last) = self.locked.values().max() {
            let all = self.plan.snapshots.iter().chain(&self.plan.batches);
            let bytes = all.filter(|one| self.locked.contains_key(&one.id)).map(|one| one.bytes).sum();
            text.line(INDENT).plain(format!(
                "locked: {} of what goes; it can be hidden, but its space becomes free as the locks end, the last one {}",
                bytes_text(bytes),
                clock::text(*last)
            ));
        }
        if self.as_of {
            text.line(INDENT).plain(format!("this would free {}", bytes_text(self.plan.bytes())));
            return;
        }
        let Phases { snapshots, batches, unfinished, wal, garbage, uploads, announced, .. } = phases;
        let what = things([
            (snapshots.len(), "snapshot"),
            (batches.len(), "batch of files"),
            (unfinished.len(), "unfinished snapshot"),
            (wal.len(), "WAL object"),
            (garbage.len(), "piece of garbage"),
            (uploads.len(), "unfinished upload"),
        ]);
        text.line(INDENT).plain(format!("to delete now:   {what}"));
        let what = things([
            (announced.snapshots.len(), "snapshot"),
            (announced.batches.len(), "batch of files"),
            (announced.unfinished.len(), "unfinished snapshot"),
            (announced.wal.len(), "WAL range"),
            (announced.garbage.len(), "piece of garbage"),
        ]);
        let mut line = format!("to announce now: {what}");
        if !announced.is_empty() {
            let (size, grace) = (bytes_text(phases.announced_bytes), span_text(self.config.expire.grace));
            line += &format!(": {size}, deleted by a run in {grace} or later");
        }
        text.line(INDENT).plain(line);
        if let Some(next) = phases.next {
            text.line(INDENT)
                .plain(format!("announced earlier: can be deleted from {} on", clock::text(next)));
        }
    }
}

/// How many of what, without what there is none of.
fn things<const N: usize>(all: [(usize, &str); N]) -> String {
    let some = all.into_iter().filter(|(count, _)| *count > 0);
    let words: Vec<String> = some
        .map(|(count, what)| match what {
            "batch of files" if count != 1 => format!("{count} batches of files"),
            "piece of garbage" if count != 1 => format!("{count} pieces of garbage"),
            _ => counted(count, what),
        })
        .collect();
    if words.is_empty() { "nothing".to_owned() } else { words.join(", ") }
}

/// What was done, for programs.
pub fn done_json(applied: &Applied) -> Value {
    let failed = applied.erased.failed.iter();
    let failed: Vec<Value> = failed.map(|(key, why)| json!({ "key": key, "why": why.line() })).collect();
    json!({
        "announced": applied.announced,
        "snapshots": applied.erased.snapshots,
        "batches": applied.erased.batches,
        "wal_objects": applied.erased.wal,
        "garbage": applied.erased.garbage,
        "uploads": applied.erased.uploads,
        "objects": applied.erased.objects,
        "failed": failed,
    })
}

/// What was done, for people.
pub fn done_text(applied: &Applied, phases: &Phases, grace: Duration) -> String {
    let erased = &applied.erased;
    let what = things([
        (erased.snapshots, "snapshot"),
        (erased.batches, "batch of files"),
        (erased.wal as usize, "WAL object"),
        (erased.garbage as usize, "garbage object"),
        (erased.uploads, "unfinished upload"),
    ]);
    let mut out = format!("deleted {what} ({} in total)\n", counted(erased.objects, "object"));
    if let Some(run) = &applied.announced {
        out += &format!(
            "announced {} (tombstone {run}): a run in {} or later deletes it\n",
            bytes_text(phases.announced_bytes),
            span_text(grace)
        );
    }
    if let Some(next) = phases.next {
        out += &format!("announced earlier: can be deleted from {} on\n", clock::text(next));
    }
    for (key, why) in erased.failed.iter().take(FAILED_SHOWN) {
        out += &format!("NOT DELETED: {key}: {}\n", why.line());
    }
    if let Some(more @ 1..) = erased.failed.len().checked_sub(FAILED_SHOWN) {
        out += &format!("NOT DELETED: {}; --json names them\n", counted(more, "other object"));
    }
    out.trim_end().to_owned()
}

/// Snapshots by tenant.
fn by_tenant<T>(all: &[T], tenant: fn(&T) -> Option<&TenantName>) -> BTreeMap<String, Vec<&T>> {
    let mut of: BTreeMap<String, Vec<&T>> = BTreeMap::new();
    for one in all {
        let whose = tenant(one).map_or(WHOLE.to_owned(), ToString::to_string);
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

fn stays(text: &mut Text, plan: &ExpiryPlan, shown: &Shown<'_>) {
    for (whose, all) in by_tenant(&plan.stays, |one| one.tenant.as_ref()) {
        head(text, &whose, all.len(), "kept", all.iter().map(|one| one.bytes).sum());
        for one in all {
            let cold = shown.cold(&one.id).map_or(String::new(), |cold| format!(", {cold}"));
            text.line(INDENT).plain(format!("  {}  {}{cold}", one.id, bytes_text(one.bytes)));
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

fn goes(text: &mut Text, plan: &ExpiryPlan, shown: &Shown<'_>) {
    let phases = shown.phases;
    for (whose, all) in by_tenant(&plan.snapshots, |one| one.tenant.as_ref()) {
        head(text, &whose, all.len(), "not needed any more", all.iter().map(|one| one.bytes).sum());
        for one in all {
            let step =
                match (phases.snapshots.contains(&one.id), phases.announced.snapshots.contains(&one.id)) {
                    (true, _) => "to delete now",
                    (false, true) => "to announce now",
                    (false, false) => "announced earlier, waiting",
                };
            let (size, stored) = (bytes_text(one.bytes), clock::text(one.stored_at));
            let locked = match shown.locked.get(&one.id) {
                Some(until) => format!(", locked until {}", clock::text(*until)),
                None => String::new(),
            };
            text.line(INDENT).plain(format!("  {}  {size}, stored {stored}, {step}{locked}", one.id));
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
        text.line(INDENT).plain(format!("{what} not needed any more: {count}{size}"));
    }
    garbage(text, plan);
}

/// What belongs to no snapshot: each sort in a line, and what a person must look at.
fn garbage(text: &mut Text, plan: &ExpiryPlan) {
    for sort in Sort::ALL {
        let all = || plan.garbage.iter().filter(|one| one.sort == sort);
        let bytes = bytes_text(all().map(|one| one.bytes).sum());
        if let Some(first) = all().next() {
            let (count, what) = (all().count(), sort.words());
            text.line(INDENT)
                .plain(format!("{what} not needed any more: {count}, {bytes}, such as {}", first.name));
        }
    }
    if let Some(first) = plan.uploads.first() {
        let bytes = bytes_text(plan.uploads.iter().map(|one| one.bytes).sum());
        let count = plan.uploads.len();
        text.line(INDENT)
            .plain(format!("uploads that nobody will finish: {count}, {bytes}, such as {}", first.key));
    }
    for key in plan.foreign.iter().take(FOREIGN_SHOWN) {
        text.line(INDENT + 2).plain(format!("foreign, never deleted: {key}"));
    }
    if let Some(more @ 1..) = (plan.foreign.len() + plan.foreign_more).checked_sub(FOREIGN_SHOWN) {
        text.line(INDENT)
            .plain(format!("foreign, never deleted: {}; --json names them", counted(more, "other object")));
    }
}

/// What each recovery class costs, where there is a price.
fn costs(text: &mut Text, costs: &Costs) {
    let Some(currency) = &costs.currency else { return };
    text.line(0);
    let total = costs.total();
    for (name, one) in costs.classes.iter().map(|(name, one)| (name.as_str(), one)).chain([("all", &total)]) {
        let price = |amount: Option<f64>| money(amount.unwrap_or_default(), currency);
        let early = match one.early {
            Some(early) if early > 0.0 => format!("; deleted early: {}", money(early, currency)),
            _ => String::new(),
        };
        let (before, after) = (price(one.before_month), price(one.after_month));
        text.line(INDENT).plain(format!(
            "cost of {name}: {before} a month now ({}), {after} after this ({}){early}",
            bytes_text(one.before_bytes),
            bytes_text(one.after_bytes)
        ));
    }
}

/// Reasons in a line: of several snapshots that need it, one is named.
pub fn reasons<'a>(reasons: impl IntoIterator<Item = &'a Reason>) -> String {
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
    words.join("; ")
}
