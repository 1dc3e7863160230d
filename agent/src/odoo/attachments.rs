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
    /// As the database holds it, mostly `ab/abcdef...`; anything is possible in a text column.
    pub store_fname: String,
    /// The largest `file_size` that a row claims for it.
    pub file_size: Option<u64>,
    /// Whether all its rows claim the same size.
    pub sizes_agree: bool,
    /// How many rows share it.
    pub rows: u64,
}

/// Calls `each` with every distinct file, sorted by `store_fname` in byte order; how many there
/// were. Rows stream through and are sorted here, since no query may name the table
/// ([`crate::postgres::look`]): memory does not grow with their number, what is more goes into files
/// that `scratch` makes. Run it in a [`crate::postgres::SnapshotSession`] for the files of the dumped
/// state.
///
/// # Errors
/// `Postgres` where the table lacks what Odoo has had since version 8, or is no table; whatever
/// `each` returns.
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
        .effect("its files are not known, so the filestore cannot be backed up with the database")
        .next("Odoo 8 and newer have these columns; is this an Odoo database?"));
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

/// Those of `wanted` that a row refers to at this moment; ask in a session without a transaction.
/// Tells files that were deleted together with their rows from files that are lost.
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
