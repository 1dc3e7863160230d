//! `restore-drill run` with both programs: a drill of any state, of several tenants at once, and what it says
//! about data that is not right.
#![allow(clippy::unwrap_used)] // a failing test panics

mod archive;
mod before;
mod instance;
mod live;
mod points;
mod several;
mod shop;
mod trades;
