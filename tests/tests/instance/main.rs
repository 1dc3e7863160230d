//! `lifeboat restore --instance-to`: what a whole instance can be brought back to, onto what, and
//! what is refused.
#![allow(clippy::unwrap_used)] // a failing test panics

mod archiving;
#[path = "../base/copy.rs"]
mod copy;
mod delta;
mod environment;
mod lives;
mod outside;
mod printed;
mod production;
mod raised;
mod refused;
mod targets;
mod timelines;
mod to_itself;
