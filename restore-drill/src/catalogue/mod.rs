//! The catalogue of checks: SQL files with a header, read and validated before a drill begins.
//!
//! The files are embedded from `checks/` (its README.md describes the format); a plan may add a directory
//! of own checks. Every error in a file is found here, at the start, not after hours of restoring.

use std::collections::BTreeMap;
use std::path::Path;

use include_dir::{Dir, DirEntry, include_dir};
use lifeboat::disk;
use lifeboat::error::{Error, Kind, Result};

pub mod check;
pub mod file;
pub mod run;
mod schema;
pub mod series;

use check::Check;

static EMBEDDED: Dir = include_dir!("$CARGO_MANIFEST_DIR/checks");

const FILE_BYTES_MAX: u64 = 256 * 1024;
const EXTRA_CHECKS_MAX: usize = 10_000;

/// Checks sorted by area and ID, and the helper functions that they share.
#[derive(Clone, Debug)]
pub struct Catalogue {
    /// The checks, sorted by area, then by ID.
    pub checks: Vec<Check>,
    /// Scripts to run once in the session before any check, in this order.
    pub preludes: Vec<String>,
}

/// Loads the built-in catalogue and the checks of `extra_dir`.
///
/// # Errors
/// [`Kind::Config`] with file and line if a check is invalid or its ID is already used; errors of the file
/// system on `extra_dir`.
pub fn load(extra_dir: Option<&Path>) -> Result<Catalogue> {
    with(extra_dir.map(extra_files).transpose()?.unwrap_or_default())
}

/// The built-in catalogue and these files: the end of each path is `prelude.sql` or `<area>/<file>`.
///
/// # Errors
/// Those of [`load`].
pub fn with(extra: Vec<(String, String)>) -> Result<Catalogue> {
    let mut found = BTreeMap::new();
    let mut preludes = Vec::new();
    for (path, text) in embedded_files()?.into_iter().chain(extra) {
        add(&mut found, &mut preludes, &path, &text)?;
    }
    let mut checks: Vec<Check> = found.into_values().map(|(_, check)| check).collect();
    checks.sort_by(|a, b| (&a.area, &a.id).cmp(&(&b.area, &b.id)));
    Ok(Catalogue { checks, preludes })
}

/// `path` is for messages; its last two parts are `<area>/<file>`.
fn add(
    found: &mut BTreeMap<String, (String, Check)>,
    preludes: &mut Vec<String>,
    path: &str,
    text: &str,
) -> Result<()> {
    if path.ends_with("/prelude.sql") {
        preludes.push(text.to_owned());
        return Ok(());
    }
    let check = file::parse(path, text)?;
    let id = check.id.clone();
    if let Some((other, _)) = found.insert(id.clone(), (path.to_owned(), check)) {
        return Err(Error::new(Kind::Config, format!("check id {id} is in two files: {other} and {path}"))
            .effect("no check was run")
            .next("give your own check another ID: a built-in check cannot be replaced"));
    }
    Ok(())
}

fn embedded_files() -> Result<Vec<(String, String)>> {
    let mut files = Vec::new();
    let mut rest: Vec<&DirEntry> = EMBEDDED.entries().iter().collect();
    while let Some(entry) = rest.pop() {
        match entry {
            DirEntry::Dir(dir) => rest.extend(dir.entries()),
            DirEntry::File(file) => {
                let path = format!("checks/{}", file.path().display());
                if path.ends_with(".sql") {
                    let text = file.contents_utf8();
                    let text =
                        text.ok_or_else(|| Error::new(Kind::Config, format!("{path} is not UTF-8")))?;
                    files.push((path, text.to_owned()));
                }
            }
        }
    }
    files.sort();
    Ok(files)
}

/// The SQL files of a customer's directory: `prelude.sql` and `<area>/<ID>.sql`; each with its path.
///
/// # Errors
/// `Config` for a file in no area; errors of the file system.
pub fn extra_files(dir: &Path) -> Result<Vec<(String, String)>> {
    let list = |dir: &Path| {
        disk::read_dir(dir)?.ok_or_else(|| {
            Error::new(Kind::Config, format!("the directory of checks {} does not exist", dir.display()))
                .next("correct [checks] extra_dir in the plan")
        })
    };
    let mut paths = Vec::new();
    for entry in list(dir)? {
        let path = entry.path();
        if path.is_dir() {
            paths.extend(list(&path)?.into_iter().map(|file| file.path()));
        } else if path.file_name().is_some_and(|name| name == "prelude.sql") {
            paths.push(path);
        } else if path.extension().is_some_and(|ext| ext == "sql") {
            let what = format!("{} is in no area: checks are <area>/<ID>.sql", path.display());
            return Err(
                Error::new(Kind::Config, what).next("move it into a folder with the name of its area")
            );
        }
    }
    paths.retain(|path| path.extension().is_some_and(|ext| ext == "sql"));
    if paths.len() > EXTRA_CHECKS_MAX {
        let what = format!("{} contains more than {EXTRA_CHECKS_MAX} checks", dir.display());
        return Err(Error::new(Kind::Config, what));
    }
    paths.sort();
    let read =
        |path: &std::path::PathBuf| Ok((path.display().to_string(), disk::read_text(path, FILE_BYTES_MAX)?));
    paths.iter().map(read).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use check::Severity;

    const GOOD: &str = "-- id: ABC01\n-- area: own\n-- severity: hard\n-- title: t\n-- versions: >=17\n\
        -- requires: a.b\n--   c\n-- reason: because\n--   of that\n-- a note\nSELECT 'x';\n";

    #[test]
    fn every_embedded_check_is_well_formed_and_says_something() {
        let catalogue = load(None).unwrap();
        assert_eq!(catalogue.preludes.len(), 1);
        let count = |s| catalogue.checks.iter().filter(|c| c.severity == s).count();
        assert_eq!((count(Severity::Hard), count(Severity::Base), count(Severity::Info)), (66, 21, 12));
        for check in &catalogue.checks {
            assert!(check.reason.len() > 30 && check.title.len() > 10, "{}", check.id);
            assert!(!check.requires.is_empty(), "{}", check.id);
        }
    }

    #[test]
    fn own_checks_join_the_catalogue_and_cannot_replace_one_of_it() {
        let dir = tempfile::tempdir().unwrap();
        let area = dir.path().join("own");
        disk::create_private_dir(&area).unwrap();
        disk::write_new_durable(&area.join("ABC01.sql"), GOOD.replace("-- a note\n", "").as_bytes()).unwrap();
        disk::write_new_durable(&area.join("notes.txt"), b"ignored").unwrap();
        let catalogue = load(Some(dir.path())).unwrap();
        assert!(catalogue.checks.iter().any(|c| c.id == "ABC01" && c.area == "own"));

        let taken = GOOD.replace("-- a note\n", "").replace("ABC01", "ACC01");
        disk::write_new_durable(&area.join("ACC01.sql"), taken.as_bytes()).unwrap();
        let error = load(Some(dir.path())).unwrap_err();
        assert!(error.what().contains("ACC01 is in two files"), "{}", error.what());
        assert_eq!(load(Some(&dir.path().join("absent"))).unwrap_err().kind(), Kind::Config);
    }
}
