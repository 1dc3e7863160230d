//! `lifeboat backup --kind base`: the files of a whole cluster, taken beside the running server.
#![allow(clippy::unwrap_used)] // a failing test panics

mod contents;
mod copy;
mod damaged_wal;
mod full;
mod held;
mod moved;
mod protocol;
mod quiet;
mod restore;
mod slot;
mod standby;
mod storm;
mod summaries;
mod times;
