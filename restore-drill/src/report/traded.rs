//! What Odoo did on the restored copy: each step of the transactions, and what it sent.

use serde::{Deserialize, Serialize};

use super::finding::State;

/// One step of a business transaction.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// The transaction: `order to payment`.
    pub flow: String,
    /// The step: `delivery`.
    pub name: String,
    /// How it ended; [`State::NotRun`] if this tenant has nothing for it, or an earlier step failed.
    pub state: State,
    /// How long it took.
    pub ms: u64,
    /// What was done, with numbers and amounts, or why not.
    pub what: String,
}

/// What left a network namespace without a way out, and what wanted to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Traffic {
    /// The interfaces of the namespace.
    pub interfaces: Vec<String>,
    /// Packets that they sent, without loopback.
    pub packets_out: u64,
    /// Connections and packets that found no route.
    pub attempts: u64,
    /// Scheduled actions that were run once.
    pub actions: usize,
    /// Those of them that tried to connect, with the number of attempts.
    pub calling_out: Vec<(String, u64)>,
}
