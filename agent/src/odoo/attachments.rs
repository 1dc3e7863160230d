//! The files that a tenant's database refers to.

use crate::error::{Error, Kind, Result};
use crate::postgres::quote::literal;
use crate::postgres::session::{Session, column};

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
/// were. Rows stream through: memory does not grow with their number. Run it in a
/// [`crate::postgres::SnapshotSession`] for the files of the dumped state.
///
/// # Errors
/// `Postgres` where the table lacks what Odoo has had since version 8; whatever `each` returns.
pub async fn each_attachment_file(
    session: &mut Session,
    mut each: impl FnMut(AttachmentFile) -> Result<()> + Send,
) -> Result<u64> {
    check_columns(session).await?;
    let what = "list the attachments";
    let sql = "SELECT store_fname::text, max(file_size)::bigint, \
               count(DISTINCT coalesce(file_size, -1)) = 1, count(*) FROM public.ir_attachment \
               WHERE store_fname IS NOT NULL AND store_fname <> '' \
               GROUP BY store_fname ORDER BY store_fname COLLATE \"C\"";
    let mut count = 0;
    let each = |row| {
        count += 1;
        each(AttachmentFile {
            store_fname: column(&row, 0)?,
            file_size: column::<Option<i64>>(&row, 1)?.map(|bytes| bytes.max(0) as u64),
            sizes_agree: column(&row, 2)?,
            rows: column::<i64>(&row, 3)?.max(0) as u64,
        })
    };
    session.each(what, sql, each).await?;
    Ok(count)
}

/// Whether a row refers to this file at this moment; ask in a session without a snapshot. Tells a
/// file that was deleted together with its row from one that is lost.
pub async fn attachment_exists_now(session: &mut Session, store_fname: &str) -> Result<bool> {
    let sql = format!(
        "SELECT EXISTS (SELECT FROM public.ir_attachment WHERE store_fname = {})",
        literal(store_fname)
    );
    column(&session.row(&format!("look for attachment {store_fname}"), sql).await?, 0)
}

async fn check_columns(session: &mut Session) -> Result<()> {
    let sql = "SELECT w FROM unnest(ARRAY['store_fname', 'file_size']) w WHERE NOT EXISTS (SELECT FROM pg_attribute \
               WHERE attrelid = to_regclass('public.ir_attachment') AND attname = w AND NOT attisdropped)";
    let rows = session.rows("look at table ir_attachment", sql).await?;
    let missing = rows.iter().map(|row| column(row, 0)).collect::<Result<Vec<String>>>()?;
    if missing.is_empty() {
        return Ok(());
    }
    Err(Error::new(
        Kind::Postgres,
        format!("table ir_attachment has no column {} in {}", missing.join(", "), session.place()),
    )
    .effect("its files are not known, so the filestore cannot be backed up with the database")
    .next("Odoo 8 and newer have these columns; is this an Odoo database?"))
}
