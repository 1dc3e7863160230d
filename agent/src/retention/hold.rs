//! A hold: what a person said must stay, whatever the rules say.

use serde::{Deserialize, Serialize};

pub use crate::archive::hold::Held;
use crate::clock::Timestamp;

/// A hold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hold {
    /// Its name.
    pub name: String,
    /// What it holds.
    pub held: Held,
    /// Why.
    pub reason: String,
    /// Who said so.
    pub by: String,
    /// When, by the store's clock.
    pub since: Timestamp,
    /// When it was removed, by the store's clock: it holds for one more grace.
    pub removed: Option<Timestamp>,
}
