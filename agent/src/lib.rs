//! Lifeboat's library: see `docs/architecture.md` for what lies where.
//!
//! Imports run downwards: cli → jobs (backup, recovery, upkeep, wal) → inventory → catalog, repository →
//! archive, postgres, odoo → store → config → disk, clock, names, progress, error.

pub mod archive;
pub mod backup;
pub mod catalog;
pub mod child;
pub mod cli;
pub mod clock;
pub mod config;
pub mod crontab;
pub mod daemon;
pub mod disk;
pub mod environment;
pub mod error;
pub mod inventory;
pub mod names;
pub mod odoo;
pub mod postgres;
pub mod progress;
pub mod rate_limit;
pub mod recovery;
pub mod repository;
pub mod store;
pub mod upkeep;
pub mod wal;
