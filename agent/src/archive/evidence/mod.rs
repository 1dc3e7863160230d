//! The evidence of a checkpoint: an in-toto Statement in a DSSE envelope, signed with ECDSA P-256, so that
//! tools of strangers verify it (docs/evidence.md).

pub mod chain;
pub mod dsse;
pub mod gate;
pub mod key;
pub mod markdown;
pub mod predicate;
pub mod require;
pub mod schema;
pub mod scorecard;
pub mod statement;
pub mod svr;
pub mod verdict;

#[cfg(test)]
pub(crate) mod sample;
