//! Lifeboat backs up and restores Odoo: PostgreSQL databases, the WAL of their cluster, and filestores.
//! All of it goes into a repository (a directory or an object store) as archives that are encrypted,
//! signed and checksummed.
//!
//! This is the library of the program `lifeboat`, whose `main` is [`main()`]. Other programs can use it to
//! read a repository; `restore-drill` does. The jobs that write (backup, restore) can only be started
//! through the program.
//!
//! # Where to begin
//!
//! - [`config::Config`] is the validated configuration: from `lifeboat.toml`, the environment and flags.
//! - [`repository::Repository`] is one instance's part of a repository: its snapshots and its WAL.
//! - [`inventory::Inventory`] lists what is stored there, read once, with signatures checked. Plans of
//!   restores ([`inventory::plan`]) are pure functions of it.
//!
//! Every function that can fail returns [`error::Error`]. It says what broke, the effect on the backups,
//! the causes, and what to do next; its [`error::Kind`] decides the exit code of the program.
//!
//! # Example
//!
//! This lists the snapshots of a repository. It needs no private key: manifests are signed, not encrypted.
//!
//! ```no_run
//! use lifeboat::config::{Config, Inputs};
//! use lifeboat::error::Result;
//! use lifeboat::inventory::Inventory;
//! use lifeboat::inventory::take::Wanted;
//! use lifeboat::repository::Repository;
//! use lifeboat::repository::snapshots::Trust;
//!
//! async fn list() -> Result<()> {
//!     let config = Config::load(&Inputs::from_process())?;
//!     let trust = Trust::keys(&config.signing.trusted_keys)?;
//!     let repository = Repository::configured(&config).await?;
//!     let inventory = Inventory::take(&repository, &trust, &Wanted::default()).await?;
//!     for snapshot in inventory.believed() {
//!         println!("{}", snapshot.manifest.id);
//!     }
//!     for (id, why) in inventory.not_believed() {
//!         println!("{id} cannot be trusted: {why}");
//!     }
//!     Ok(())
//! }
//! ```
//!
//! # Layers
//!
//! Imports go downwards only; modules of one line do not import each other. `docs/architecture.md`
//! describes every module and the invariants; a test of the workspace checks the layers.
//!
//! ```text
//! cli                                            command line
//! agent                                          the service
//! doctor | fleet                                 checks before a job runs | many instances at once
//! backup | recovery | upkeep | wal | daemon | setup | release   the jobs
//! status                                         state of backups and host
//! inventory                                      what is stored, and plans from it
//! repository | catalog | odoo | program | capture   snapshots | this host's own records | Odoo | help |
//!                                                configuration
//! archive | postgres | store                     file formats | the cluster | objects
//! config
//! names | progress | crontab | child | rate_limit
//! disk | clock | environment                     doors to the system
//! error
//! ```

pub mod agent;
pub mod archive;
mod backup;
mod capture;
mod catalog;
pub mod checkpoint;
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
pub mod fleet;
pub mod inventory;
pub mod names;
pub mod odoo;
pub mod policy;
pub mod postgres;
pub mod program;
pub mod progress;
mod rate_limit;
mod recovery;
pub mod release;
pub mod repository;
pub mod retention;
pub mod setup;
pub mod status;
pub mod store;
pub mod upkeep;
pub mod wal;

pub use cli::main;
