//! How far a job is. Jobs add to a [`Progress`]; the code that shows it reads a [`Snapshot`]. Jobs know
//! nothing of terminals, and adding costs one atomic operation, so they may add per block.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Notes that nobody has read yet; beyond this the oldest are dropped.
const NOTES_MAX: usize = 1_000;

/// A handle on which a job reports: cheap to clone, and shared among threads.
#[derive(Clone, Debug)]
pub struct Progress(Arc<State>);

#[derive(Debug)]
struct State {
    label: String,
    /// 0 while it is not known.
    bytes_total: AtomicU64,
    bytes: AtomicU64,
    files: AtomicU64,
    words: Mutex<Words>,
}

#[derive(Debug, Default)]
struct Words {
    stage: String,
    notes: std::collections::VecDeque<String>,
}

/// The state of a [`Progress`] at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// The job: `backup retail_north`.
    pub label: String,
    /// What it is doing; empty before it reported anything.
    pub stage: String,
    /// Bytes done.
    pub bytes: u64,
    /// Bytes to do in total, where known. `None` where an estimate turned out too small, rather than more
    /// than all of it.
    pub bytes_total: Option<u64>,
    /// Files done.
    pub files: u64,
}

impl Progress {
    /// A job called `label`, with so many bytes to do where that is known.
    pub fn new(label: impl Into<String>, bytes_total: Option<u64>) -> Progress {
        Progress(Arc::new(State {
            label: label.into(),
            bytes_total: AtomicU64::new(bytes_total.unwrap_or(0)),
            bytes: AtomicU64::new(0),
            files: AtomicU64::new(0),
            words: Mutex::default(),
        }))
    }

    /// A handle that nobody reads.
    pub fn unseen() -> Progress {
        Progress::new("", None)
    }

    /// Adds to the bytes to do. A job in parts calls it for each part, so that bytes done of one part are
    /// never counted for the next.
    pub fn expect_bytes(&self, bytes: u64) {
        self.0.bytes_total.fetch_add(bytes, Relaxed);
    }

    /// Counts bytes as done.
    pub fn add_bytes(&self, bytes: u64) {
        self.0.bytes.fetch_add(bytes, Relaxed);
    }

    /// Counts files as done.
    pub fn add_files(&self, files: u64) {
        self.0.files.fetch_add(files, Relaxed);
    }

    /// Says what the job is doing now.
    pub fn stage(&self, stage: impl Into<String>) {
        self.words().stage = stage.into();
    }

    /// Leaves a line for the person who watches.
    pub fn note(&self, note: impl Into<String>) {
        let mut words = self.words();
        if words.notes.len() == NOTES_MAX {
            words.notes.pop_front();
        }
        words.notes.push_back(note.into());
    }

    /// The notes since the last call, oldest first.
    pub fn take_notes(&self) -> Vec<String> {
        self.words().notes.drain(..).collect()
    }

    /// How far the job is now.
    pub fn snapshot(&self) -> Snapshot {
        let bytes = self.0.bytes.load(Relaxed);
        Snapshot {
            label: self.0.label.clone(),
            stage: self.words().stage.clone(),
            bytes,
            bytes_total: Some(self.0.bytes_total.load(Relaxed)).filter(|total| *total > 0 && bytes <= *total),
            files: self.0.files.load(Relaxed),
        }
    }

    fn words(&self) -> MutexGuard<'_, Words> {
        self.0.words.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_added_is_seen_and_notes_are_bounded() {
        let progress = Progress::new("backup a", None);
        let other = progress.clone();
        other.add_bytes(3);
        other.add_files(1);
        other.stage("dump");
        progress.expect_bytes(10);
        let seen = progress.snapshot();
        assert_eq!((seen.bytes, seen.bytes_total, seen.files, seen.stage.as_str()), (3, Some(10), 1, "dump"));
        // Another part, and then more than was expected: no total is better than a wrong one.
        progress.expect_bytes(5);
        assert_eq!(progress.snapshot().bytes_total, Some(15));
        other.add_bytes(12);
        assert_eq!(progress.snapshot().bytes_total, Some(15), "all of it");
        other.add_bytes(1);
        assert_eq!((progress.snapshot().bytes, progress.snapshot().bytes_total), (16, None));
        for i in 0..NOTES_MAX + 2 {
            progress.note(i.to_string());
        }
        let notes = progress.take_notes();
        assert_eq!((notes.len(), notes[0].as_str()), (NOTES_MAX, "2"));
        assert!(progress.take_notes().is_empty());
    }
}
