//! What was written after a release's point, from two databases: the one that is in production, and the copy
//! that was restored to the point beside it. Exported as business documents with their lines, so that they
//! can be entered again.
//!
//! **Both databases are only read, each at one snapshot**, with COPY of plain tables
//! ([`crate::postgres::look`]). **A kind of document is exported as a whole or not at all**: if one of its
//! tables cannot be compared (a view, no permission, too many rows), the kind is named with the reason.
//! Whether a row is new is decided by its `id` alone: nobody writes to the copy, and the numbers of both
//! databases go on from the same point.
//!
//! [`compare::compare`] gives a [`found::Salvage`], a value in memory that can be printed. [`write::write`]
//! writes it to files. Equal databases give equal bytes: everything is sorted by `id`, and no file has a time
//! of its own.

pub mod attached;
mod changes;
pub mod compare;
mod csv;
mod differences;
pub mod found;
mod heads;
mod index;
mod kept;
pub mod keys;
mod kind;
pub mod kinds;
mod lines;
mod links;
mod masters;
mod out;
mod paid;
mod partners;
mod readme;
mod shape;
mod side;
mod sides;
pub mod summary;
mod taxes;
mod value;
pub mod write;
