//! Listing a directory that is a store.

use std::collections::VecDeque;
use std::fs::FileType;
use std::io::ErrorKind;
use std::path::Path;
use std::time::Duration;

use futures::stream::BoxStream;
use futures::{StreamExt, stream};

use super::local::{Local, blocking, info};
use super::{ObjectInfo, key};
use crate::clock::{self, Timestamp};
use crate::disk;
use crate::error::{Error, Kind, Result};

/// Deeper than any key of ours; a link that leads back up ends here.
const DEPTH_MAX: usize = 24;

struct Walk {
    local: Local,
    /// Directories still to read.
    dirs: Vec<String>,
    found: VecDeque<ObjectInfo>,
}

/// What one directory holds, by key; links are followed.
#[derive(Default)]
struct Entries {
    files: Vec<ObjectInfo>,
    dirs: Vec<String>,
    staged: Vec<String>,
}

impl Local {
    /// See [`super::Store::list`]. Reads one directory at a time.
    pub(super) fn list(&self, prefix: String) -> BoxStream<'static, Result<ObjectInfo>> {
        let walk = Walk { local: self.clone(), dirs: vec![prefix], found: VecDeque::new() };
        stream::unfold(Some(walk), |walk| async {
            let mut walk = walk?;
            loop {
                if let Some(found) = walk.found.pop_front() {
                    return Some((Ok(found), Some(walk)));
                }
                let dir = walk.dirs.pop()?;
                let local = walk.local.clone();
                match blocking(move || local.entries(&dir)).await {
                    Ok(entries) => {
                        walk.found.extend(entries.files);
                        walk.dirs.extend(entries.dirs.into_iter().rev());
                    }
                    Err(e) => return Some((Err(e), None)),
                }
            }
        })
        .boxed()
    }

    pub(super) async fn list_dirs(&self, prefix: &str) -> Result<Vec<String>> {
        let (local, prefix) = (self.clone(), prefix.to_owned());
        blocking(move || {
            let dirs = local.entries(&prefix)?.dirs.into_iter();
            Ok(dirs.filter_map(|dir| key::below(&prefix, &dir).map(str::to_owned)).collect())
        })
        .await
    }

    /// Removes staged files that are so old; see [`super::Store::clean_leftovers`].
    pub(super) async fn clean_leftovers(&self, prefix: &str, age_min: Duration) -> Result<u64> {
        let (local, prefix) = (self.clone(), prefix.to_owned());
        blocking(move || {
            let mut removed = 0;
            let mut dirs = vec![prefix];
            while let Some(dir) = dirs.pop() {
                let entries = local.entries(&dir)?;
                for staged in entries.staged.iter().filter(|staged| is_so_old(&local.path(staged), age_min)) {
                    match disk::remove_file(&local.path(staged)) {
                        Ok(()) => removed += 1,
                        Err(e) if e.kind() == Kind::Denied => {
                            tracing::warn!(error = ?e, "an unfinished file was not removed");
                        }
                        Err(e) => return Err(local.explain("remove", staged, e)),
                    }
                }
                dirs.extend(entries.dirs);
            }
            Ok(removed)
        })
        .await
    }

    fn entries(&self, dir: &str) -> Result<Entries> {
        let path = self.path(dir);
        let mut out = Entries::default();
        let listed = match disk::read_dir(&path) {
            Ok(Some(listed)) => listed,
            // Empty where the directory is not there, an error where the repository is not.
            Ok(None) => match self.error("list", dir, ErrorKind::NotFound.into()) {
                e if e.kind() == Kind::NotFound => return Ok(out),
                e => return Err(e),
            },
            Err(e) => return Err(self.explain("list", dir, e)),
        };
        if dir.split('/').count() > DEPTH_MAX {
            let what = format!("{dir} in {} is deeper than {DEPTH_MAX} directories", self.root().display());
            return Err(Error::new(Kind::Integrity, what).next("look for a link that leads back up"));
        }
        for entry in listed {
            let name = entry.file_name();
            // Not UTF-8: shown with marks, so that it can be reported as foreign.
            let name = name.to_string_lossy();
            let key = key::join(dir, &name);
            if is_staged(&name) {
                out.staged.push(key);
                continue;
            }
            let meta = match std::fs::metadata(entry.path()) {
                Ok(meta) => meta,
                // Gone meanwhile, or a link to nothing.
                Err(e) if e.kind() == ErrorKind::NotFound => continue,
                Err(e) => return Err(self.error("list", &key, e)),
            };
            match kind(meta.file_type()) {
                Some(true) => out.dirs.push(key),
                Some(false) => out.files.push(info(key, &meta)),
                None => {}
            }
        }
        out.dirs.sort();
        out.files.sort_by(|a, b| a.key.cmp(&b.key));
        out.staged.sort();
        Ok(out)
    }
}

/// Whether it was last written so long ago; not where its time cannot be read, or lies ahead.
fn is_so_old(path: &Path, age_min: Duration) -> bool {
    if age_min.is_zero() {
        return true;
    }
    let modified = disk::metadata(path).ok().flatten().and_then(|meta| meta.modified().ok());
    let modified = modified.and_then(|time| Timestamp::try_from(time).ok());
    modified.is_some_and(|at| clock::now().duration_since(at).as_secs() > age_min.as_secs() as i64)
}

/// Whether it is a directory; `None` for sockets and the like.
fn kind(kind: FileType) -> Option<bool> {
    (kind.is_dir() || kind.is_file()).then(|| kind.is_dir())
}

/// Whether this is a file that was never published.
fn is_staged(name: &str) -> bool {
    name.rsplit_once('#').is_some_and(|(base, number)| {
        !base.is_empty() && !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn staged_names_are_told_from_others() {
        assert!(is_staged("a#1") && is_staged("a.zst#0099"));
        assert!(!is_staged("a") && !is_staged("#1") && !is_staged("a#") && !is_staged("a#x"));
    }
}
