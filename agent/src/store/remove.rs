//! Removing objects: many in one request where the store can, and whatever is gone already counts as removed.

use std::collections::HashSet;
use std::path::Path;

use futures::{StreamExt, stream};

use super::local::{Local, blocking};
use super::remote::Remote;
use super::{Backend, Store, key};
use crate::disk;
use crate::error::{Error, Kind, Result};

/// Objects of one request; S3 takes no more.
const BATCH: usize = 1_000;
/// How the answer for one of many objects says that it may not be removed.
const REFUSALS: [&str; 3] = ["AccessDenied", "code: 403", "ObjectLocked"];

/// What became of objects that were to be removed.
#[derive(Debug, Default)]
pub struct Removed {
    /// How many are gone.
    pub removed: u64,
    /// Those that are still there, each with the reason.
    pub failed: Vec<(String, Error)>,
}

impl Store {
    /// Removes objects. One that cannot be removed (locked, not allowed, not ours by its name) does not stop
    /// the others.
    ///
    /// # Errors
    /// `Internal` only.
    pub async fn remove(&self, keys: Vec<String>) -> Result<Removed> {
        let (mut ours, mut failed) = (Vec::with_capacity(keys.len()), Vec::new());
        for key in keys {
            match key::check(&key) {
                Ok(()) => ours.push(key),
                Err(e) => failed.push((key, e)),
            }
        }
        let mut all = match &self.inner.place {
            Backend::Local(local) => local.remove(ours).await?,
            Backend::Remote(remote) => remote.remove(ours).await,
            Backend::Past(past) => return past.refuse("remove", "objects"),
        };
        all.failed.extend(failed);
        Ok(all)
    }
}

impl Remote {
    async fn remove(&self, keys: Vec<String>) -> Removed {
        let mut all = Removed::default();
        for batch in keys.chunks(BATCH) {
            let paths: Vec<_> = batch.iter().map(|key| Ok(self.path(key))).collect();
            let call = self.call("remove", if batch.len() == 1 { &batch[0] } else { "objects" }, 0);
            let (mut gone, mut failures) = (HashSet::new(), Vec::new());
            let mut answers = self.objects.delete_stream(stream::iter(paths).boxed());
            // An answer for each object, or one for all of them.
            for _ in 0..=batch.len() {
                match call.run(async { answers.next().await.transpose() }).await {
                    Ok(None) => break,
                    Ok(Some(path)) => drop(gone.insert(path)),
                    Err(e) => failures.push(e),
                }
            }
            // Answers for one of many objects name it.
            let failures: Vec<(String, Kind)> = failures.iter().map(|e| (e.line(), e.kind())).collect();
            for key in batch {
                if gone.contains(&self.path(key)) {
                    all.removed += 1;
                    continue;
                }
                let e = self.still_there(key, &failures);
                // Some stores say so of an object that another run has removed.
                match e.kind() == Kind::NotFound && matches!(self.head(key).await, Ok(None)) {
                    true => all.removed += 1,
                    false => all.failed.push((key.clone(), e)),
                }
            }
        }
        all
    }

    fn still_there(&self, key: &str, failures: &[(String, Kind)]) -> Error {
        let what = format!("cannot remove {key} from {}", self.words.url);
        let path = self.path(key);
        let own = failures.iter().find(|(line, _)| line.contains(path.as_ref())).or(failures.last());
        let Some((line, kind)) = own else {
            return Error::new(Kind::Unreachable, what).because("the store gave no answer for it");
        };
        let is_denied = REFUSALS.iter().any(|word| line.contains(word));
        Error::new(if is_denied { Kind::Denied } else { *kind }, what).because(line.as_str())
    }
}

impl Local {
    async fn remove(&self, keys: Vec<String>) -> Result<Removed> {
        let local = self.clone();
        blocking(move || {
            let mut all = Removed::default();
            for key in keys {
                let path = local.path(&key);
                match disk::remove_file(&path) {
                    Ok(()) => {
                        all.removed += 1;
                        remove_empty(local.root(), &path);
                    }
                    Err(e) => {
                        let e = local.explain("remove", &key, e);
                        all.failed.push((key, e));
                    }
                }
            }
            Ok(all)
        })
        .await
    }
}

/// Removes the directories above a removed object that are empty now, up to those that every repository has.
fn remove_empty(root: &Path, path: &Path) {
    const KEPT: usize = 3; // instances/NAME/snapshots
    for dir in path.ancestors().skip(1) {
        let depth = dir.strip_prefix(root).map_or(0, |below| below.components().count());
        if depth <= KEPT || std::fs::remove_dir(dir).is_err() {
            return;
        }
    }
}
