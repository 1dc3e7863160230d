//! What this host records for itself: the state directory. All of it may be lost: the next backup then reads
//! everything again and says so.

pub mod census;
pub mod checkpoints;
pub mod copies;
pub mod doubt;
pub mod held;
pub mod known;
pub mod known_base;
pub mod known_scratch;
pub mod last_checkpoint;
pub mod last_expire;
pub mod last_verify;
pub mod manifests;
pub mod proven;
pub mod record;
pub mod runs;
mod sqlite;
pub mod state;
pub mod stream;
pub mod suspicion;
pub mod verified;
