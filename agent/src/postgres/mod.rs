//! The PostgreSQL cluster: sessions, PostgreSQL's own client programs, dumps and their restore.
//!
//! Nothing here knows Odoo or keeps state between calls. Every child process is killed with its whole
//! process group when its owner is dropped, and every wait has a deadline.

pub mod base;
mod child;
pub mod collations;
pub mod connect;
pub mod control;
pub mod copy_out;
pub mod create;
pub mod database;
pub mod decimal;
pub mod dump;
pub mod dumpable;
pub mod globals;
pub mod leftovers;
pub mod load;
pub mod look;
pub mod page;
pub mod password;
mod pooler;
mod program_env;
pub mod quote;
pub mod readback;
pub mod rename;
pub mod replication;
pub mod restore;
pub mod restore_failures;
mod row;
pub mod safe_settings;
pub mod server;
pub mod server_command;
pub mod server_start;
pub mod server_stop;
pub mod session;
pub mod settings;
pub mod snapshot;
pub mod summaries;
pub mod table;
pub mod tools;
pub mod wire;

pub use connect::{PostgresOptions, Tls};
pub use create::{Publication, create_restore_database, publish_database};
pub use database::{DatabaseProperties, Grant, Setting};
pub use dump::{DumpChild, DumpEnd};
pub use globals::GlobalsDump;
pub use readback::ReadBack;
pub use restore::{Ran, Restore, RestoreProgress};
pub use server::{ServerInfo, server_info};
pub use session::Session;
pub use settings::apply_settings;
pub use snapshot::SnapshotSession;
pub use tools::Tools;
