//! Compaction without a key: a host that cannot read its own backups still has the files. Where a list needs
//! little of an old snapshot, these files are stored again, and the list names that snapshot no longer; so
//! expire can delete it.

use std::collections::{BTreeMap, BTreeSet};

use crate::catalog::known::{Known, SourceBytes};
use crate::names::SnapshotId;

/// The snapshots whose files are stored again: those of which less than `percent` is needed, the cheapest
/// first, together at most `bytes_max`.
pub fn choose(known: &Known, percent: u8, bytes_max: u64) -> BTreeSet<SnapshotId> {
    let is_little = |one: &SourceBytes| {
        one.stored
            .is_some_and(|stored| u128::from(one.alive) * 100 < u128::from(stored) * u128::from(percent))
    };
    let little = known.held.iter().filter(|(id, one)| known.sources.contains(id) && is_little(one));
    let mut cheapest: Vec<(u64, &SnapshotId)> = little.map(|(id, one)| (one.alive, id)).collect();
    cheapest.sort();
    let mut left = bytes_max;
    let fits = |(alive, _): &(u64, &SnapshotId)| {
        let fits = *alive <= left;
        left = left.saturating_sub(*alive);
        fits
    };
    cheapest.into_iter().take_while(fits).map(|(_, id)| id.clone()).collect()
}

/// What the next list needs of each of its sources; `alive` is by their order in the table of the list.
pub fn held(
    before: &BTreeMap<SnapshotId, SourceBytes>,
    table: &[SnapshotId],
    alive: &[u64],
    (own, own_bytes): (&SnapshotId, u64),
) -> BTreeMap<SnapshotId, SourceBytes> {
    let stored = |id: &SnapshotId| match id == own {
        true => Some(own_bytes),
        false => before.get(id).and_then(|one| one.stored),
    };
    let used = table.iter().zip(alive);
    used.map(|(id, alive)| (id.clone(), SourceBytes { stored: stored(id), alive: *alive })).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cheapest_are_chosen_up_to_the_limit_and_none_of_which_much_or_nothing_is_known() {
        let id = |number: u32| -> SnapshotId {
            format!("2026112{number}T000000Z-filestore-00000000").parse().unwrap()
        };
        let bytes =
            [(Some(1_000), 249), (Some(1_000), 250), (None, 1), (Some(1_000), 100), (Some(9_000), 2_000)];
        let held = bytes
            .iter()
            .zip(0..)
            .map(|((stored, alive), number)| (id(number), SourceBytes { stored: *stored, alive: *alive }));
        let known = Known {
            known: 1,
            repository: "r".to_owned(),
            snapshot: id(4),
            chain: vec![id(4)],
            sources: (0..5).map(id).collect(),
            held: held.collect(),
        };
        assert_eq!(choose(&known, 25, 1 << 30), [id(0), id(3), id(4)].into());
        assert_eq!(choose(&known, 25, 400), [id(0), id(3)].into());
        assert_eq!(choose(&known, 25, 120), [id(3)].into());
        assert_eq!(choose(&known, 0, 1 << 30), BTreeSet::new());
        let other = Known { sources: vec![id(1)], ..known };
        assert_eq!(choose(&other, 25, 1 << 30), BTreeSet::new(), "no source of the list");
    }
}
