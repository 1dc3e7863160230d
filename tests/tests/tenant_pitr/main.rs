//! `lifeboat restore --tenant … --to-time …`: one tenant of a shared cluster at a point in time.
#![allow(clippy::unwrap_used)] // a failing test panics

mod accidents;
mod as_of;
mod confirmed;
mod many;
mod raised;
mod root_only;
mod scratch;
mod shared;
mod ways;
