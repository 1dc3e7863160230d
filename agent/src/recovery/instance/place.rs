//! The places of a restored instance: new directories, or those that an earlier try of the same restore left.

use std::path::{Path, PathBuf};

use crate::archive::base::{CONTROL_FILE, Tablespace};
use crate::archive::manifest::Manifest;
use crate::error::{Error, Kind, Result};
use crate::names::SnapshotId;
use crate::recovery::instance::delta::{self, Replaced};
use crate::recovery::instance::tree::{self, TablespacePlan};
use crate::recovery::instance::{InstanceRequest, Marker};

/// All places.
pub struct Places {
    /// The data directory, absolute.
    pub data_dir: PathBuf,
    /// The old data directory, if one is replaced.
    pub replaced: Option<Replaced>,
    /// Whether an earlier try left something.
    pub goes_on: bool,
    /// The tablespaces.
    pub tablespaces: Vec<TablespacePlan>,
}

/// Checks every place; `settings` are those that the restore would write, `scratch` says that this is a
/// temporary copy.
///
/// # Errors
/// `Refused` if a place contains something that must not be changed.
pub fn place(request: &InstanceRequest, base: &Manifest, settings: &str, scratch: bool) -> Result<Places> {
    let asked = &request.data_dir;
    let mut data_dir = std::path::absolute(asked).map_err(|e| Error::file("find", asked, e))?;
    let facts = base.base_facts()?;
    if request.delta {
        // the directory itself, without the links that lead to it: it will be exchanged with another
        data_dir = tree::itself(&data_dir)?.unwrap_or(data_dir);
        let replaced = delta::look(&data_dir, facts, &base.id, settings)?;
        let tablespaces = place_tablespaces(base, &request.tablespaces, &data_dir, Some(&replaced))?;
        let goes_on = replaced.goes_on;
        return Ok(Places { data_dir, replaced: Some(replaced), goes_on, tablespaces });
    }
    let goes_on = check_place(&data_dir, &base.id, || {
        let other = "choose another directory, or move away its content";
        format!("{other}; to replace an old data directory of the same cluster, add --delta")
    })?;
    let tablespaces = match scratch {
        true => scratch_tablespaces(&facts.tablespaces, &data_dir),
        false => place_tablespaces(base, &request.tablespaces, &data_dir, None)?,
    };
    Ok(Places { data_dir, replaced: None, goes_on, tablespaces })
}

/// Where each tablespace goes: to its old place, unless it is mapped. If an old data directory is
/// replaced, it goes beside its old place, because the old tablespaces stay.
fn place_tablespaces(
    base: &Manifest,
    map: &[(String, PathBuf)],
    data_dir: &Path,
    replaced: Option<&Replaced>,
) -> Result<Vec<TablespacePlan>> {
    let tablespaces = &base.base_facts()?.tablespaces;
    let place = |was: &String| match replaced {
        None => PathBuf::from(was),
        Some(replaced) => PathBuf::from(format!("{was}_{}", replaced.stamp())),
    };
    let is = |old: &String, t: &Tablespace| *old == t.location || *old == t.name;
    if let Some((old, _)) = map.iter().find(|(old, _)| !tablespaces.iter().any(|t| is(old, t))) {
        return Err(Error::new(Kind::Usage, format!("the backup has no tablespace {old}"))
            .next("use a tablespace that lifeboat show SNAPSHOT lists"));
    }
    let mut placed: Vec<TablespacePlan> = Vec::new();
    for tablespace in tablespaces {
        let Tablespace { oid, name, location: was } = tablespace;
        let mapped = map.iter().find(|(old, _)| is(old, tablespace));
        let location = mapped.map_or_else(|| place(was), |(_, new)| new.clone());
        if location == data_dir || placed.iter().any(|other| other.location == location) {
            let what =
                format!("tablespace {name} would use {}, which something else uses", location.display());
            return Err(Error::new(Kind::Usage, what).effect("nothing was changed"));
        }
        if replaced.is_none_or(|replaced| !replaced.is_done) {
            check_place(&location, &base.id, || {
                format!("put tablespace {name} elsewhere: --tablespace-map {was}=DIR")
            })?;
        }
        placed.push(TablespacePlan { oid: *oid, name: name.clone(), was: was.clone(), location });
    }
    Ok(placed)
}

/// Beside the scratch data directory: production's own places are not used.
fn scratch_tablespaces(tablespaces: &[Tablespace], data_dir: &Path) -> Vec<TablespacePlan> {
    let place = |t: &Tablespace| TablespacePlan {
        oid: t.oid,
        name: t.name.clone(),
        was: t.location.clone(),
        location: data_dir.with_file_name(format!("tablespace-{}", t.oid)),
    };
    tablespaces.iter().map(place).collect()
}

/// Whether an earlier try of the same restore left something here.
///
/// # Errors
/// `Refused` if anything else is here.
fn check_place(dir: &Path, snapshot: &SnapshotId, next: impl Fn() -> String) -> Result<bool> {
    let opened = match tree::open(dir) {
        Ok(opened) => opened,
        Err(e) if e.kind() == Kind::NotFound => return Ok(false),
        Err(e) => return Err(e.effect("nothing was changed")),
    };
    let failed = |e| Error::file("look at", dir, e);
    if opened.entries().map_err(failed)?.is_empty() {
        return Ok(false);
    }
    let refused = |why: &str| {
        Error::new(Kind::Refused, format!("{} {why}", dir.display()))
            .effect("nothing was changed: a restore never overwrites")
            .next(next())
    };
    match Marker::read(&opened)? {
        None => Err(refused("is not empty")),
        Some(_) if opened.look(Path::new(CONTROL_FILE)).map_err(failed)?.is_some() => {
            Err(refused("holds a restored instance"))
        }
        Some(marker) if marker.snapshot != *snapshot => {
            Err(refused(&format!("holds an unfinished restore of {}", marker.snapshot)))
        }
        Some(_) => Ok(true),
    }
}
