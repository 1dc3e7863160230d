//! A checkpoint in which every field is set, for tests.

use super::predicate::Checkpoint;

/// Its JSON; the end-to-end tests read the same file.
pub const JSON: &str = include_str!("sample.json");

/// The checkpoint.
pub fn checkpoint() -> Checkpoint {
    serde_json::from_str(JSON).unwrap()
}
