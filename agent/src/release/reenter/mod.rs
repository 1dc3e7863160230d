//! Enters what a salvage exported again, in the tenant that went back, through Odoo's RPC.
//!
//! **Nothing is entered twice.** A document and its mark (an external ID, or for POS orders the reference by
//! which Odoo itself recognizes one) are made by one call, which is one transaction of Odoo. Each run looks
//! for the mark first, so it goes on where a killed one ended: it creates what is missing, confirms what is
//! still a draft, and compares.
//!
//! **The source is never written.** A database in which a document of the export exists, with its number and
//! the second in which it was made, is the source itself, whatever it is called: it is refused before
//! anything else.
//!
//! [`plan::plan`] only reads, and its plan can be printed; [`apply::apply`] writes, one document after the
//! other. A document that Odoo refuses is named with the reason and stops no other one. An answer that did
//! not arrive stops the run.

mod amount;
pub mod apply;
mod by_kind;
pub mod changes;
mod draft;
pub mod exported;
mod finished;
mod ground;
mod kind;
mod mark;
mod named;
mod order_pickings;
mod partners;
mod payments;
mod pickings;
pub mod plan;
mod pos_orders;
pub mod read;
pub mod report;
mod rights;
mod sale_orders;
mod sheet;
mod source;
mod stop;
mod target;

pub use kind::Kind;
