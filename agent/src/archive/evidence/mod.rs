//! The evidence of a checkpoint: an in-toto Statement in a DSSE envelope, signed with ECDSA P-256, so that
//! tools of strangers verify it (docs/evidence.md).

pub mod gate;
pub mod predicate;
