//! The files that wait to be stored.

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::clock::Timestamp;
use crate::disk;
use crate::names::TenantName;

use super::tree::Name;

/// More files are not remembered one by one: a scan finds them.
pub const FILES_MAX: usize = 100_000;
/// Most files that are held open: a file that Odoo deletes before it is stored can still be read.
const OPEN_MAX: u64 = 16_384;
/// Open files that the rest of the agent may need.
const OPEN_BESIDE: u64 = 512;
/// Held open even if the system allows fewer.
const OPEN_MIN: u64 = 128;
/// A file whose content does not match its name yet is read again after this...
const AGAIN_MIN: Duration = Duration::from_millis(250);
/// ... doubled each time up to this...
const AGAIN_MAX: Duration = Duration::from_secs(30);
/// ... and so many times, which is about five minutes. After that it is read only when it has changed.
const TRIES_MAX: u32 = 16;
/// Files with wrong content that are remembered; further ones are read at each scan.
const ODD_MAX: usize = 10_000;

/// What is known of a file that waits.
#[derive(Debug)]
pub struct WaitingFile {
    /// When it was first seen.
    pub since: Timestamp,
    /// It is not read before this.
    due: Instant,
    tries: u32,
    /// Open since it was first seen, where there was room.
    pub opened: Option<File>,
}

/// Everything that waits.
pub struct Waiting {
    files: BTreeMap<Name, WaitingFile>,
    open: usize,
    open_max: usize,
    /// Size and time of files that never matched their names: they are read again when these change.
    odd: HashMap<Name, (u64, i64)>,
    /// Whether some were not added because there was no room.
    pub full: bool,
}

impl Waiting {
    /// An empty list; with as many open files as the system allows this process.
    pub fn new() -> Waiting {
        let open_max = disk::may_open(OPEN_MAX + OPEN_BESIDE).saturating_sub(OPEN_BESIDE).max(OPEN_MIN);
        tracing::debug!(open_max, "new files are held open while they wait");
        Waiting {
            files: BTreeMap::new(),
            open: 0,
            open_max: open_max as usize,
            odd: HashMap::new(),
            full: false,
        }
    }

    /// Adds a file that was seen. `open` is called where there is room for an open file: half of it is
    /// reserved for files that were just reported (`told`), not for those that a scan finds.
    pub fn add(
        &mut self,
        name: Name,
        now: (Timestamp, Instant),
        told: bool,
        open: impl FnOnce() -> Option<File>,
    ) {
        if self.files.len() >= FILES_MAX {
            self.full = true;
            return;
        }
        let new = || WaitingFile { since: now.0, due: now.1, tries: 0, opened: None };
        let seen = self.files.entry(name).or_insert_with(new);
        let room = if told { self.open_max } else { self.open_max / 2 };
        if seen.opened.is_none() && self.open < room {
            seen.opened = open();
            self.open += usize::from(seen.opened.is_some());
        }
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.files.len()
    }

    /// Whether there will soon be no room for open files.
    pub fn is_crowded(&self) -> bool {
        self.open >= self.open_max / 2
    }

    /// When the first is due.
    pub fn first_due(&self) -> Option<Instant> {
        self.files.values().map(|seen| seen.due).min()
    }

    /// How many files of each tenant wait, and since when the first.
    pub fn by_tenant(&self) -> HashMap<Arc<TenantName>, (u64, Timestamp)> {
        let mut of: HashMap<Arc<TenantName>, (u64, Timestamp)> = HashMap::new();
        for (name, seen) in &self.files {
            let entry = of.entry(name.tenant.clone()).or_insert((0, seen.since));
            *entry = (entry.0 + 1, entry.1.min(seen.since));
        }
        of
    }

    /// Takes up to `most` files that are due, sorted by name.
    pub fn take(&mut self, now: Instant, most: usize) -> Vec<(Name, WaitingFile)> {
        let due = self.files.iter().filter(|(_, seen)| seen.due <= now).take(most);
        let names: Vec<Name> = due.map(|(name, _)| name.clone()).collect();
        let taken: Vec<_> = names.into_iter().filter_map(|name| self.files.remove_entry(&name)).collect();
        self.open -= taken.iter().filter(|(_, seen)| seen.opened.is_some()).count();
        taken
    }

    /// Puts a file back whose batch failed.
    pub fn put_back(&mut self, name: Name, seen: WaitingFile) {
        self.open += usize::from(seen.opened.is_some());
        self.files.insert(name, seen);
    }

    /// Puts a file back whose content does not match its name: it may still be written. `false` after so many
    /// tries that it will not match.
    pub fn try_again(&mut self, name: Name, seen: WaitingFile, now: Instant) -> bool {
        let tries = seen.tries + 1;
        if tries <= TRIES_MAX {
            let due = now + AGAIN_MIN.saturating_mul(1 << tries.min(10)).min(AGAIN_MAX);
            self.files.insert(name, WaitingFile { due, tries, opened: None, ..seen });
        }
        tries <= TRIES_MAX
    }

    /// Remembers a file that cannot be stored as it is.
    pub fn note_odd(&mut self, name: Name, looks: (u64, i64)) {
        if self.odd.len() < ODD_MAX {
            self.odd.insert(name, looks);
        }
    }

    /// Whether this is a file that cannot be stored, unchanged since. `looks` is called only for such a file.
    pub fn is_odd(&mut self, name: &Name, looks: impl FnOnce() -> Option<(u64, i64)>) -> bool {
        let Some(known) = self.odd.get(name) else { return false };
        let same = looks().as_ref() == Some(known);
        if !same {
            self.odd.remove(name);
        }
        same
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;

    fn name(path: &str, tenant: &str) -> Name {
        Name { path: path.into(), tenant: Arc::new(tenant.parse().unwrap()) }
    }

    #[test]
    fn files_come_out_sorted_once_and_wait_longer_each_time_they_do_not_fit() {
        let mut waiting = Waiting::new();
        let now = (clock::now(), clock::instant());
        for path in ["bb/2", "aa/1", "bb/2"] {
            waiting.add(name(path, "shop"), now, true, || None);
        }
        waiting.add(name("aa/1", "mill"), now, true, || None);
        assert_eq!(waiting.count(), 3);
        assert_eq!(waiting.by_tenant()[&"shop".parse::<TenantName>().unwrap()].0, 2);
        let taken = waiting.take(now.1, 2);
        let paths: Vec<_> =
            taken.iter().map(|(name, _)| (name.path.as_str(), name.tenant.as_str())).collect();
        assert_eq!(paths, [("aa/1", "mill"), ("aa/1", "shop")]);
        let mut taken = taken.into_iter();
        let (first, mut seen) = taken.next().unwrap();
        let mut at = now.1;
        for _ in 0..TRIES_MAX {
            assert!(waiting.try_again(first.clone(), seen, at));
            let later = waiting.files[&first].due;
            assert!(later > at && later <= at + AGAIN_MAX);
            at = later;
            seen = waiting.files.remove(&first).unwrap();
        }
        assert!(!waiting.try_again(first.clone(), seen, at), "enough");
        waiting.note_odd(first.clone(), (3, 7));
        assert!(waiting.is_odd(&first, || Some((3, 7))));
        assert!(!waiting.is_odd(&first, || Some((4, 8))), "it has changed");
        let (second, seen) = taken.next().unwrap();
        waiting.put_back(second, seen);
        assert_eq!(waiting.take(now.1, 10).len(), 2);
    }
}
