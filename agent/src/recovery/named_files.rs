//! The files that the rows of a restored database name: what a filestore beside it must hold.

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
    /// As the rows have it.
    pub(super) store_fname: String,
    /// What they say of its size.
    pub(super) bytes: Option<u64>,
}

/// All of them, sorted, and what lies in other storages.
#[derive(Default)]
pub(super) struct NamedFiles {
    pub(super) files: Vec<NamedFile>,
    pub(super) elsewhere: Vec<Elsewhere>,
}

/// Reads them in a session that looks ([`crate::postgres::look`]). Without the table, there are none.
///
/// # Errors
/// `Postgres` where the table cannot be read.
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

/// A file that goes with the process, however that ends.
fn unnamed_file(work: &Workplace) -> Result<File> {
    let (dir, name) = (work.open()?, Path::new("attachments.tmp"));
    let file = dir.create_new(name);
    let gone = file.and_then(|file| dir.remove_file(name).map(|()| file));
    gone.map_err(|e| Error::file("create", &work.dir.join(name), e))
}
