//! Lists uploads that were begun and not finished, with the time of their newest part: so an upload that
//! still runs, however long ago it began, is told from one that nobody will finish.

use std::path::Path;

use reqwest::Method;
use serde::{Deserialize, Serialize};

use super::leftovers::{PAGES_MAX, Page, request};
use super::local::{Local, blocking};
use super::remote::{Remote, S3};
use super::{Backend, Store, key};
use crate::clock::Timestamp;
use crate::disk;
use crate::error::{Error, Kind, Result};

/// Uploads of one listing; the next one finds the others.
const UPLOADS_MAX: usize = 10_000;
/// S3 has at most 10,000 parts in an upload, and 1,000 in an answer.
const PART_PAGES_MAX: usize = 11;

/// An upload that was not finished.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnfinishedUpload {
    /// The key that the object would have; of a directory, the name of the file.
    pub key: String,
    /// When something of it was last stored, by the store's clock.
    pub touched_at: Timestamp,
    /// What was stored of it.
    pub bytes: u64,
    /// Its ID; empty in a directory.
    #[serde(skip)]
    id: String,
}

impl Store {
    /// The unfinished uploads below `prefix` of which nothing was stored since `before`: multipart uploads on
    /// S3, staged files in a directory. None on other stores, which drop them themselves.
    ///
    /// # Errors
    /// `Denied` or `Config` where the store does not list them; else those of the store.
    pub async fn abandoned_uploads(&self, prefix: &str, before: Timestamp) -> Result<Vec<UnfinishedUpload>> {
        let prefix = key::prefix(prefix)?;
        match &self.inner.place {
            Backend::Local(local) => local.abandoned(prefix, before).await,
            Backend::Remote(remote) => match &remote.s3 {
                Some(s3) => remote.abandoned(s3, prefix, before).await,
                None => Ok(Vec::new()),
            },
            Backend::Past(past) => past.refuse("list unfinished uploads of", prefix),
        }
    }

    /// Removes what is stored of an unfinished upload. One that was finished or removed meanwhile is no
    /// error, and nothing is done to its object.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn abort_upload(&self, upload: &UnfinishedUpload) -> Result<()> {
        match &self.inner.place {
            Backend::Local(local) => {
                let (local, key) = (local.clone(), upload.key.clone());
                blocking(move || {
                    disk::remove_file(&local.path(&key)).map_err(|e| local.explain("remove", &key, e))
                })
                .await
            }
            Backend::Remote(remote) => match &remote.s3 {
                Some(s3) => remote.abort(s3, &key::join(&remote.prefix, &upload.key), &upload.id).await,
                None => Ok(()),
            },
            Backend::Past(past) => past.refuse("remove the unfinished upload of", &upload.key),
        }
    }
}

impl Remote {
    async fn abandoned(&self, s3: &S3, prefix: &str, before: Timestamp) -> Result<Vec<UnfinishedUpload>> {
        let mut found = Vec::new();
        let mut next = Some(Default::default());
        for _ in 0..PAGES_MAX {
            let Some(markers) = next.take() else { break };
            let page = self.page_of_uploads(s3, prefix, &markers).await?;
            for (whole, id, begun) in page.uploads {
                // Checked here as well: some servers ignore the prefix.
                let own = key::below(&key::join(&self.prefix, prefix), &whole).is_some();
                let Some(key) = key::below(&self.prefix, &whole).filter(|_| own) else { continue };
                // One whose age is not known stays.
                let Some(begun) = begun.filter(|begun| *begun < before) else { continue };
                if found.len() >= UPLOADS_MAX {
                    return Ok(found);
                }
                let (newest, bytes) = self.parts(s3, key, &id).await?;
                let touched_at = newest.map_or(begun, |newest| newest.max(begun));
                if touched_at < before {
                    found.push(UnfinishedUpload { key: key.to_owned(), touched_at, bytes, id });
                }
            }
            next = page.next.filter(|next| *next != markers);
        }
        Ok(found)
    }

    /// When the newest part of an upload was stored, and the size of all parts.
    async fn parts(&self, s3: &S3, key: &str, id: &str) -> Result<(Option<Timestamp>, u64)> {
        let (mut newest, mut bytes, mut marker) = (None, 0, String::new());
        let call = self.call("list the parts of the unfinished upload of", key, 0);
        let path = self.path(key);
        for _ in 0..PART_PAGES_MAX {
            let query = [("uploadId", id), ("part-number-marker", &marker)];
            let query = query.into_iter().filter(|(_, value)| !value.is_empty());
            let body = match request(s3, &call, Method::GET, &path, query).await {
                Ok(body) => body,
                // Finished or aborted meanwhile: as if it was just used.
                Err(e) if e.kind() == Kind::NotFound => return Ok((Some(Timestamp::MAX), 0)),
                Err(e) => return Err(e),
            };
            let page = Page::parse(&body).map_err(|why| call.fail(Kind::Unreachable, &why))?;
            for (stored, size) in page.parts {
                bytes += size;
                newest = newest.max(Some(stored.unwrap_or(Timestamp::MAX)));
            }
            match page.next_part {
                Some(next) if next != marker => marker = next,
                _ => return Ok((newest, bytes)),
            }
        }
        // The newest come last, and were not seen.
        Ok((Some(Timestamp::MAX), bytes))
    }
}

impl Local {
    async fn abandoned(&self, prefix: &str, before: Timestamp) -> Result<Vec<UnfinishedUpload>> {
        let local = self.clone();
        let mut found = Vec::new();
        let keys = self.staged(prefix).await?;
        blocking(move || {
            for key in keys.into_iter().take(UPLOADS_MAX) {
                let Some((touched_at, bytes)) = written(&local.path(&key))? else { continue };
                if touched_at < before {
                    found.push(UnfinishedUpload { key, touched_at, bytes, id: String::new() });
                }
            }
            Ok(found)
        })
        .await
    }
}

/// When a file was last written, and its size; `None` where it is gone, or has a time that no clock shows.
fn written(path: &Path) -> Result<Option<(Timestamp, u64)>> {
    let Some(meta) = disk::metadata(path)? else { return Ok(None) };
    let modified = meta.modified().map_err(|e| Error::file("look at", path, e))?;
    Ok(Timestamp::try_from(modified).ok().map(|at| (at, meta.len())))
}
