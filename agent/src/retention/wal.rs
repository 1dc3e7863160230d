//! Which WAL stays: spans of timelines, from base backups on and up to restore points.

use std::collections::BTreeMap;

use serde::Serialize;

use super::reason::Reason;
use super::stock::{BaseRange, WalItem, WalStock};
use crate::clock::Timestamp;
use crate::names::Lsn;
use crate::names::wal::TimelineId;

/// WAL of a timeline that stays.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Span {
    /// Which timeline.
    pub timeline: TimelineId,
    /// The first byte.
    pub from: Lsn,
    /// The byte after the last; `None` for all that follows.
    pub to: Option<Lsn>,
    /// Only what was stored up to then, where it matters.
    pub stored_until: Option<Timestamp>,
    /// Why.
    pub reason: Reason,
}

impl Span {
    /// Whether it has bytes of this.
    pub fn meets(&self, item: &WalItem) -> bool {
        self.timeline == item.timeline
            && item.end > self.from
            && self.to.is_none_or(|to| item.begin < to)
            && self.stored_until.is_none_or(|last| item.stored_at <= last)
    }
}

/// All of them.
#[derive(Clone, Debug, Default)]
pub struct WalSpans {
    spans: Vec<Span>,
    all: Option<Reason>,
    since: Option<(Timestamp, Reason)>,
}

impl WalSpans {
    /// All WAL stays.
    pub fn keep_all(&mut self, reason: Reason) {
        self.all.get_or_insert(reason);
    }

    /// What was stored since then stays, wherever it belongs.
    pub fn keep_stored_since(&mut self, since: Timestamp, reason: Reason) {
        self.since = Some((since, reason));
    }

    /// Everything that can be replayed after a base backup, on its timeline and all that come from it. What
    /// was stored later than `until` is not needed.
    pub fn from_base(&mut self, base: &BaseRange, wal: &WalStock, until: Timestamp, reason: &Reason) {
        let stored_until = (until < Timestamp::MAX).then_some(until);
        let mut add = |timeline, from| {
            self.spans.push(Span { timeline, from, to: None, stored_until, reason: reason.clone() });
        };
        add(base.timeline, floor(base.start, base.segment));
        for (timeline, ancestors) in &wal.histories {
            let own =
                ancestors.iter().position(|one| one.timeline == base.timeline && one.until > base.start);
            if let Some(own) = own {
                // The timelines between come from it, too.
                ancestors[own + 1..].iter().for_each(|one| add(one.timeline, Lsn(0)));
                add(*timeline, Lsn(0));
            }
        }
    }

    /// What is replayed from a base backup to a restore point.
    pub fn to_point(&mut self, base: &BaseRange, wal: &WalStock, point: (TimelineId, Lsn), reason: &Reason) {
        let (timeline, lsn) = point;
        let end = ceil(lsn, base.segment);
        let start = floor(base.start, base.segment);
        let mut add = |timeline, from, to: Lsn| {
            self.spans.push(Span {
                timeline,
                from,
                to: Some(to),
                stored_until: None,
                reason: reason.clone(),
            });
        };
        if timeline == base.timeline {
            add(timeline, start, end);
            return;
        }
        let Some(ancestors) = wal.histories.get(&timeline) else {
            let why = format!("the history of timeline {timeline} is not known");
            return self.keep_all(Reason::Unknown(why));
        };
        for one in ancestors.iter().filter(|one| one.timeline >= base.timeline) {
            let from = if one.timeline == base.timeline { start } else { Lsn(0) };
            add(one.timeline, from, ceil(one.until, base.segment).min(end));
        }
        add(timeline, Lsn(0), end);
    }

    /// What a base backup needs to become consistent.
    pub fn own(&mut self, base: &BaseRange, reason: &Reason) {
        let (from, to) = (floor(base.start, base.segment), Some(ceil(base.stop, base.segment)));
        let timeline = base.timeline;
        self.spans.push(Span { timeline, from, to, stored_until: None, reason: reason.clone() });
    }

    /// What is in none of them.
    pub fn goes(&self, wal: &WalStock) -> Vec<WalItem> {
        if self.all.is_some() {
            return Vec::new();
        }
        let always = self.merged();
        let (bounded, since) = (
            self.spans.iter().filter(|span| span.stored_until.is_some()).collect::<Vec<_>>(),
            self.since.as_ref().map_or(Timestamp::MAX, |(since, _)| *since),
        );
        let stays = |item: &WalItem| {
            let is_in = |span: &&Span| {
                span.timeline == item.timeline
                    && item.end > span.from
                    && span.stored_until.is_some_and(|until| item.stored_at <= until)
            };
            item.stored_at >= since
                || wal.unknown.contains(&item.timeline)
                || always.get(&item.timeline).is_some_and(|spans| meets(spans, item.begin, item.end))
                || bounded.iter().any(is_in)
        };
        wal.items.iter().filter(|item| !stays(item)).copied().collect()
    }

    /// Those without a limit in time, by timeline, in order, none touching the next.
    fn merged(&self) -> BTreeMap<TimelineId, Vec<(Lsn, Lsn)>> {
        let mut all: BTreeMap<TimelineId, Vec<(Lsn, Lsn)>> = BTreeMap::new();
        for span in self.spans.iter().filter(|span| span.stored_until.is_none()) {
            all.entry(span.timeline).or_default().push((span.from, span.to.unwrap_or(Lsn(u64::MAX))));
        }
        for spans in all.values_mut() {
            spans.sort();
            let mut merged: Vec<(Lsn, Lsn)> = Vec::with_capacity(spans.len());
            for (from, to) in spans.drain(..) {
                match merged.last_mut() {
                    Some(last) if from <= last.1 => last.1 = last.1.max(to),
                    _ => merged.push((from, to)),
                }
            }
            *spans = merged;
        }
        all
    }

    /// Why all of it stays; `None` where it does not.
    pub fn all(&self) -> Option<&Reason> {
        self.all.as_ref()
    }

    /// The spans, for a person: what covers everything first.
    pub fn into_spans(self) -> Vec<Span> {
        let mut spans = self.spans;
        spans.sort_by_key(|span| (span.timeline, span.from));
        spans.dedup();
        spans
    }
}

/// Whether `[begin, end)` meets one of them.
fn meets(spans: &[(Lsn, Lsn)], begin: Lsn, end: Lsn) -> bool {
    let at = spans.partition_point(|(_, to)| *to <= begin);
    spans.get(at).is_some_and(|(from, _)| *from < end)
}

fn floor(lsn: Lsn, segment: u64) -> Lsn {
    Lsn(lsn.0 / segment * segment)
}

fn ceil(lsn: Lsn, segment: u64) -> Lsn {
    Lsn(lsn.0.div_ceil(segment).saturating_mul(segment))
}
