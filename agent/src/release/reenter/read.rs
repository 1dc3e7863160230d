//! Reads the directory of an export. Each file has a bound, and so has each line: they may have been edited.

use std::io::{BufRead, BufReader, Read};
use std::path::Path;

use super::changes::{ChangedRow, Missing};
use super::exported::Exported;
use super::kind::Kind;
use super::partners::ordered;
use crate::disk;
use crate::error::{Error, Kind as Cause, Result};
use crate::names::{ReleaseId, bytes_text};
use crate::release::salvage::summary::{FORMAT, Head};

const SUMMARY_BYTES_MAX: u64 = 16 << 20;
/// The largest line, which is a document with its lines, and the largest file.
const LINE_BYTES_MAX: u64 = 16 << 20;
const FILE_BYTES_MAX: u64 = 1 << 30;
/// The files of documents that nobody enters by program.
const OTHERS: [&str; 2] = ["invoices", "attachments"];
/// The file of what differs.
const CHANGED: &str = "changed.jsonl";

/// An export.
#[derive(Debug)]
pub struct Export {
    /// What it is of.
    pub head: Head,
    /// By kind, in order.
    pub documents: Vec<(Kind, Vec<Exported>)>,
    /// How many there are of the kinds that are not entered.
    pub others: Vec<(&'static str, u64)>,
    /// What existed at the point and differs, and master data.
    pub changed: Vec<ChangedRow>,
    /// What is in no file.
    pub missing: Missing,
}

impl Export {
    /// A document.
    pub fn document(&self, kind: Kind, at: usize) -> Option<&Exported> {
        self.documents.iter().find(|(of, _)| *of == kind).and_then(|(_, all)| all.get(at))
    }
}

/// Reads it.
///
/// # Errors
/// `NotFound` without `summary.json`: the export is not complete; `Integrity` where a file is not what a
/// salvage writes; `Usage` where it is of another release; those of the disk.
pub fn read(dir: &Path, release: &ReleaseId) -> Result<Export> {
    let (head, missing) = summary(dir)?;
    if head.release != *release {
        let what = format!("{} is of release {}, not {release}", dir.display(), head.release);
        return Err(Error::new(Cause::Usage, what).effect("nothing was entered"));
    }
    let mut documents = Vec::new();
    for kind in Kind::ALL {
        let all = lines(&dir.join(format!("{}.jsonl", kind.file())))?;
        documents.push((kind, if kind == Kind::Partner { ordered(all) } else { all }));
    }
    let mut others = Vec::new();
    for name in OTHERS {
        let mut count = 0;
        each_line(&dir.join(format!("{name}.jsonl")), |_, _| {
            count += 1;
            Ok(())
        })?;
        others.push((name, count));
    }
    Ok(Export { head, documents, others, changed: changed(&dir.join(CHANGED))?, missing })
}

fn summary(dir: &Path) -> Result<(Head, Missing)> {
    let path = dir.join("summary.json");
    if disk::metadata(&path)?.is_none() {
        return Err(Error::new(Cause::NotFound, format!("{} does not exist", path.display()))
            .effect("the export is not complete, and nothing was entered")
            .next("export again into a new directory: docs/rollback.md"));
    }
    let bytes = disk::read(&path, SUMMARY_BYTES_MAX)?;
    let bad =
        |e: serde_json::Error| altered(&path).because(format!("line {}, column {}", e.line(), e.column()));
    let head: Head = serde_json::from_slice(&bytes).map_err(bad)?;
    let missing: Missing = serde_json::from_slice(&bytes).map_err(bad)?;
    match head.format {
        FORMAT => Ok((head, missing)),
        other => Err(altered(&path).because(format!("format {other}; this program reads {FORMAT}"))),
    }
}

/// What differs. A salvage always writes this file: without it, changes would be lost without a word.
fn changed(path: &Path) -> Result<Vec<ChangedRow>> {
    if disk::metadata(path)?.is_none() {
        return Err(altered(path).because("it does not exist"));
    }
    let mut all = Vec::new();
    each_line(path, |number, line| {
        let bad =
            |e: serde_json::Error| altered(path).because(format!("line {number}: column {}", e.column()));
        all.push(serde_json::from_str(line).map_err(bad)?);
        Ok(())
    })?;
    Ok(all)
}

fn altered(path: &Path) -> Error {
    Error::new(Cause::Integrity, format!("{} is not what a salvage writes", path.display()))
        .effect("nothing was entered")
}

fn lines(path: &Path) -> Result<Vec<Exported>> {
    let mut all: Vec<Exported> = Vec::new();
    let mut seen = std::collections::HashSet::new();
    each_line(path, |number, line| {
        let bad = |why: String| altered(path).because(format!("line {number}: {why}"));
        let one: Exported =
            serde_json::from_str(line).map_err(|e| bad(format!("column {}: no document", e.column())))?;
        if !seen.insert(one.row.id) {
            return Err(bad(format!("a second document has id {}", one.row.id)));
        }
        if one.row.time("create_date").is_none() {
            return Err(bad("it has no create_date, by which the source is recognized".to_owned()));
        }
        all.push(one);
        Ok(())
    })?;
    all.sort_by_key(|one| one.row.id);
    Ok(all)
}

/// Each line with its number; none where there is no such file, since the kind was not exported.
fn each_line(path: &Path, mut each: impl FnMut(u64, &str) -> Result<()>) -> Result<()> {
    let Some(meta) = disk::metadata(path)? else { return Ok(()) };
    if meta.len() > FILE_BYTES_MAX {
        let what = format!("{} has more than {}", path.display(), bytes_text(FILE_BYTES_MAX));
        return Err(Error::new(Cause::Integrity, what).effect("nothing was entered"));
    }
    let mut file = BufReader::new(disk::open(path)?.take(FILE_BYTES_MAX));
    let (mut number, mut line) = (0, String::new());
    loop {
        line.clear();
        number += 1;
        let read = (&mut file).take(LINE_BYTES_MAX).read_line(&mut line);
        let read = read.map_err(|e| Error::file("read", path, e).effect("nothing was entered"))?;
        if read as u64 == LINE_BYTES_MAX {
            let why = format!("line {number} has more than {}", bytes_text(LINE_BYTES_MAX));
            return Err(altered(path).because(why));
        }
        match line.trim() {
            "" if read == 0 => return Ok(()),
            "" => {}
            line => each(number, line)?,
        }
    }
}
