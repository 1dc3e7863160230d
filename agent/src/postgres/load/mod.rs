//! Loading a dump without its code running with our rights: who wrote a dump's triggers, constraints
//! and index expressions is the tenant's owner, and `pg_restore` runs them.
//!
//! The rule: **a session whose login role may do more than load never executes anything of a dump.**
//! `SET ROLE` is no fence, code can `RESET ROLE`; so a role is made for each load ([`role`]) that is
//! a member of nothing and owns nothing but what it loads: not even the tenant's own owner, whom other
//! tenants of the server often share. `pg_restore` leaves out what only a superuser may make, owners and
//! rights ([`sift`]); extensions are made before, in the empty database ([`ready`]); owners and rights
//! are set afterwards, when nothing of the dump runs any more ([`give`]), by statements that touch
//! catalogs only.

pub mod give;
pub mod ready;
pub mod rights;
pub mod role;
pub mod sift;
mod statements;
pub mod toc;
