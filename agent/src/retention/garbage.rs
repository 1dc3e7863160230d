//! What belongs to no snapshot, batch or WAL that counts, and goes by rules of its own: by its age alone.
//! Plain values, like the stock; whose time is over was decided by the store's times.

use std::collections::{BTreeMap, HashMap};

use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;
use crate::store::UnfinishedUpload;

/// Pieces of a sort in one run: whoever can write to the repository can make any number.
const PIECES_MAX: usize = 25_000;
/// Foreign objects that are named: whoever can write to the repository can make any number.
const FOREIGN_MAX: usize = 1_000;

/// What a piece of garbage is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Sort {
    /// An object in the folder of a snapshot that its manifest does not name.
    Part,
    /// What remained of a test whether the store overwrites.
    Probe,
    /// The record of a suspicious backup, whose time is over.
    Suspicion,
    /// The report of a drill.
    Drill,
}

impl Sort {
    /// All of them.
    pub const ALL: [Sort; 4] = [Sort::Part, Sort::Probe, Sort::Suspicion, Sort::Drill];

    /// For a person; more than one.
    pub fn words(self) -> &'static str {
        match self {
            Sort::Part => "objects that no manifest names",
            Sort::Probe => "remains of tests of the store",
            Sort::Suspicion => "records of suspicious backups",
            Sort::Drill => "drill reports",
        }
    }
}

/// A piece of garbage.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Piece {
    /// What it is.
    pub sort: Sort,
    /// Its key; of several objects, their folder.
    pub name: String,
    /// Its objects, what makes it exist first.
    #[serde(skip)]
    pub keys: Vec<String>,
    /// When its newest object was stored, by the store's clock.
    pub stored_at: Timestamp,
    /// Size of its objects.
    pub bytes: u64,
    /// Since when nobody needs it.
    pub over: Timestamp,
}

/// All that was found.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Garbage {
    /// What goes when its time is over.
    pub pieces: Vec<Piece>,
    counts: BTreeMap<Sort, usize>,
    /// How many drill reports there are.
    pub reports: usize,
    /// Folders of those that are too young, when the newest object of each was stored, and since when it will
    /// be garbage.
    pub young_reports: HashMap<String, (Timestamp, Timestamp)>,
    /// Uploads that were not finished, and of which nothing was stored since a grace.
    pub uploads: Vec<UnfinishedUpload>,
    /// Objects under names that Lifeboat never writes: they are never deleted.
    pub foreign: Vec<String>,
    /// How many more of these there are.
    pub foreign_more: usize,
    /// What could not be read: nothing of it goes.
    pub unknown: Vec<String>,
    /// What a person should know.
    pub notes: Vec<String>,
}

impl Garbage {
    /// Notes a piece. What is too much goes with a later run, and the plan says so: all of them are named in
    /// one tombstone. So one sort cannot take the room of the others.
    pub fn add(&mut self, piece: Piece) {
        let count = self.counts.entry(piece.sort).or_default();
        *count += 1;
        match *count <= PIECES_MAX {
            true => self.pieces.push(piece),
            false if *count == PIECES_MAX + 1 => {
                let what = piece.sort.words();
                self.notes.push(format!(
                    "more than {PIECES_MAX} {what}: a later run of lifeboat expire takes the others"
                ));
            }
            false => {}
        }
    }

    /// Notes a foreign object.
    pub fn add_foreign(&mut self, key: String) {
        match self.foreign.len() < FOREIGN_MAX {
            true => self.foreign.push(key),
            false => self.foreign_more += 1,
        }
    }
}
