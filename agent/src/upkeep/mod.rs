//! Looking after what is stored: is every byte still there and still the one that was signed?
//! Nothing here writes.

pub mod assemble;
pub mod deep;
pub mod drills;
pub mod findings;
pub mod meter;
pub mod scope;
pub mod verify;

/// The sealed baseline of a dump (docs/format.md).
pub const BASELINE: &str = "baseline.zst.age";
