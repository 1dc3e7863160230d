//! Restore drills prove that Lifeboat snapshots can be restored.
//!
//! A drill restores a snapshot with the shipped program `lifeboat` into a private PostgreSQL server. There
//! it checks files, tables, indexes and the business data of Odoo, and measures how much would have been
//! lost (RPO) and how long recovery took (RTO). At the end it removes everything and writes a report into
//! the repository. This is the library of the program `restore-drill`.
//!
//! # Where to begin
//!
//! - [`plan::Plan`] says what to restore, which objectives to meet, and where. [`plan::file::load`] reads it.
//! - [`catalogue::Catalogue`] has the business checks: SQL statements that select violations of a rule.
//! - [`drill::run`] runs a drill and always returns a [`report::Report`];
//!   [`report::verdict::Verdict`] is its result.
//!
//! The crate shares no restoring code with `lifeboat`: it starts that program, as a person with the
//! runbook would. [`place`] has the places in which a drill restores, [`stages`] what it does there;
//! [`vault::Vault`] reads and writes the repository.
//!
//! # Example
//!
//! Runs a drill and prints its report, without storing it:
//!
//! ```no_run
//! use lifeboat::error::Result;
//! use restore_drill::place::local::Local;
//! use restore_drill::report::markdown;
//! use restore_drill::setup::Setup;
//! use restore_drill::vault::Vault;
//! use restore_drill::{catalogue, drill, plan};
//! use tokio_util::sync::CancellationToken;
//!
//! async fn run() -> Result<()> {
//!     let plan = plan::file::load("/etc/lifeboat/drill.toml".as_ref())?;
//!     let catalogue = catalogue::load(plan.checks_extra_dir.as_deref())?;
//!     let (program, shop) = ("/usr/bin/lifeboat".into(), "shop".parse()?);
//!     let tenant = Some(shop);
//!     let setup = Setup { plan, tenant, identities: Vec::new(), counters: None, catalogue, program };
//!     // The drill awaits this in its first stage, so that its time counts for the RTO.
//!     let chosen = async {
//!         let vault = Vault::open(&setup.plan.config).await?;
//!         let inventory = vault.look(&setup.plan.goal).await?;
//!         vault.choose_for(&inventory, &setup).await
//!     };
//!     let report = drill::run(&setup, &Local, chosen, &CancellationToken::new()).await;
//!     println!("{}", markdown::render(&report));
//!     Ok(())
//! }
//! ```

pub mod catalogue;
pub mod cli;
pub mod drill;
pub mod history;
pub mod inside;
pub mod odoo;
pub mod place;
pub mod plan;
pub mod process;
pub mod rehearse;
pub mod report;
pub mod say;
pub mod setup;
mod shipped;
pub mod snapshot;
pub mod stages;
pub mod vault;
