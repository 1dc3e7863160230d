//! The parts of a drill's stages. [`crate::drill`] runs the stages in this order:
//!
//! 1. `prepare` finds the snapshot ([`crate::vault`]).
//! 2. `scratch` removes what killed drills left ([`sweep`]) and starts a private PostgreSQL server
//!    ([`scratch`]). If the drill is root, that runs as an account that can read no secret (`account`).
//! 3. `restore` runs `lifeboat restore` into it ([`mod@restore`]). In a rehearsal, `counters` then compares
//!    it with the source at the point ([`counters`]).
//! 4. `integrity` checks files ([`blobs`]), tables and indexes ([`amcheck`]); [`mod@integrity`] has the
//!    findings.
//! 5. `invariants` runs the business checks ([`crate::run_checks`]).
//! 6. `teardown` stops the server and removes the restored data ([`scratch`]).
//!
//! Odoo is not started: there is no stage for business transactions.

pub(crate) mod account;
pub mod amcheck;
pub mod blobs;
pub mod counters;
pub mod integrity;
pub mod restore;
pub mod scratch;
pub mod sweep;
