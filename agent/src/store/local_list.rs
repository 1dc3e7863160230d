//! Lists a directory that is a store.

use std::collections::{HashSet, VecDeque};
use std::fs::Metadata;
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Duration;

use futures::stream::BoxStream;
use futures::{StreamExt, stream};

use super::local::{Local, blocking, info};
use super::{ObjectInfo, key};
use crate::clock::{self, Timestamp};
use crate::disk;
use crate::error::{Kind, Result};

/// Deeper than any of our keys.
const DEPTH_MAX: usize = 24;

/// Directories that links led to, by device and inode: each is read once, so that links that lead back up
/// end.
type Linked = HashSet<(u64, u64)>;

struct Walk {
    local: Local,
    /// Directories still to read.
    dirs: Vec<String>,
    found: VecDeque<ObjectInfo>,
    linked: Linked,
}

/// The content of one directory, by key; links to directories are followed.
#[derive(Default)]
struct Entries {
    files: Vec<ObjectInfo>,
    dirs: Vec<String>,
    staged: Vec<String>,
}

impl Local {
    /// See [`super::Store::list`]. Reads one directory at a time.
    pub(super) fn list(&self, prefix: String) -> BoxStream<'static, Result<ObjectInfo>> {
        let walk =
            Walk { local: self.clone(), dirs: vec![prefix], found: VecDeque::new(), linked: Linked::new() };
        stream::unfold(Some(walk), |walk| async {
            let mut walk = walk?;
            loop {
                if let Some(found) = walk.found.pop_front() {
                    return Some((Ok(found), Some(walk)));
                }
                let dir = walk.dirs.pop()?;
                let (local, mut linked) = (walk.local.clone(), std::mem::take(&mut walk.linked));
                match blocking(move || Ok((local.entries(&dir, &mut linked)?, linked))).await {
                    Ok((entries, linked)) => {
                        walk.linked = linked;
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
            let dirs = local.entries(&prefix, &mut Linked::new())?.dirs.into_iter();
            Ok(dirs.filter_map(|dir| key::below(&prefix, &dir).map(str::to_owned)).collect())
        })
        .await
    }

    /// The files below `prefix` that were never published.
    pub(super) async fn staged(&self, prefix: &str) -> Result<Vec<String>> {
        let (local, prefix) = (self.clone(), prefix.to_owned());
        blocking(move || {
            let mut found = Vec::new();
            let (mut dirs, mut linked) = (vec![prefix], Linked::new());
            while let Some(dir) = dirs.pop() {
                let entries = local.entries(&dir, &mut linked)?;
                found.extend(entries.staged);
                dirs.extend(entries.dirs);
            }
            Ok(found)
        })
        .await
    }

    /// Removes staged files that are older than `age_min`; see [`super::Store::clean_leftovers`].
    pub(super) async fn clean_leftovers(
        &self,
        prefix: &str,
        age_min: Duration,
        which: impl Fn(&str) -> bool + Send + 'static,
    ) -> Result<u64> {
        let (local, prefix) = (self.clone(), prefix.to_owned());
        blocking(move || {
            let mut removed = 0;
            let (mut dirs, mut linked) = (vec![prefix], Linked::new());
            while let Some(dir) = dirs.pop() {
                let entries = local.entries(&dir, &mut linked)?;
                let chosen = |staged: &&String| which(staged) && is_so_old(&local.path(staged), age_min);
                for staged in entries.staged.iter().filter(chosen) {
                    match disk::remove_file(&local.path(staged)) {
                        Ok(()) => removed += 1,
                        Err(e) if e.kind() == Kind::Denied => {
                            tracing::warn!(error = ?e, "an unfinished file could not be removed");
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

    fn entries(&self, dir: &str, linked: &mut Linked) -> Result<Entries> {
        let path = self.path(dir);
        let mut out = Entries::default();
        let listed = match disk::read_dir(&path) {
            Ok(Some(listed)) => listed,
            // Empty where the directory does not exist or is a file, as in a bucket; an error where the
            // repository does not exist.
            Ok(None) => match self.error("list", dir, ErrorKind::NotFound.into()) {
                e if e.kind() == Kind::NotFound => return Ok(out),
                e => return Err(e),
            },
            Err(e) => match self.explain("list", dir, e) {
                e if e.kind() == Kind::NotFound => return Ok(out),
                e => return Err(e),
            },
        };
        let is_deepest = dir.split('/').count() >= DEPTH_MAX;
        for entry in listed {
            let name = entry.file_name();
            // Not UTF-8: shown with replacement characters, so that it can be reported as foreign.
            let name = name.to_string_lossy();
            let key = key::join(dir, &name);
            if is_staged(&name) {
                out.staged.push(key);
                continue;
            }
            let meta = match std::fs::symlink_metadata(entry.path()) {
                Ok(meta) => meta,
                Err(e) if e.kind() == ErrorKind::NotFound => continue, // removed meanwhile
                Err(e) => return Err(self.error("list", &key, e)),
            };
            let target = meta.is_symlink().then(|| std::fs::metadata(entry.path()).ok()).flatten();
            let target = target.filter(Metadata::is_dir);
            let is_new = target.as_ref().is_none_or(|target| linked.insert((target.dev(), target.ino())));
            match meta.is_dir() || target.is_some() {
                true if is_new && !is_deepest => out.dirs.push(key),
                true if is_deepest => {
                    let odd = Some("it is a directory deeper than any that Lifeboat makes");
                    out.files.push(ObjectInfo { odd, ..info(key, &meta) });
                }
                _ => out.files.push(info(key, &meta)),
            }
        }
        out.dirs.sort();
        out.files.sort_by(|a, b| a.key.cmp(&b.key));
        out.staged.sort();
        Ok(out)
    }
}

/// Whether it was last written so long ago; false where its time cannot be read, or is in the future.
fn is_so_old(path: &Path, age_min: Duration) -> bool {
    if age_min.is_zero() {
        return true;
    }
    let modified = disk::metadata(path).ok().flatten().and_then(|meta| meta.modified().ok());
    let modified = modified.and_then(|time| Timestamp::try_from(time).ok());
    modified.is_some_and(|at| clock::now().duration_since(at).as_secs() > age_min.as_secs() as i64)
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
