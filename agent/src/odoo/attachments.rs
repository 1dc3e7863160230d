//! The files that a tenant's database refers to.

mod sorted;

use std::collections::HashSet;
use std::fs::File;

use crate::error::{Error, Kind, Result};
use crate::postgres::copy_out::Row;
use crate::postgres::look;
use crate::postgres::session::Session;
use crate::postgres::table::{Table, Type};
use sorted::Sorted;

const TABLE: &str = "ir_attachment";

/// One distinct `ir_attachment.store_fname`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttachmentFile {
    /// The value in the database, usually `ab/abcdef...`; a text column may hold anything.
    pub store_fname: String,
    /// The largest `file_size` that any of its rows claims.
    pub file_size: Option<u64>,
    /// Whether all its rows claim the same size.
    pub sizes_agree: bool,
    /// How many rows refer to it.
    pub rows: u64,
}

/// Calls `each` with every distinct file, sorted by `store_fname` in byte order; returns their number.
/// The rows are streamed and sorted here, because no query may name the table
/// ([`crate::postgres::look`]). Memory is bounded: rows beyond the bound go into files that `scratch`
/// creates. Call it in a [`crate::postgres::SnapshotSession`] to get the files of the dumped state.
///
/// # Errors
/// `Postgres` if the table lacks a column that Odoo has had since version 8, or is not a table;
/// whatever `each` returns.
pub async fn each_attachment_file(
    session: &mut Session,
    scratch: impl FnMut() -> Result<File>,
    each: impl FnMut(AttachmentFile) -> Result<()>,
) -> Result<u64> {
    let table = Table::get(session, TABLE).await?;
    let missing = table.lacks(&["store_fname", "file_size"]);
    if !missing.is_empty() {
        return Err(Error::new(
            Kind::Postgres,
            format!("table ir_attachment has no column {} in {}", missing.join(", "), session.place()),
        )
        .effect("the list of its files is unknown, so the filestore cannot be backed up with the database")
        .next("check whether this is an Odoo database: Odoo 8 and newer have these columns"));
    }
    let mut sorted = Sorted::new(scratch);
    let columns = [("store_fname", Type::Text), ("file_size", Type::Int)];
    let add = |row: &Row<'_>| match row.text(0) {
        Some(store_fname) if !store_fname.is_empty() => {
            let file_size = row.int(1).map(|bytes| bytes.max(0) as u64);
            sorted.push(AttachmentFile { store_fname, file_size, sizes_agree: true, rows: 1 })
        }
        _ => Ok(()),
    };
    table.each(session, &columns, add).await?;
    sorted.finish(each)
}

/// The files of `wanted` that a row refers to now; call it in a session without a transaction.
/// It distinguishes lost files from files that were deleted together with their rows.
pub async fn attachments_named_now(
    session: &mut Session,
    wanted: &HashSet<String>,
) -> Result<HashSet<String>> {
    look::begin(session).await?;
    let table = Table::get(session, TABLE).await?;
    let mut found = HashSet::new();
    let note = |row: &Row<'_>| {
        found.extend(row.text(0).filter(|name| wanted.contains(name)));
        Ok(())
    };
    table.each(session, &[("store_fname", Type::Text)], note).await?;
    look::end(session).await?;
    Ok(found)
}
