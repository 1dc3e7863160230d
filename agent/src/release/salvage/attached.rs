//! The content of new attachments: files of the filestore, each once, named by the SHA-1 of its content.

use std::collections::BTreeSet;
use std::path::Path;

use sha1::Digest;

use crate::disk;
use crate::disk::beneath::Dir;
use crate::error::Result;
use crate::odoo::blob::BlobName;
use crate::release::salvage::found::Salvage;
use crate::release::salvage::kinds::ATTACHMENTS;
use crate::release::salvage::summary::NotExported;

/// The directory of the files.
const NAME: &str = "attachments";
/// The largest file that is copied; Odoo's own limit for an upload is half of it.
const FILE_BYTES_MAX: u64 = 256 << 20;

/// Notes which files the new attachments name, and which of them are missing. Without a filestore that is a
/// note: rows are exported all the same.
pub fn find(salvage: &mut Salvage, filestore: Result<Option<Dir>>) {
    let filestore = filestore.unwrap_or_else(|e| {
        let why = e.line();
        salvage.summary.not_exported.push(NotExported { what: "content of attachments".to_owned(), why });
        None
    });
    let mut missing = Vec::new();
    let mut files = BTreeSet::new();
    let mut named = 0_u64;
    for found in salvage.found.iter().filter(|found| found.shapes[0].table == ATTACHMENTS) {
        for one in &found.new {
            let Some(name) = one.row.text(&found.shapes[0], "store_fname").filter(|name| !name.is_empty())
            else {
                continue;
            };
            named += 1;
            let Some(dir) = &filestore else { continue };
            let why = match BlobName::parse(name.as_bytes()) {
                None => "store_fname does not name a file of the filestore".to_owned(),
                Some(blob) => match dir.look(Path::new(&name)) {
                    Ok(Some(meta)) if meta.is_file() && meta.len() <= FILE_BYTES_MAX => {
                        files.insert(blob);
                        continue;
                    }
                    Ok(Some(_)) => "it is not a regular file, or too large".to_owned(),
                    Ok(None) => format!("{name} does not exist in the filestore"),
                    Err(e) => format!("{name} cannot be read: {e}"),
                },
            };
            missing.push(NotExported {
                what: format!("content of attachment {:?} (id {})", one.name, one.row.id),
                why,
            });
        }
    }
    salvage.summary.files = files.len() as u64;
    salvage.summary.not_exported.extend(missing);
    if named > 0 && filestore.is_none() {
        let from = &salvage.summary.head.from;
        let note =
            format!("content of attachments is not exported: the filestore of {from} is not on this host");
        salvage.summary.notes.push(note);
    }
    salvage.files = filestore.map(|dir| (dir, files.into_iter().collect()));
}

/// Copies them, each checked against its name.
///
/// # Errors
/// `Integrity` where a file is not what its name says; those of the disk.
pub fn copy(salvage: &Salvage, to: &Path) -> Result<()> {
    let Some((dir, files)) = salvage.files.as_ref().filter(|(_, files)| !files.is_empty()) else {
        return Ok(());
    };
    let to = to.join(NAME);
    disk::create_new_dir(&to, 0o700)?;
    for blob in files {
        let data = dir.read(Path::new(&blob.to_string()), FILE_BYTES_MAX)?;
        blob.check(sha1::Sha1::digest(&data).into())?;
        disk::write_new_durable(&to.join(blob.sha1_hex()), &data)?;
    }
    Ok(())
}
