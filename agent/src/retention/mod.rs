//! Retention: what is kept, for how long, and for which reasons.
//!
//! [`plan::plan`] is pure: from what is stored ([`stock::Stock`]) and what was promised ([`rule::Rules`]) it
//! says what goes and what stays. Age is the store's time of an object, never what its writer says.
//! [`look`] reads what is stored, and the rules from the classes of the configuration. [`phases`] says what
//! of a plan is announced and what is deleted; [`apply`] does it. [`locking`] locks what stays.

pub mod apply;
pub mod cost;
pub mod dropped;
mod folders;
pub mod garbage;
pub mod hold;
pub mod holding;
mod keep;
pub mod locking;
pub mod look;
#[cfg(test)]
mod model;
mod needs_of_needs;
pub mod phases;
pub mod plan;
pub mod promised;
pub mod reason;
mod reports;
pub mod rule;
mod spans;
pub mod stock;
mod unknown;
pub mod wal;
mod work;
