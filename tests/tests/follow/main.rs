//! Following: while the agent runs, every new file of a filestore is in the repository within seconds.
#![allow(clippy::unwrap_used)] // a failing test panics

mod copies;
mod cost;
mod faults;
mod load;
mod stored;
mod times;
mod watch;
mod whole;
mod world;
