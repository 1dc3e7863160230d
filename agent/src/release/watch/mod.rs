//! Whether the business still runs after a release: documents, failures and waits of each tenant since the
//! release, compared with the time before it and with the same hours a week before.
//!
//! A look that fails is "not known", and that is never "continue". A drop counts only if it is one against
//! both comparisons, and only if they have enough documents: so a quiet hour is no alarm.

pub mod judge;
mod look;
pub mod metrics;
pub mod run;
pub mod series;
