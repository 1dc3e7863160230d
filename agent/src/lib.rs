//! Lifeboat's library: see `docs/architecture.md` for what lies where.
//!
//! Imports run downwards: cli → agent → doctor → jobs (backup, recovery, setup, upkeep, wal, daemon) → status →
//! inventory → catalog, repository, program → odoo → archive, postgres, store → config → names, progress → disk, clock → error.

pub mod agent;
pub mod archive;
mod backup;
mod catalog;
pub mod child;
mod cli;
pub mod clock;
pub mod config;
mod crontab;
pub mod daemon;
pub mod disk;
pub mod doctor;
pub mod environment;
pub mod error;
pub mod inventory;
pub mod names;
pub mod odoo;
pub mod postgres;
pub mod program;
pub mod progress;
mod rate_limit;
mod recovery;
pub mod repository;
pub mod setup;
pub mod status;
pub mod store;
pub mod upkeep;
pub mod wal;

pub use cli::main;
