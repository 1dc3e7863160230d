//! Checks every attachment's file against the database that names it.

use std::collections::HashSet;
use std::io::Read;
use std::path::Path;

use lifeboat::archive::elsewhere::other_storage;
use lifeboat::archive::hex::hex;
use lifeboat::clock::Timestamp;
use lifeboat::disk;
use lifeboat::error::{Error, Kind, Result};
use lifeboat::odoo::BlobName;
use lifeboat::postgres::Session;
use lifeboat::postgres::safe_settings::TABLE_WAIT;
use lifeboat::postgres::session::column;
use sha1::{Digest, Sha1};
use tokio::task::spawn_blocking;

use crate::report::integrity::Integrity;

/// How many names are fetched at a time.
const NAMES_AT_ONCE: usize = 2048;

/// Checks every file that the attachments of the restored database name. `known_missing` are names of
/// files that the snapshot does not contain, according to its manifest. If the filestore is that of another
/// moment, `filestore_of`, files that were written later cannot be in it. Memory does not grow with their
/// number; separate threads read the files.
///
/// # Errors
/// [`Kind::Postgres`] if the attachments cannot be listed. A problem with a file is a finding.
pub async fn look(
    session: &mut Session,
    filestore: &Path,
    known_missing: &[String],
    filestore_of: Option<Timestamp>,
    found: &mut Integrity,
) -> Result<()> {
    let what = "list the attachments of the restored database";
    let there = session.row(what, "SELECT to_regclass('public.ir_attachment') IS NOT NULL").await?;
    if !column::<bool>(&there, 0)? {
        return Err(Error::new(Kind::Integrity, "the restored database has no table ir_attachment"));
    }
    let known: HashSet<&str> = known_missing.iter().map(String::as_str).collect();
    session.allow(TABLE_WAIT).await?;
    let later = match filestore_of {
        Some(moment) => written_after(session, moment).await?,
        None => HashSet::new(),
    };
    // Rows that share a file must agree on its size (check ATT03); the largest one is used here.
    let cursor = "BEGIN; DECLARE names CURSOR FOR \
                  SELECT store_fname::text, max(file_size)::bigint FROM public.ir_attachment \
                  WHERE store_fname IS NOT NULL AND store_fname <> '' GROUP BY 1";
    session.execute(what, cursor).await?;
    let threads = std::thread::available_parallelism().map_or(2, usize::from);
    loop {
        let rows = session.rows(what, format!("FETCH {NAMES_AT_ONCE} FROM names")).await?;
        if rows.is_empty() {
            break;
        }
        let mut parts: Vec<Vec<Blob>> = (0..threads).map(|_| Vec::new()).collect();
        for (at, row) in rows.iter().enumerate() {
            let (name, size): (String, Option<i64>) = (column(row, 0)?, column(row, 1)?);
            let size = size.map(|size| size.max(0).cast_unsigned());
            let (known, later) = (known.contains(name.as_str()), later.contains(&name));
            parts[at % threads].push(Blob { known, later, name, size });
        }
        let reading = parts.into_iter().map(|blobs| {
            let filestore = filestore.to_owned();
            spawn_blocking(move || blobs.into_iter().map(|b| look_at(&filestore, b)).collect::<Vec<_>>())
        });
        for part in futures::future::join_all(reading).await {
            let part =
                part.map_err(|e| Error::new(Kind::Internal, "a file-reading thread ended").because(e))?;
            part.into_iter().for_each(|one| add(found, one));
        }
    }
    session.execute(what, "ROLLBACK").await?;
    Ok(())
}

/// Names of files of which every row is younger than this moment.
async fn written_after(session: &mut Session, moment: Timestamp) -> Result<HashSet<String>> {
    let what = "list the attachments that are younger than the filestore";
    let columns = "SELECT count(*) = 2 FROM pg_catalog.pg_attribute WHERE attrelid = 'public.ir_attachment'::regclass \
                   AND attname IN ('create_date', 'write_date') AND atttypid = 'timestamp'::regtype AND NOT attisdropped";
    if !column::<bool>(&session.row(what, columns).await?, 0)? {
        return Ok(HashSet::new());
    }
    // Odoo writes UTC without a zone.
    let sql = format!(
        "SELECT store_fname::text FROM public.ir_attachment WHERE store_fname IS NOT NULL GROUP BY 1 \
         HAVING min(greatest(create_date, write_date)) > '{}'",
        moment.strftime("%Y-%m-%d %H:%M:%S%.f")
    );
    session.rows(what, sql).await?.iter().map(|row| column(row, 0)).collect()
}

struct Blob {
    name: String,
    /// The size in the database, if it has one.
    size: Option<u64>,
    known: bool,
    later: bool,
}

struct Found {
    name: String,
    state: State,
}

enum State {
    Right { bytes: u64 },
    EmptyAbsent,
    Missing { known: bool },
    WrongSize { bytes: u64, wanted: u64 },
    WrongContent { sha1: String },
    Unreadable(String),
    Elsewhere,
    Later,
    BadName,
}

fn look_at(filestore: &Path, blob: Blob) -> Found {
    let state = match BlobName::parse(blob.name.as_bytes()) {
        None if other_storage(&blob.name).is_some() => State::Elsewhere,
        None => State::BadName,
        Some(wanted) => match read(&filestore.join(&blob.name)) {
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => match blob.size {
                Some(0) => State::EmptyAbsent,
                _ if blob.later => State::Later,
                _ => State::Missing { known: blob.known },
            },
            Err(e) => State::Unreadable(e.to_string()),
            Ok((bytes, sha1)) => match blob.size.filter(|wanted| *wanted != bytes) {
                Some(wanted) => State::WrongSize { bytes, wanted },
                None if sha1 != wanted.sha1() => State::WrongContent { sha1: hex(&sha1) },
                None => State::Right { bytes },
            },
        },
    };
    Found { name: blob.name, state }
}

fn read(path: &Path) -> std::io::Result<(u64, [u8; 20])> {
    let mut file = disk::open_nofollow(path)?;
    if !file.metadata()?.is_file() {
        return Err(std::io::Error::other("not a regular file"));
    }
    let mut hasher = Sha1::new();
    let mut buffer = vec![0u8; 128 * 1024];
    let mut bytes = 0;
    loop {
        match file.read(&mut buffer)? {
            0 => break,
            count => {
                hasher.update(&buffer[..count]);
                bytes += count as u64;
            }
        }
    }
    Ok((bytes, hasher.finalize().into()))
}

fn add(to: &mut Integrity, found: Found) {
    to.files += 1;
    let (count, what) = match found.state {
        State::Right { bytes } => {
            to.bytes += bytes;
            to.files_right += 1;
            return;
        }
        State::EmptyAbsent => {
            to.empty_absent += 1;
            return;
        }
        State::Elsewhere => {
            to.elsewhere += 1;
            return;
        }
        State::Later => {
            to.later += 1;
            return;
        }
        State::Missing { known: true } => {
            (&mut to.missing_known, "missing, and known to be missing in the snapshot".into())
        }
        State::Missing { known: false } => (&mut to.missing, "missing".into()),
        State::WrongSize { bytes, wanted } => {
            (&mut to.wrong_size, format!("{bytes} bytes, but the database says {wanted}"))
        }
        State::WrongContent { sha1 } => (&mut to.wrong_content, format!("content has SHA-1 {sha1}")),
        State::Unreadable(why) => (&mut to.unreadable, why),
        State::BadName => (&mut to.bad_names, "a name that Odoo never gives".into()),
    };
    *count += 1;
    to.example(format!("{}: {what}", found.name));
}

#[cfg(test)]
mod tests {
    use super::*;

    const HELLO: &str = "aaf4c61ddcc5e8a2dabede0f3b482cd9aea9434d"; // sha1 of "hello"

    fn blob(name: &str, size: u64) -> Blob {
        Blob { name: name.to_owned(), size: Some(size), known: false, later: false }
    }

    #[test]
    fn each_way_in_which_a_file_can_be_wrong_is_told_apart() {
        let dir = tempfile::tempdir().unwrap();
        let put = |name: &str, data: &[u8]| {
            let path = dir.path().join(name);
            disk::create_private_dir(path.parent().unwrap()).unwrap();
            disk::write_new_durable(&path, data).unwrap();
        };
        let good = format!("aa/{HELLO}");
        put(&good, b"hello");
        put(&format!("bb/bb{}", &HELLO[2..]), b"jello");
        disk::create_private_dir(&dir.path().join(format!("cc/cc{}", &HELLO[2..]))).unwrap();
        std::os::unix::fs::symlink(dir.path().join(&good), dir.path().join(format!("cc/cd{}", &HELLO[2..])))
            .unwrap();

        let mut found = Integrity::default();
        for one in [
            blob(&good, 5),
            blob(&good, 6),
            blob(&format!("bb/bb{}", &HELLO[2..]), 5),
            blob(&format!("cc/cc{}", &HELLO[2..]), 5),
            blob(&format!("dd/dd{}", &HELLO[2..]), 5),
            blob(&format!("dd/dd{}", &HELLO[2..]), 0),
            Blob { known: true, ..blob(&format!("dd/dd{}", &HELLO[2..]), 5) },
            Blob { later: true, ..blob(&format!("dd/dd{}", &HELLO[2..]), 5) },
            Blob { later: true, ..blob(&format!("bb/bb{}", &HELLO[2..]), 5) },
            blob("s3://acme-prod/0a1b", 5),
            blob("../../etc/passwd", 5),
            blob(&format!("ab/{HELLO}"), 5),
        ] {
            add(&mut found, look_at(dir.path(), one));
        }
        assert_eq!((found.files, found.files_right, found.bytes), (12, 1, 5));
        assert_eq!((found.wrong_size, found.wrong_content, found.unreadable, found.later), (1, 2, 1, 1));
        assert_eq!((found.missing, found.missing_known, found.empty_absent), (1, 1, 1));
        assert_eq!((found.elsewhere, found.bad_names, found.examples.len()), (1, 2, 8));

        let link = format!("cc/cd{}", &HELLO[2..]);
        assert!(read(&dir.path().join(link)).is_err(), "links are not followed");
    }
}
