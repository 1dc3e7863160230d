//! Foreign objects: as far as a check can tell, Lifeboat did not write them.
//!
//! **The rule.** A foreign object does not count, so nothing is lost by it. It is named, and it is no damage
//! (never exit code 10). There are two sorts:
//! - A *stray* belongs to nothing: no object of ours has this name, this place, or this type (a FIFO, a
//!   link). It is named, and that is all.
//! - A *claim* has a name of ours, but no trusted key signed it. Either somebody made it up, or the key that
//!   signed it is missing in `signing.trusted_keys`: then it is ours, but does not count. Only a person can
//!   decide that: exit code 3, as in `wal status` and `status`.

use serde::Serialize;

/// Foreign objects that are named: whoever can write to the repository can make any number.
const NAMED_MAX: usize = 10_000;

/// A foreign object.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct ForeignObject {
    /// Its key.
    pub object: String,
    /// Why it is foreign.
    pub why: String,
    /// Whether it has a name of ours.
    pub claim: bool,
}

/// Those that were found.
#[derive(Debug, Default)]
pub struct ForeignObjects {
    named: Vec<ForeignObject>,
    more: u64,
    claims: u64,
}

impl ForeignObjects {
    /// Notes one.
    pub fn add(&mut self, object: &str, why: String, claim: bool) {
        self.claims += u64::from(claim);
        match self.named.len() < NAMED_MAX {
            true => self.named.push(ForeignObject { object: object.to_owned(), why, claim }),
            false => self.more += 1,
        }
    }

    /// Notes so many more, without names.
    pub fn add_unnamed(&mut self, count: u64, claim: bool) {
        self.more += count;
        self.claims += if claim { count } else { 0 };
    }

    /// Those that are named, by key, and how many more there are.
    pub fn into_named(mut self) -> (Vec<ForeignObject>, u64) {
        self.named.sort();
        (self.named, self.more)
    }

    /// What a person must look at.
    pub fn problem(&self) -> Option<String> {
        let first = self.named.iter().find(|object| object.claim).map(|object| object.object.as_str());
        (self.claims > 0).then(|| {
            let (count, them) = match self.claims {
                1 => ("1 object has a name".to_owned(), "it"),
                n => (format!("{n} objects have names"), "them"),
            };
            let first = first.map_or(String::new(), |first| format!(", the first is {first}"));
            format!(
                "{count} of ours but no trusted signature{first}; find out who wrote {them}; if a \
                signing key was replaced, add the public half of the old one to signing.trusted_keys"
            )
        })
    }
}
