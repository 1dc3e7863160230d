//! Measures how long the stages of a restore take.

use std::sync::{Mutex, PoisonError};

use serde::Serialize;

use crate::clock;
use crate::error::Result;

/// How long one stage took.
#[derive(Clone, Debug, Serialize)]
pub struct Stage {
    /// Its name.
    pub name: &'static str,
    /// Its duration.
    pub seconds: f64,
}

/// Measures stages that may run at the same time.
#[derive(Default)]
pub struct Stopwatch(Mutex<Vec<Stage>>);

impl Stopwatch {
    /// Runs `work` and notes how long it took.
    pub async fn time<T>(&self, name: &'static str, work: impl Future<Output = Result<T>>) -> Result<T> {
        let begun = clock::instant();
        let done = work.await;
        let stage = Stage { name, seconds: begun.elapsed().as_secs_f64() };
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(stage);
        done
    }

    /// The noted stages.
    pub fn stages(self) -> Vec<Stage> {
        self.0.into_inner().unwrap_or_else(PoisonError::into_inner)
    }
}
