//! The stages of a drill, one file each, in the order in which they run.
//!
//! `scratch` makes the place, `restore` fills it, `integrity` and `invariants` look at what is
//! there. Business transactions through Odoo belong after `invariants`, as `transactions.rs`; a
//! Kubernetes namespace is another kind of place and belongs beside `scratch`, giving the same
//! [`scratch::Place`].

pub mod integrity;
pub mod restore;
pub mod scratch;
