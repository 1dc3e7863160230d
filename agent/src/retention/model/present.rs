//! What is there, to be asked often: by the numbers that made-up IDs end with.

use std::collections::BTreeMap;

use crate::names::SnapshotId;
use crate::retention::stock::WalItem;

/// Bytes of a segment.
pub(super) const SEGMENT: u64 = 16 << 20;

/// The number of a made-up ID.
pub(super) fn number_of(id: &SnapshotId) -> usize {
    let hex = id.as_str().bytes().rev().take(8).enumerate();
    hex.map(|(at, digit)| (char::from(digit).to_digit(16).unwrap() as usize) << (4 * at)).sum()
}

/// Some IDs.
#[derive(Default)]
pub(super) struct Ids(Vec<bool>);

impl Ids {
    pub(super) fn contains(&self, id: &SnapshotId) -> bool {
        self.0.get(number_of(id)) == Some(&true)
    }

    pub(super) fn insert(&mut self, id: &SnapshotId) {
        let number = number_of(id);
        self.0.resize(self.0.len().max(number + 1), false);
        self.0[number] = true;
    }
}

impl<'a> FromIterator<&'a SnapshotId> for Ids {
    fn from_iter<T: IntoIterator<Item = &'a SnapshotId>>(all: T) -> Ids {
        let mut ids = Ids::default();
        all.into_iter().for_each(|id| ids.insert(id));
        ids
    }
}

/// Segments of which something is stored, by timeline.
pub(super) struct Segments(BTreeMap<u32, Vec<bool>>);

impl Segments {
    pub(super) fn of(items: &[WalItem]) -> Segments {
        let mut all: BTreeMap<u32, Vec<bool>> = BTreeMap::new();
        for one in items {
            let (of, number) = (all.entry(one.timeline.0).or_default(), (one.begin.0 / SEGMENT) as usize);
            of.resize(of.len().max(number + 1), false);
            of[number] = true;
        }
        Segments(all)
    }

    /// Whether all of them from the first to the one before the end are there.
    pub(super) fn contain(&self, timeline: u32, first: u64, end: u64) -> bool {
        let all = || self.0.get(&timeline)?.get(first as usize..end as usize);
        first >= end || all().is_some_and(|all| all.iter().all(|is_there| *is_there))
    }
}
