//! `lifeboat rollback reenter`: what was exported is entered again, once, in the tenant that went back.
#![allow(clippy::unwrap_used)] // a failing test panics

mod answers;
mod business;
mod real;
mod rights;
mod scene;
