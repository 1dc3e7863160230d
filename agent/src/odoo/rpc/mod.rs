//! Odoo's JSON-RPC (`/jsonrpc`, services `common` and `object`), as Odoo 16 to 18 answer it; 19 still does.
//!
//! **A call is sent once.** There is no retry here: after a cut connection nobody knows whether Odoo did what
//! it was asked, so the caller has to look first. [`Failure`] keeps the two apart: Odoo said no and did
//! nothing, or there was no whole answer. Each call has a deadline and its answer a bound. Plain `http`
//! leaves the host only if that was allowed; certificates are checked; redirects are not followed.

mod address;
mod answer;
mod client;
mod failure;

pub use address::OdooUrl;
pub use client::{OdooClient, OdooLogin};
pub use failure::{Failure, Fault};
