//! Lists and deletes versions.

use std::sync::Arc;

use futures::stream::BoxStream;
use futures::{StreamExt, future, stream};

use super::super::remote::Remote;
use super::super::{Backend, Store, key};
use super::{ObjectVersion, PageStart, VersionId, VersionedBucket};
use crate::error::{Error, Kind, Result};

impl Store {
    /// Whether versions of objects can be asked for here at all: only of buckets of S3.
    pub fn has_versions(&self) -> bool {
        matches!(&self.inner.place, Backend::Remote(remote) if remote.versions.is_some())
    }

    /// Every version of every object below the directory `prefix` (`""`: everything), delete markers
    /// included, sorted by key; the versions of one key from the newest to the oldest. The store's times are
    /// whole seconds: of two versions of one second, only the latest of the key is known to be newer. At most
    /// a page of 1,000 is in memory. Ends after the first error.
    ///
    /// In a bucket without versioning each object has one version.
    pub fn versions(&self, prefix: &str) -> BoxStream<'static, Result<ObjectVersion>> {
        let begun =
            key::prefix(prefix).and_then(|prefix| Ok((prefix, self.versioned("list versions of", prefix)?)));
        let (prefix, (remote, bucket)) = match begun {
            Ok(begun) => begun,
            Err(e) => return stream::iter([Err(e)]).boxed(),
        };
        let folder = key::join(&remote.prefix, prefix);
        let begin = if folder.is_empty() { String::new() } else { format!("{folder}/") };
        Listing { remote: remote.clone(), bucket, shown: prefix.to_owned(), folder, begin }.all()
    }

    /// The versions of one object, delete markers included, from the newest to the oldest; see
    /// [`Store::versions`].
    pub fn versions_of(&self, key: &str) -> BoxStream<'static, Result<ObjectVersion>> {
        let begun = key::check(key).and_then(|()| self.versioned("list versions of", key));
        let (remote, bucket) = match begun {
            Ok(begun) => begun,
            Err(e) => return stream::iter([Err(e)]).boxed(),
        };
        let (folder, begin) = (remote.prefix.clone(), key::join(&remote.prefix, key));
        let listing = Listing { remote: remote.clone(), bucket, shown: key.to_owned(), folder, begin };
        // Longer keys that begin with it come after it.
        let key = key.to_owned();
        let is_it = move |version: &Result<ObjectVersion>| {
            future::ready(version.as_ref().map_or(true, |version| version.info.key == key))
        };
        listing.all().take_while(is_it).boxed()
    }

    /// Deletes a version, for ever; nothing is hidden by a marker. A version that is gone counts as deleted.
    ///
    /// # Errors
    /// [`Kind::Denied`] where it is locked, or the right is missing.
    pub async fn remove_version(&self, key: &str, id: &VersionId) -> Result<()> {
        key::check(key)?;
        let (remote, bucket) = self.versioned("delete a version of", key)?;
        let path = remote.path(key);
        let call = remote.call("delete a version of", key, 0);
        match call.run(bucket.remove(path.as_ref(), id.as_str())).await {
            Err(e) if e.kind() == Kind::NotFound => Ok(()),
            outcome => outcome,
        }
    }

    /// Nothing can be locked here.
    pub(in super::super) fn no_locks(&self, key: &str) -> Error {
        absent("lock", key, self.url(), "a directory has no locks")
    }

    /// The bucket, where it can have versions.
    pub(super) fn versioned(&self, verb: &str, key: &str) -> Result<(&Remote, Arc<dyn VersionedBucket>)> {
        match &self.inner.place {
            Backend::Remote(remote) => Ok((remote, remote.versioned(verb, key)?)),
            Backend::Past(past) => past.refuse(verb, key),
            Backend::Local(_) => Err(absent(verb, key, self.url(), "a directory has no versions")),
        }
    }
}

impl Remote {
    /// The bucket, where it can have versions.
    pub(in super::super) fn versioned(&self, verb: &str, key: &str) -> Result<Arc<dyn VersionedBucket>> {
        let why = match (&self.versions, &self.s3) {
            (Some(bucket), _) => return Ok(bucket.clone()),
            (None, Some(_)) => "this lifeboat was built without the feature aws-sdk",
            (None, None) => "Lifeboat uses versions and locks only in buckets of S3",
        };
        Err(absent(verb, key, &self.words.url, why))
    }
}

fn absent(verb: &str, key: &str, url: &str, why: &str) -> Error {
    let object = if key.is_empty() { String::new() } else { format!("{key} in ") };
    Error::new(Kind::Config, format!("cannot {verb} {object}{url}: {why}"))
        .next("docs/immutability.md says what each kind of store has")
}

enum Next {
    First,
    After(PageStart),
    End,
}

struct Listing {
    remote: Remote,
    bucket: Arc<dyn VersionedBucket>,
    /// What is listed, in errors.
    shown: String,
    /// The directory in the bucket that all of it is below.
    folder: String,
    /// What its paths begin with.
    begin: String,
}

impl Listing {
    fn all(self) -> BoxStream<'static, Result<ObjectVersion>> {
        let pages = stream::unfold((self, Next::First), |(listing, next)| async move {
            let after = match &next {
                Next::First => None,
                Next::After(start) => Some(start),
                Next::End => return None,
            };
            let (page, next) = match listing.page(after).await {
                Ok((page, None)) => (Ok(page), Next::End),
                Ok((page, Some(start))) => (Ok(page), Next::After(start)),
                Err(e) => (Err(e), Next::End),
            };
            Some((page, (listing, next)))
        });
        pages
            .flat_map(|page| match page {
                Ok(versions) => stream::iter(versions.into_iter().map(Ok).collect::<Vec<_>>()),
                Err(e) => stream::iter(vec![Err(e)]),
            })
            .boxed()
    }

    async fn page(&self, after: Option<&PageStart>) -> Result<(Vec<ObjectVersion>, Option<PageStart>)> {
        let call = self.remote.call("list versions of", &self.shown, 0);
        let page = call.run(self.bucket.page(&self.begin, after)).await?;
        if page.next.is_some() && page.next.as_ref() == after {
            return Err(call.fail(Kind::Unreachable, "the store gives the same page again and again"));
        }
        let mut versions = page.versions;
        // Checked here as well: some servers ignore the prefix. A folder's marker has no key of ours.
        versions.retain_mut(|version| {
            let below = key::below(&self.folder, &version.info.key).is_some();
            match key::below(&self.remote.prefix, &version.info.key).map(str::to_owned) {
                Some(key) if below => version.info.key = key,
                _ => return false,
            }
            true
        });
        Ok((versions, page.next))
    }
}
