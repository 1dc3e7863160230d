//! Compares what is on disk with what is known, name by name: what stays, what must be read, what was
//! removed.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use super::item::{Handled, Item};
use super::sample::{Sample, Sampled};
use crate::archive::index::{Entry, Line};
use crate::backup::batches::Maker;
use crate::backup::file_reader::mtime_ns;
use crate::backup::pace::Pace;
use crate::catalog::known::KnownReader;
use crate::disk::beneath::Dir;
use crate::error::{Error, Kind, Result};
use crate::odoo::filestore::{WalkEntry, WalkKind, not_there, walk};

/// Files a batch: small enough to spread, large enough not to wait for each other.
const BATCH_FILES: usize = 128;
/// Known files cost nothing, so more of them go together.
const BATCH_ITEMS: usize = 2048;

/// Walks the directory and the known files side by side, then reads a sample of the known ones.
pub(super) fn merge(
    maker: Maker<Vec<Item>, Result<Vec<Handled>>>,
    (place, dir): (&Path, Option<&Dir>),
    known: Option<KnownReader>,
    (renumber, again): (&[Option<u32>], &[bool]),
    known_broke: &AtomicBool,
    pace: &Pace,
) -> Result<Sampled> {
    let mut sample = Sample::begin();
    let mut known = known.map(|k| k.index).into_iter().flatten().map(|line| {
        let entry = line.and_then(|line| match line {
            Line::File(mut entry) => {
                let goes = |number: u32| again.get(number as usize).copied().unwrap_or_default();
                let is_again = entry.parts.iter().any(|part| goes(part.snapshot));
                for part in &mut entry.parts {
                    part.snapshot =
                        renumber.get(part.snapshot as usize).copied().flatten().ok_or_else(|| {
                            Error::new(
                                Kind::Integrity,
                                format!(
                                    "the record names {} without the snapshot that stores it",
                                    entry.path
                                ),
                            )
                        })?;
                }
                Ok((entry, is_again))
            }
            Line::Removed(path) => {
                Err(Error::new(Kind::Integrity, format!("the record lists a removed file: {path}")))
            }
        });
        entry.inspect_err(|_| known_broke.store(true, Ordering::Relaxed))
    });
    let mut next_known = known.next().transpose()?;
    // Odoo makes the directory with the first file: a tenant that keeps its attachments in the database has
    // none. Where files are known, a missing directory is an error of the walk.
    let Some(dir) = dir else {
        return match next_known {
            None => Ok(Sampled::default()),
            Some(_) => Err(not_there(place)),
        };
    };
    let mut batch = Batch { maker, items: Vec::new(), reads: 0, gone: false };
    walk(dir, &mut |entry: WalkEntry| {
        pace.stop_if_cancelled()?;
        while let Some(old) = next_known.take_if(|(old, _)| old.path < entry.path) {
            batch.add(Item::Removed(old.0.path));
            next_known = known.next().transpose()?;
        }
        let old = next_known.take_if(|(old, _)| old.path == entry.path);
        if old.is_some() {
            next_known = known.next().transpose()?;
        }
        batch.add(decide(dir, entry, old, &mut sample)?);
        if batch.gone {
            return Err(Error::new(Kind::Interrupted, "the backup of the filestore was stopped"));
        }
        Ok(())
    })?;
    while let Some((old, _)) = next_known {
        batch.add(Item::Removed(old.path));
        next_known = known.next().transpose()?;
    }
    batch.flush();
    drop(batch); // the workers need not wait for the sample
    sample.read(dir, pace)
}

/// A known blob is identified by its name; everything else by size and modification time.
fn decide(dir: &Dir, entry: WalkEntry, old: Option<(Entry, bool)>, sample: &mut Sample) -> Result<Item> {
    let (old, is_again) = old.map_or((None, false), |(old, is_again)| (Some(old), is_again));
    let removes = old.as_ref().map(|old| old.path.clone());
    match &entry.kind {
        WalkKind::File => {}
        WalkKind::Skipped(what) => {
            return Ok(Item::Problem { text: format!("{}: a {what}, skipped", entry.path), removes });
        }
        WalkKind::Unreadable(e) => return Ok(Item::Problem { text: format!("{e:?}"), removes }),
    }
    let replaces = old.is_some();
    if let Some(old) = old {
        if let Some(blob) = entry.blob.filter(|_| old.flaw.is_none()) {
            sample.offer(&entry.relative, || blob.sha1_hex(), old.bytes);
            return Ok(keep(entry, old, is_again));
        }
        match entry.metadata(dir) {
            Ok(Some(meta)) if meta.len() == old.bytes && mtime_ns(&meta) == old.mtime_ns => {
                return Ok(keep(entry, old, is_again));
            }
            _ => {} // reading it reports what is wrong
        }
    }
    let sha1 = entry.blob.map(|blob| blob.sha1_hex());
    Ok(Item::Read { relative: entry.relative, path: entry.path, sha1, replaces })
}

/// A known file that did not change.
fn keep(entry: WalkEntry, old: Entry, is_again: bool) -> Item {
    let sha1 = entry.blob.map(|blob| blob.sha1_hex());
    match is_again {
        true => Item::Again { relative: entry.relative, sha1, old },
        false => Item::Keep(old),
    }
}

struct Batch {
    maker: Maker<Vec<Item>, Result<Vec<Handled>>>,
    items: Vec<Item>,
    reads: usize,
    gone: bool,
}

impl Batch {
    fn add(&mut self, item: Item) {
        self.reads += usize::from(matches!(item, Item::Read { .. } | Item::Again { .. }));
        self.items.push(item);
        if self.reads >= BATCH_FILES || self.items.len() >= BATCH_ITEMS {
            self.flush();
        }
    }

    fn flush(&mut self) {
        self.reads = 0;
        let items = std::mem::take(&mut self.items);
        self.gone |= !items.is_empty() && !self.maker.send(items);
    }
}
