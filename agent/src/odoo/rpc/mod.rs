//! Calls of Odoo's methods: JSON-RPC (`/jsonrpc`, services `common` and `object`) for Odoo 15 to 18, JSON-2
//! (`/json/2/<model>/<method>` with an API key) from 19 on. [`OdooApi`] takes the one that a version has;
//! [`OdooWeb`] gets pages.
//!
//! **A call is sent once.** There is no retry here: after a cut connection nobody knows whether Odoo did what
//! it was asked, so the caller has to look first. [`Failure`] keeps the two apart: Odoo said no and did
//! nothing, or there was no whole answer. Each call has a deadline and its answer a bound. Plain `http`
//! leaves the host only if that was allowed; certificates are checked; redirects are not followed.

mod address;
mod answer;
mod api;
pub mod api_key;
mod call;
mod client;
mod failure;
mod json2;
mod web;
mod wire;

pub use address::OdooUrl;
pub use api::OdooApi;
pub use call::OdooCall;
pub use client::{OdooClient, OdooLogin};
pub use failure::{Failure, Fault};
pub use json2::Json2Client;
pub use web::{OdooPage, OdooWeb};
