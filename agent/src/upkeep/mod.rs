//! Checks what is stored: is every byte still there, and still the one that was signed? Nothing here writes
//! to the repository; findings are remembered in the state directory.

pub mod assemble;
pub mod checkpoints;
pub mod deep;
mod described;
mod doubtful;
pub mod drills;
pub mod expected;
pub mod findings;
pub mod foreign;
mod holds;
mod lacking;
pub mod meter;
pub mod origin;
mod partial;
mod records;
pub mod remembered;
pub mod scope;
pub mod tombstones;
pub mod verify;
mod versions;
pub mod wal;
mod work;
