//! Names of WAL objects whose signatures were checked before. Whether a key signed a name for a place never
//! changes, so what was found once need not be computed again: a check takes 50 µs, a look here less than 1.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

/// The first half of the SHA-256 of a name, of its place and of its signature.
pub type SeenName = [u8; 16];

/// How many names are kept for each name that a command asked for. `status` asks for one name of a segment,
/// a plan of expire for all.
const MOST: usize = 20;

/// Names that a trusted key signed.
#[derive(Debug, Default)]
pub struct SeenNames {
    known: HashSet<SeenName>,
    /// Those that were asked for, known or not.
    asked: Mutex<HashSet<SeenName>>,
}

impl SeenNames {
    /// These.
    pub fn new(known: impl IntoIterator<Item = SeenName>) -> SeenNames {
        SeenNames { known: known.into_iter().collect(), asked: Mutex::default() }
    }

    /// Whether this one is signed; `check` is called where that is not known.
    pub fn is_signed(&self, name: SeenName, check: impl FnOnce() -> bool) -> bool {
        let is_signed = self.known.contains(&name) || check();
        if is_signed {
            self.asked.lock().unwrap_or_else(PoisonError::into_inner).insert(name);
        }
        is_signed
    }

    /// All that are worth keeping; `None` where nothing is new. A name that was not asked for is of WAL that
    /// is gone, or that this command did not look at. Where there are too many of them, all are forgotten.
    pub fn to_keep(&self) -> Option<HashSet<SeenName>> {
        let asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        if asked.is_subset(&self.known) {
            return None;
        }
        let is_most = self.known.len() > MOST * asked.len();
        Some(if is_most { asked.clone() } else { asked.union(&self.known).copied().collect() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_signed_is_checked_once_and_what_is_not_each_time() {
        let seen = SeenNames::new([[1; 16]]);
        assert!(seen.is_signed([1; 16], || unreachable!("it is known")));
        assert_eq!(seen.to_keep(), None);
        assert!(!seen.is_signed([2; 16], || false));
        assert_eq!(seen.to_keep(), None, "a refused name is not kept");
        assert!(seen.is_signed([3; 16], || true));
        assert_eq!(seen.to_keep(), Some(HashSet::from([[1; 16], [3; 16]])));
        let old = SeenNames::new((0..21).map(|n| [n; 16]));
        assert!(old.is_signed([99; 16], || true));
        assert_eq!(old.to_keep(), Some(HashSet::from([[99; 16]])), "WAL that is gone is forgotten");
    }
}
