//! Which tenants' databases are gone for certain: seen by looks at the server's own list again and again,
//! with nothing that says otherwise between the first and the last. In doubt, a database is there.

use std::collections::BTreeMap;
use std::time::Duration;

use super::rule::Rules;
use super::stock::{Item, Known, Stock};
use crate::archive::manifest::SnapshotKind;
use crate::clock::{self, Timestamp, earlier, later};
use crate::names::TenantName;
use crate::repository::absences::StoredAbsence;

/// The last look is not older than that: hosts look at each backup, and say so every six days.
const LAST_MAX: Duration = Duration::from_secs(15 * 86_400);
/// From the first look to the last one it takes at least so long.
const SPAN_MIN: Duration = Duration::from_secs(5 * 86_400);

/// Since when the database of each tenant is gone, where that is certain.
pub fn gone(stock: &Stock, counted_from: Timestamp) -> BTreeMap<TenantName, Timestamp> {
    let Known::All(looks) = &stock.dropped.looks else { return BTreeMap::new() };
    let backs_up =
        |kind: &str| [SnapshotKind::Dump, SnapshotKind::Filestore].iter().any(|one| one.as_str() == kind);
    // What could not be read may be a backup of any of them.
    if stock.unread.iter().chain(&stock.not_believed).any(|(id, _)| backs_up(id.kind())) {
        return BTreeMap::new();
    }
    let mut stored_last: BTreeMap<&TenantName, Timestamp> = BTreeMap::new();
    for Item { tenant, stored_at, .. } in &stock.items {
        if let Some(tenant) = tenant {
            let last = stored_last.entry(tenant).or_insert(*stored_at);
            *last = (*last).max(*stored_at);
        }
    }
    let mut spans: BTreeMap<&TenantName, (Timestamp, Timestamp)> = BTreeMap::new();
    for StoredAbsence { absence, stored_at } in looks {
        for tenant in &absence.back {
            spans.remove(tenant);
        }
        let is_after = |tenant: &&TenantName| stored_last.get(tenant).is_none_or(|last| last < stored_at);
        for tenant in absence.absent.iter().filter(is_after) {
            spans.entry(tenant).or_insert((*stored_at, *stored_at)).1 = *stored_at;
        }
    }
    let is_certain = |(tenant, (first, last)): &(&TenantName, (Timestamp, Timestamp))| {
        !stock.dropped.named.contains(*tenant)
            && *last >= earlier(counted_from, LAST_MAX)
            && later(*first, SPAN_MIN) <= *last
    };
    spans.into_iter().filter(is_certain).map(|(tenant, (first, _))| (tenant.clone(), first)).collect()
}

/// The tenants whose last backups are not kept any more because their databases are gone, and since when.
pub fn over(stock: &Stock, rules: &Rules, counted_from: Timestamp) -> BTreeMap<TenantName, Timestamp> {
    let is_over = |tenant: &TenantName, since: Timestamp| {
        let dropped = rules.tenants.get(tenant).and_then(|rule| rule.dropped);
        dropped.is_some_and(|dropped| later(since, dropped) <= counted_from)
    };
    gone(stock, counted_from).into_iter().filter(|(tenant, since)| is_over(tenant, *since)).collect()
}

/// For a person: until when the last backup of each is kept.
pub fn notes(stock: &Stock, rules: &Rules, counted_from: Timestamp) -> Vec<String> {
    let of = |(tenant, since): (TenantName, Timestamp)| {
        let dropped = rules.tenants.get(&tenant).and_then(|rule| rule.dropped);
        let is_gone = format!("the database of {tenant} has been gone since {}", clock::text(since));
        match dropped {
            Some(dropped) => {
                format!("{is_gone}: its last backup is kept until {}", clock::text(later(since, dropped)))
            }
            None => format!("{is_gone}: its last backup is kept for ever (class.NAME.dropped is not set)"),
        }
    };
    gone(stock, counted_from).into_iter().map(of).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use jiff::tz::TimeZone;

    use super::*;
    use crate::archive::absence::Absence;
    use crate::archive::manifest::Origin;
    use crate::names::SnapshotId;
    use crate::retention::garbage::Garbage;
    use crate::retention::plan::{Clock, plan};
    use crate::retention::rule::{Period, Rule};
    use crate::retention::stock::{Dropped, WalStock};

    const DAY: u64 = 86_400;

    fn days(number: u64) -> Duration {
        Duration::from_secs(number * DAY)
    }

    fn now() -> Timestamp {
        Timestamp::from_second(1_790_000_000).unwrap()
    }

    fn ago(number: u64) -> Timestamp {
        earlier(now(), days(number))
    }

    fn item(tenant: &str, kind: SnapshotKind, ago_: u64) -> Item {
        let id: SnapshotId =
            format!("20261120T000000Z-{kind}-{ago_:06x}{:02x}", tenant.as_bytes()[0]).parse().unwrap();
        Item {
            needs: [id.clone()].into(),
            id,
            kind,
            tenant: Some(tenant.parse().unwrap()),
            release: None,
            stored_at: ago(ago_),
            claims: None,
            bytes: 1,
            whole: true,
            may_be_whole: true,
            base: None,
            misses_unnamed: false,
            cold: None,
        }
    }

    /// A look so many days ago that found `shop` gone, or back.
    fn seen(ago_: u64, is_gone: bool) -> StoredAbsence {
        let origin: Origin = serde_json::from_str(
            r#"{"repository":"r","repository_sha256":"0000000000000000000000000000000000000000000000000000000000000000","instance":"prod","instance_sha256":"0000000000000000000000000000000000000000000000000000000000000000"}"#,
        )
        .unwrap();
        let look = SnapshotId::new(ago(ago_), "absence");
        let shop: BTreeSet<TenantName> = ["shop".parse().unwrap()].into();
        let (absent, back) = if is_gone { (shop, BTreeSet::new()) } else { (BTreeSet::new(), shop) };
        StoredAbsence { absence: Absence::new(origin, look, absent, back), stored_at: ago(ago_) }
    }

    fn stock(looks: &[StoredAbsence]) -> Stock {
        let kinds = [SnapshotKind::Dump, SnapshotKind::Filestore];
        let mut items: Vec<Item> = kinds.iter().map(|kind| item("shop", *kind, 100)).collect();
        items.extend(kinds.iter().map(|kind| item("farm", *kind, 100)));
        items.extend(kinds.iter().map(|kind| item("mills", *kind, 0)));
        Stock {
            items,
            unread: Vec::new(),
            not_believed: Vec::new(),
            unfinished: Vec::new(),
            batches: Known::All(Vec::new()),
            wal: Known::All(WalStock::default()),
            releases: Known::All(Vec::new()),
            holds: Known::All(Vec::new()),
            not_removed: Vec::new(),
            suspicions: Known::All(Vec::new()),
            tenants: Known::All(BTreeSet::new()),
            dropped: Dropped { looks: Known::All(looks.to_vec()), named: BTreeSet::new() },
            garbage: Garbage::default(),
        }
    }

    /// How many snapshots go. The class keeps the last state for 90 days.
    fn goes(stock: &Stock) -> usize {
        let rule = Rule {
            window: days(2),
            periods: Period::ALL.into_iter().zip([0; 5]).collect(),
            releases: days(1),
            dropped: Some(days(90)),
        };
        let tenants = ["shop", "farm", "mills"].map(|name| (name.parse().unwrap(), rule.clone()));
        let (tenants, zone) = (BTreeMap::from(tenants), TimeZone::UTC);
        let rules = Rules { tenants, instance: Some(rule), zone, grace: days(1) };
        let plan = plan(stock, &rules, Clock::Store(now())).unwrap();
        assert!(plan.snapshots.iter().all(|one| one.tenant.as_ref().unwrap().as_str() == "shop"));
        plan.snapshots.len()
    }

    #[test]
    fn the_last_state_goes_only_when_the_database_was_seen_to_be_gone_for_all_that_time() {
        let weekly: Vec<StoredAbsence> = [95, 60, 30, 3].map(|ago| seen(ago, true)).to_vec();
        assert_eq!(goes(&stock(&weekly)), 2);
        assert_eq!(goes(&stock(&[])), 0, "nobody looked");
        assert_eq!(goes(&stock(&weekly[1..])), 0, "it is gone for 60 days");
        assert_eq!(goes(&stock(&weekly[..3])), 0, "nobody looked for 30 days");
        let last = [seen(95, true), seen(94, true)];
        assert_eq!(goes(&stock(&last)), 0, "nobody looked for 94 days");
        let mut back = weekly.clone();
        back.insert(2, seen(50, false));
        assert_eq!(goes(&stock(&back)), 0, "it was there 50 days ago");
        let mut named = stock(&weekly);
        named.dropped.named.insert("shop".parse().unwrap());
        assert_eq!(goes(&named), 0, "odoo.tenants names it");
        let mut again = stock(&weekly);
        again.items.push(item("shop", SnapshotKind::Dump, 20));
        again.items.sort_by_key(|item| item.stored_at);
        assert_eq!(goes(&again), 1, "it was backed up 20 days ago: only the older dump goes");
        let mut damaged = stock(&weekly);
        damaged.not_believed.push((item("x", SnapshotKind::Dump, 7).id, "damaged".to_owned()));
        assert_eq!(goes(&damaged), 0, "a damaged dump may be its newest");
        let mut unknown = stock(&weekly);
        unknown.dropped.looks = Known::Unknown("refused".to_owned());
        assert_eq!(goes(&unknown), 0);
    }
}
