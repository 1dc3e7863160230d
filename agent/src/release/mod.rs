//! After a release: what going back would cost, and whether the business still runs.
//!
//! All jobs but [`reenter`] only look. **No statement of theirs writes, and none names a table of a tenant**:
//! tables are read with COPY, a few columns each (a salvage: all); everything else comes from catalogs and
//! statistics. What could not be read is "not known", never 0 and never "continue".
//!
//! - [`plan::plan`] is the plan of a rollback: a pure function of the checkpoint, of the state of each tenant
//!   at the point and now, and of what is stored. [`gather`] collects these.
//! - [`salvage`] compares a tenant with its copy at the point, and exports what was written in between.
//! - [`reenter`] enters what was exported again, through Odoo's RPC: it alone writes, never to the source.
//! - [`calendar`] writes the freeze windows for other systems.
//! - [`watch`] counts business documents since the release and compares them with the hours before.

pub mod calendar;
pub mod commands;
pub mod decision;
pub mod forecast;
pub mod gather;
#[cfg(test)]
pub(crate) mod made_up;
pub mod numbers;
pub mod plan;
mod reading;
pub mod reenter;
pub mod salvage;
pub mod schema;
pub mod side;
pub mod statistics;
pub mod tenant;
#[cfg(test)]
mod tests;
mod thoughts;
pub mod watch;
pub mod written;
