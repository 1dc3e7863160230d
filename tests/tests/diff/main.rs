//! Two backups of one tenant: what was lost between them is named, and what people do every week is not.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::disallowed_methods)] // a failing test panics

mod command;
mod copies;
mod damages;
mod week;
mod world;
