//! What snapshots need that others need. With numbers: a filestore needs hundreds of others, each of which
//! needs hundreds.

use std::collections::{BTreeSet, HashMap, HashSet};

use crate::names::SnapshotId;

/// Adds to what each of these needs what those that it needs need themselves.
pub fn add(all: &mut [(SnapshotId, &mut BTreeSet<SnapshotId>)]) {
    let distinct: HashSet<&SnapshotId> =
        all.iter().flat_map(|(id, needs)| needs.iter().chain([id])).collect();
    let names: Vec<SnapshotId> = distinct.into_iter().cloned().collect();
    let place: HashMap<&SnapshotId, usize> = names.iter().zip(0..).collect();
    // By place; empty of what is needed and not there.
    let mut own: Vec<Vec<u32>> = vec![Vec::new(); names.len()];
    for (id, needs) in all.iter() {
        own[place[id]] = needs.iter().map(|need| place[need] as u32).collect();
    }
    // For whom each of them was seen last.
    let mut seen: Vec<usize> = vec![usize::MAX; names.len()];
    for (number, (id, needs)) in all.iter_mut().enumerate() {
        let own_needs = &own[place[id]];
        own_needs.iter().for_each(|need| seen[*need as usize] = number);
        for more in own_needs.iter().flat_map(|need| &own[*need as usize]) {
            if std::mem::replace(&mut seen[*more as usize], number) != number {
                needs.insert(names[*more as usize].clone());
            }
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
