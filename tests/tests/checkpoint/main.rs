//! The release checkpoint: its gates, its evidence, and that none of them passes by mistake.
#![allow(clippy::unwrap_used, clippy::disallowed_methods)] // a failing test panics

mod ci;
#[path = "../base/copy.rs"]
mod copy;
mod faults;
mod gates;
mod hooks;
mod kube;
mod made;
mod recorded;
mod rehearsal;
mod requests;
mod world;
