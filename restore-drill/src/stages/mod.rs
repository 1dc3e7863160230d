//! The stages of a drill, in the order in which they run.
//!
//! `scratch` makes the place (`sweep` cleans up after killed drills, `account` is who it belongs
//! to), `restore` fills it, `blobs` and `amcheck` look whether it is whole, `run_checks` whether it
//! makes sense. Business transactions through Odoo belong after these, as `transactions`; a
//! Kubernetes namespace is another kind of place and belongs beside `scratch`, giving the same
//! [`scratch::Place`].

pub(crate) mod account;
pub mod amcheck;
pub mod blobs;
pub mod integrity;
pub mod restore;
pub mod scratch;
pub mod sweep;
