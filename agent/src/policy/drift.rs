//! Differences between the recovery classes of several configurations, and between what belongs to them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::config::{Pattern, Shown, settings};
use crate::error::{Error, Kind, Result};

/// What is compared: these keys, or all keys of a section that ends with a dot. None of them holds a secret.
const COMPARED: [&str; 12] = [
    "class.",
    "schedule.",
    "checkpoint.regions_allowed",
    "repository.region",
    "repository.lock",
    "seal.recipients",
    "seal.recipients_file",
    "backup.base_chain_max",
    "backup.filestore_chain_max",
    "wal.stream",
    "wal.piece_interval",
    "odoo.exclude",
];

/// A file that has a value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Place {
    /// The file as it was named.
    pub file: PathBuf,
    /// The line of the value; `None` for a default, and where the key is not set.
    pub line: Option<usize>,
}

/// A value, and the files that have it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Held {
    /// `None` where the key is not set and has no default.
    pub value: Option<String>,
    /// In the order in which they were named.
    pub places: Vec<Place>,
}

/// A key whose value is not the same in every file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// `class.critical.rpo`; `class.critical` where some of the files do not have the class.
    pub key: String,
    /// What most files have comes first.
    pub values: Vec<Held>,
}

/// All differences.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Drift {
    /// The files, as they were named.
    pub files: Vec<PathBuf>,
    /// Whether there is no difference.
    pub same: bool,
    /// By key.
    pub differences: Vec<Difference>,
}

/// Compares files. Keys that fit a pattern of `ignored` are left out.
///
/// # Errors
/// Those of reading a file, `Config` for a file that is not valid, `Usage` for a pattern that fits no key.
pub fn drift(files: &[PathBuf], ignored: &[Pattern]) -> Result<Drift> {
    let read = files.iter().map(|file| Ok((file.as_path(), compared(file)?))).collect::<Result<Vec<_>>>()?;
    let keys: BTreeSet<&str> =
        read.iter().flat_map(|(_, values)| values.keys()).map(String::as_str).collect();
    if let Some(unused) = ignored.iter().find(|pattern| !keys.iter().any(|key| pattern.fits(key))) {
        let what = format!("--ignore {}: it matches none of the compared keys", unused.as_str());
        return Err(Error::new(Kind::Usage, what).next(format!("compared are: {}", COMPARED.join(", "))));
    }
    let wanted = keys.into_iter().filter(|key| !ignored.iter().any(|pattern| pattern.fits(key)));
    let differences: Vec<Difference> = wanted.filter_map(|key| difference(key, &read)).collect();
    Ok(Drift { files: files.to_vec(), same: differences.is_empty(), differences })
}

/// The compared values of a file, and for each class an entry of its own.
fn compared(file: &Path) -> Result<BTreeMap<String, Shown>> {
    let mut values = settings(file)?;
    values.retain(|key, _| {
        COMPARED.iter().any(|one| key == one || (one.ends_with('.') && key.starts_with(one)))
    });
    let classes: BTreeSet<String> = values.keys().filter_map(|key| class(key).map(str::to_owned)).collect();
    for class in classes {
        let line =
            values.iter().filter(|(key, _)| class_of(key, &class)).filter_map(|(_, one)| one.line).min();
        values.insert(class, Shown { text: "defined".to_owned(), line });
    }
    Ok(values)
}

/// `class.critical` of `class.critical.rpo`.
fn class(key: &str) -> Option<&str> {
    key.strip_prefix("class.")?.contains('.').then(|| key.rsplit_once('.').map(|(class, _)| class))?
}

fn class_of(key: &str, wanted: &str) -> bool {
    class(key) == Some(wanted)
}

fn difference(key: &str, read: &[(&Path, BTreeMap<String, Shown>)]) -> Option<Difference> {
    let mut values: Vec<Held> = Vec::new();
    for (file, held) in read {
        // A class that is missing as a whole is one difference, not twenty.
        if class(key).is_some_and(|class| !held.contains_key(class)) {
            continue;
        }
        let value = held.get(key).map(|one| one.text.clone());
        let place = Place { file: file.to_path_buf(), line: held.get(key).and_then(|one| one.line) };
        match values.iter_mut().find(|one| one.value == value) {
            Some(one) => one.places.push(place),
            None => values.push(Held { value, places: vec![place] }),
        }
    }
    values.sort_by_key(|one| std::cmp::Reverse(one.places.len()));
    (values.len() > 1).then(|| Difference { key: key.to_owned(), values })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk;

    fn files(texts: &[&str]) -> (tempfile::TempDir, Vec<PathBuf>) {
        let dir = tempfile::tempdir().unwrap();
        let files = texts.iter().enumerate().map(|(n, text)| {
            let file = dir.path().join(format!("{n}.toml"));
            disk::replace_durable(&file, text.as_bytes()).unwrap();
            file
        });
        let files = files.collect();
        (dir, files)
    }

    fn told(drift: &Drift) -> Vec<String> {
        let one = |held: &Held| {
            let names = held.places.iter().map(|place| {
                let name = place.file.file_stem().unwrap().to_str().unwrap();
                place.line.map_or(name.to_owned(), |line| format!("{name}:{line}"))
            });
            format!("{} {}", held.value.as_deref().unwrap_or("-"), names.collect::<Vec<_>>().join(" "))
        };
        let all = drift.differences.iter();
        all.map(|d| format!("{}: {}", d.key, d.values.iter().map(one).collect::<Vec<_>>().join(" | ")))
            .collect()
    }

    const A: &str =
        "instance = 'a'\nrepository.url = 's3://a/a'\n[class.x]\ntenants = ['a', 'b*']\nrpo = '24h'\n";

    #[test]
    fn the_same_policy_written_differently_is_no_drift() {
        let b = "[class.x]\nrpo = '1d'\ntenants = ['b*', 'a']\nwindow = '168h'\ncopies = 1\n";
        let (_dir, files) = files(&[A, b]);
        let found = drift(&files, &[]).unwrap();
        assert!(found.same, "{:?}", told(&found));
    }

    #[test]
    fn each_difference_names_its_key_and_the_files_of_each_value() {
        let b = A.replace("'24h'", "'1h'") + "[schedule]\nbackup = '0 1 * * *'\n[class.y]\ntenants = []\n";
        let c = A.replace("rpo = '24h'\n", "");
        let (_dir, files) = files(&[A, &b, A, &c]);
        let found = drift(&files, &[]).unwrap();
        assert_eq!(
            told(&found),
            [
                "class.x.rpo: 1d 0:5 2:5 | 1h 1:5 | - 3",
                "class.y: - 0 2 3 | defined 1:9",
                "schedule.backup: - 0 2 3 | \"0 1 * * *\" 1:7",
            ]
        );
        let ignored = |patterns: &[&str]| {
            let patterns: Vec<Pattern> = patterns.iter().map(|text| text.parse().unwrap()).collect();
            drift(&files, &patterns)
        };
        assert_eq!(told(&ignored(&["class.*", "wal.stream"]).unwrap()).len(), 1);
        assert_eq!(ignored(&["class.z.*"]).unwrap_err().kind(), Kind::Usage);
    }

    #[test]
    fn what_is_no_configuration_is_an_error_that_names_it() {
        let (dir, files) = files(&[A, "[class.x]\ntenants = []\nrpo = 'soon'\n"]);
        let e = drift(&files, &[]).unwrap_err();
        assert!(e.kind() == Kind::Config && e.what().contains("1.toml:3: class.x.rpo"), "{e}");
        let missing = [files[0].clone(), dir.path().join("none.toml")];
        let e = drift(&missing, &[]).unwrap_err();
        assert!(e.kind() == Kind::NotFound && e.what().contains("none.toml"), "{e}");
    }
}
