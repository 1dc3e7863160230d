//! Decisions, and for how long they count.
//!
//! Within one run of a pipeline (`planId`), the same question has one decision: a check that is fired again
//! gets it, also while it is being made. Another run decides a blocked release again, because its cause may
//! be corrected; a release that passed has its checkpoint, which every call finds again.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::OnceCell;
use tokio_util::sync::CancellationToken;

use super::asked::Asked;
use crate::daemon::child;

/// Decisions that are kept; the oldest goes first.
const KEPT_MAX: usize = 1_000;

/// How `lifeboat checkpoint` is called.
pub struct Decider {
    /// The program.
    pub program: PathBuf,
    /// The arguments before the command.
    pub arguments: Vec<String>,
    /// How long it may take.
    pub limit: Duration,
}

/// A decision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// Whether the release may go on.
    pub passed: bool,
    /// What the checkpoint printed.
    pub said: String,
}

type Key = (String, Vec<String>);

/// The decisions of this agent's life.
pub struct Decisions {
    decider: Decider,
    kept: Mutex<VecDeque<(Key, Arc<OnceCell<Decision>>)>>,
}

impl Decisions {
    /// None yet.
    pub fn new(decider: Decider) -> Decisions {
        Decisions { decider, kept: Mutex::default() }
    }

    /// The decision of this question: the one that exists, or a new one.
    pub async fn of(&self, asked: &Asked, cancel: &CancellationToken) -> Decision {
        self.cell(asked).get_or_init(|| self.decider.decide(asked, cancel)).await.clone()
    }

    fn cell(&self, asked: &Asked) -> Arc<OnceCell<Decision>> {
        let key = (asked.plan.clone(), asked.arguments.clone());
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, cell)) = kept.iter().find(|(known, _)| *known == key) {
            return cell.clone();
        }
        if kept.len() >= KEPT_MAX {
            kept.pop_front();
        }
        let cell = Arc::new(OnceCell::new());
        kept.push_back((key, cell.clone()));
        cell
    }
}

impl Decider {
    /// Only exit code 0 passes.
    async fn decide(&self, asked: &Asked, cancel: &CancellationToken) -> Decision {
        let own = ["checkpoint", "--ci=none"].map(str::to_owned);
        let arguments: Vec<String> =
            self.arguments.iter().cloned().chain(own).chain(asked.arguments.iter().cloned()).collect();
        match child::run_printing(&self.program, &arguments, self.limit, cancel).await {
            Ok((ended, printed)) => {
                let said = [printed.trim(), ended.said.trim()].join("\n").trim().to_owned();
                Decision { passed: ended.exit_code == Some(0), said }
            }
            Err(e) => Decision { passed: false, said: e.line() },
        }
    }
}
