//! The chain of checkpoints: each names the one before it by its digest, so that none can be removed or
//! exchanged unnoticed. Pure.

use std::collections::BTreeMap;

use serde::Serialize;

use super::predicate::Previous;
use crate::archive::digest::Sha256;
use crate::clock::Timestamp;
use crate::names::ReleaseId;

/// A checkpoint as the chain sees it.
#[derive(Clone, Debug)]
pub struct Link {
    /// Its release.
    pub release: ReleaseId,
    /// SHA-256 of its `checkpoint.json` as stored.
    pub sha256: Sha256,
    /// The one before it, as it says.
    pub previous: Option<Previous>,
    /// When it was stored, by the store's clock.
    pub stored_at: Timestamp,
}

/// What is wrong with the chain at a checkpoint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Hole {
    /// The one before it is not stored, or not believed.
    Missing {
        /// The missing one.
        release: ReleaseId,
    },
    /// The one before it is stored with other bytes.
    Differs {
        /// The one that differs.
        release: ReleaseId,
    },
    /// Another checkpoint names the same one before it.
    Fork {
        /// The other checkpoint.
        release: ReleaseId,
    },
    /// It says that it is the first, and another one says so, too.
    SecondFirst {
        /// The other one.
        release: ReleaseId,
    },
    /// It was stored before the one that it names, or they name each other.
    Order {
        /// The one that it names.
        release: ReleaseId,
    },
}

impl Hole {
    /// In a sentence, about the checkpoint that has it.
    pub fn text(&self) -> String {
        match self {
            Hole::Missing { release } => {
                format!("the checkpoint before it, of release {release}, is missing or not trusted")
            }
            Hole::Differs { release } => {
                format!("the checkpoint before it, of release {release}, was replaced: its digest differs")
            }
            Hole::Fork { release } => {
                format!("the checkpoint of release {release} names the same previous checkpoint")
            }
            Hole::SecondFirst { release } => {
                format!("it says that it is the first checkpoint, and so does that of release {release}")
            }
            Hole::Order { release } => {
                format!("it was stored before the checkpoint of release {release}, which it names")
            }
        }
    }
}

/// What the next checkpoint says of the newest of these; `None` where there are none. Sorts them.
pub fn newest(links: &mut [Link]) -> Option<Previous> {
    sort(links);
    links.last().map(|last| Previous { release: last.release.clone(), sha256: last.sha256 })
}

/// From the oldest to the newest, by the store's time; within its precision (a second, on S3) by the chain.
fn sort(links: &mut [Link]) {
    let before: BTreeMap<&ReleaseId, &ReleaseId> =
        links.iter().filter_map(|link| Some((&link.release, &link.previous.as_ref()?.release))).collect();
    let depth = |link: &Link| {
        let previous = |at: &&ReleaseId| before.get(*at).copied();
        // Those that name each other in a circle have no end.
        std::iter::successors(Some(&link.release), previous).take(links.len() + 1).count()
    };
    let depths: BTreeMap<ReleaseId, usize> =
        links.iter().map(|link| (link.release.clone(), depth(link))).collect();
    links.sort_by_cached_key(|link| {
        (link.stored_at, depths.get(&link.release).copied(), link.release.clone())
    });
}

/// Sorts from the oldest to the newest, by the store's time, and gives the holes of each.
pub fn order(links: &mut [Link]) -> Vec<Vec<Hole>> {
    sort(links);
    let known: BTreeMap<&ReleaseId, &Link> = links.iter().map(|link| (&link.release, link)).collect();
    let holes = |link: &Link| {
        let mut holes = Vec::new();
        let twin =
            links.iter().find(|other| other.release != link.release && other.previous == link.previous);
        let Some(previous) = &link.previous else {
            holes.extend(twin.map(|other| Hole::SecondFirst { release: other.release.clone() }));
            return holes;
        };
        let release = previous.release.clone();
        match known.get(&previous.release) {
            None => holes.push(Hole::Missing { release }),
            Some(before) if before.sha256 != previous.sha256 => holes.push(Hole::Differs { release }),
            Some(before) if before.release == link.release || before.stored_at > link.stored_at => {
                holes.push(Hole::Order { release });
            }
            Some(_) => {}
        }
        holes.extend(twin.map(|other| Hole::Fork { release: other.release.clone() }));
        holes
    };
    links.iter().map(holes).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(name: &str) -> ReleaseId {
        name.parse().unwrap()
    }

    /// A checkpoint whose content is its name.
    fn link(name: &str, previous: Option<&str>, second: i64) -> Link {
        let previous =
            previous.map(|name| Previous { release: id(name), sha256: Sha256::of(name.as_bytes()) });
        let stored_at = Timestamp::from_second(second).unwrap();
        Link { release: id(name), sha256: Sha256::of(name.as_bytes()), previous, stored_at }
    }

    fn holes(mut links: Vec<Link>) -> Vec<(String, Hole)> {
        let holes = order(&mut links);
        let named = links.iter().zip(holes);
        named
            .flat_map(|(link, holes)| holes.into_iter().map(|hole| (link.release.to_string(), hole)))
            .collect()
    }

    #[test]
    fn a_whole_chain_has_no_hole_in_whatever_order_it_is_read() {
        let mut links = vec![link("c", Some("b"), 3), link("a", None, 1), link("b", Some("a"), 2)];
        assert_eq!(order(&mut links), [vec![], vec![], vec![]]);
        assert_eq!(links.iter().map(|link| link.release.as_str()).collect::<String>(), "abc");
        assert!(holes(Vec::new()).is_empty());
        // All within the second that the store's clock shows.
        let mut links = vec![link("a", Some("b"), 1), link("b", Some("c"), 1), link("c", None, 1)];
        assert_eq!(order(&mut links), [vec![], vec![], vec![]]);
        assert_eq!(links.iter().map(|link| link.release.as_str()).collect::<String>(), "cba");
        assert_eq!(newest(&mut links), link("x", Some("a"), 1).previous);
        assert_eq!(newest(&mut []), None);
        let mut circle = vec![link("a", Some("b"), 1), link("b", Some("a"), 1)];
        assert_eq!(order(&mut circle), [vec![], vec![]], "no digest can be right in a circle");
    }

    #[test]
    fn each_hole_is_named() {
        let removed = holes(vec![link("a", None, 1), link("c", Some("b"), 3)]);
        assert_eq!(removed, [("c".to_owned(), Hole::Missing { release: id("b") })]);
        let mut exchanged = link("a", None, 1);
        exchanged.sha256 = Sha256::of(b"other");
        let exchanged = holes(vec![exchanged, link("b", Some("a"), 2)]);
        assert_eq!(exchanged, [("b".to_owned(), Hole::Differs { release: id("a") })]);
        let forked = holes(vec![link("a", None, 1), link("b", Some("a"), 2), link("c", Some("a"), 3)]);
        let fork = |of: &str, with: &str| (of.to_owned(), Hole::Fork { release: id(with) });
        assert_eq!(forked, [fork("b", "c"), fork("c", "b")]);
        let firsts = holes(vec![link("a", None, 1), link("b", None, 2)]);
        let first = |of: &str, with: &str| (of.to_owned(), Hole::SecondFirst { release: id(with) });
        assert_eq!(firsts, [first("a", "b"), first("b", "a")]);
        let late = holes(vec![link("a", None, 5), link("b", Some("a"), 2)]);
        assert_eq!(late, [("b".to_owned(), Hole::Order { release: id("a") })]);
        let first_removed = holes(vec![link("b", Some("a"), 2), link("c", Some("b"), 3)]);
        assert_eq!(first_removed.len(), 1);
        assert!(first_removed[0].1.text().contains("release a, is missing"));
    }
}
