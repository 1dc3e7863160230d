//! Expire on real repositories, in seeded histories: killed at any request, beside backups and verify,
//! under wrong clocks, with listings that leave something out. What was promised stays whole.
#![allow(clippy::unwrap_used, clippy::disallowed_methods)] // a test panics, and changes what a stranger would

mod campaign;
mod listing;
mod place;
mod promised;
mod template;
mod year;
