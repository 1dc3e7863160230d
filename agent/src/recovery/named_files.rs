//! The files that the rows of a restored database name: its filestore must contain them.

use std::fs::File;
use std::path::Path;

use crate::archive::elsewhere::{Elsewhere, Elsewheres};
use crate::error::{Error, Result};
use crate::odoo::attachments::{AttachmentFile, each_attachment_file};
use crate::postgres::session::Session;
use crate::postgres::table::Table;
use crate::recovery::workplace::Workplace;

/// A file that rows name.
#[derive(Clone, Debug)]
pub(super) struct NamedFile {
    /// The name in the rows.
    pub(super) store_fname: String,
    /// Its size according to the rows.
    pub(super) bytes: Option<u64>,
}

/// All named files, sorted, and those in other storages.
#[derive(Default)]
pub(super) struct NamedFiles {
    pub(super) files: Vec<NamedFile>,
    pub(super) elsewhere: Vec<Elsewhere>,
}

/// Reads them in a session with the rules of [`crate::postgres::look`]. Without the table there are none.
///
/// # Errors
/// `Postgres` if the table cannot be read.
pub(super) async fn named_files(session: &mut Session, work: &Workplace) -> Result<NamedFiles> {
    let (mut files, mut elsewhere) = (Vec::new(), Elsewheres::default());
    if Table::find(session, "ir_attachment").await?.is_some() {
        let keep = |file: AttachmentFile| {
            if !elsewhere.add(&file.store_fname, file.rows, file.file_size.unwrap_or(0)) {
                files.push(NamedFile { store_fname: file.store_fname, bytes: file.file_size });
            }
            Ok(())
        };
        each_attachment_file(session, || unnamed_file(work), keep).await?;
    }
    Ok(NamedFiles { files, elsewhere: elsewhere.finish() })
}

/// A file that disappears with the process, however that ends.
fn unnamed_file(work: &Workplace) -> Result<File> {
    let (dir, name) = (work.open()?, Path::new("attachments.tmp"));
    let file = dir.create_new(name);
    let gone = file.and_then(|file| dir.remove_file(name).map(|()| file));
    gone.map_err(|e| Error::file("create", &work.dir.join(name), e))
}
