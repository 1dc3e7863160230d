//! What snapshots need that others need. With sets of bits: a filestore needs hundreds of others, each of
//! which needs hundreds.

use std::collections::{BTreeSet, HashMap, HashSet};

use crate::names::SnapshotId;

/// Sets of snapshots, by their places among `names`.
struct Sets {
    names: Vec<SnapshotId>,
    words: usize,
}

impl Sets {
    fn of<'a>(all: impl Iterator<Item = &'a SnapshotId>) -> Sets {
        let distinct: HashSet<&SnapshotId> = all.collect();
        let mut names: Vec<SnapshotId> = distinct.into_iter().cloned().collect();
        names.sort_unstable();
        let words = names.len().div_ceil(64);
        Sets { names, words }
    }

    fn set(&self, place: &HashMap<&SnapshotId, usize>, ids: &BTreeSet<SnapshotId>) -> Vec<u64> {
        let mut set = vec![0; self.words];
        ids.iter().map(|id| place[id]).for_each(|at| set[at / 64] |= 1 << (at % 64));
        set
    }

    fn ids(&self, set: &[u64]) -> BTreeSet<SnapshotId> {
        let holds = |at: &usize| set[at / 64] & (1 << (at % 64)) != 0;
        (0..self.names.len()).filter(holds).map(|at| self.names[at].clone()).collect()
    }
}

/// Adds to what each of these needs what those that it needs need themselves.
pub fn add(all: &mut [(SnapshotId, &mut BTreeSet<SnapshotId>)]) {
    let sets = Sets::of(all.iter().flat_map(|(_, needs)| needs.iter()));
    let place: HashMap<&SnapshotId, usize> = sets.names.iter().zip(0..).collect();
    let own: Vec<Vec<u64>> = all.iter().map(|(_, needs)| sets.set(&place, needs)).collect();
    let of: HashMap<SnapshotId, &Vec<u64>> = all.iter().map(|(id, _)| id.clone()).zip(&own).collect();
    for ((_, needs), own) in all.iter_mut().zip(&own) {
        let mut more = own.clone();
        for other in needs.iter().filter_map(|id| of.get(id)) {
            more.iter_mut().zip(*other).for_each(|(word, also)| *word |= also);
        }
        if more != *own {
            **needs = sets.ids(&more);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_needs_what_those_that_it_needs_need_and_no_more() {
        let id = |n: u64| -> SnapshotId { format!("20261120T015812Z-dump-{n:08x}").parse().unwrap() };
        let mut state = 7_u64;
        let mut random = |below: u64| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 33) % below
        };
        for count in [0, 1, 64, 65, 150] {
            // Some are needed and not there.
            let mut needs: Vec<BTreeSet<SnapshotId>> =
                (0..count).map(|_| (0..random(6)).map(|_| id(random(count + 20))).collect()).collect();
            let ids: Vec<SnapshotId> = (0..count).map(id).collect();
            let known: HashMap<&SnapshotId, &BTreeSet<SnapshotId>> = ids.iter().zip(&needs).collect();
            let wanted = |needs: &BTreeSet<SnapshotId>| {
                let more = needs.iter().filter_map(|id| known.get(id)).flat_map(|more| more.iter());
                more.chain(needs).cloned().collect::<BTreeSet<_>>()
            };
            let wanted: Vec<BTreeSet<SnapshotId>> = needs.iter().map(wanted).collect();
            add(&mut ids.iter().cloned().zip(&mut needs).collect::<Vec<_>>());
            assert_eq!(needs, wanted);
        }
    }
}
