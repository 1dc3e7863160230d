//! Stores an object of unknown size, with limited memory.

use bytes::Bytes;
use object_store::{MultipartUpload, ObjectStore, ObjectStoreExt, PutMultipartOptions, PutPayload};
use tokio::task::JoinSet;

use super::local_write::Writer;
use super::remote::Remote;
use super::remote_put::attributes;
use super::{Backend, Given, Store};
use crate::error::{Error, Kind, Result};

/// Parts that are uploaded at once; with the one being filled, three are in memory.
const PARTS_IN_FLIGHT: usize = 2;
/// S3's limit.
const PARTS_MAX: u64 = 10_000;

/// An object that is being written. It appears completely when [`Upload::finish`] succeeds; dropped before
/// that, it never appears, and what was sent is removed if the store can be reached.
///
/// On remote stores, an object of up to one part is uploaded with one create-only put. For a larger one, the
/// key is checked right before completion, because object stores have no create-only completion: names that
/// must not collide between writers must be unique (snapshot IDs are) or protected by a lease.
#[derive(Debug)]
pub struct Upload {
    store: Store,
    key: String,
    bytes: u64,
    sink: Sink,
}

#[derive(Debug)]
enum Sink {
    Local(Writer),
    Remote(Parts),
}

impl Upload {
    pub(super) async fn begin(store: Store, key: &str) -> Result<Upload> {
        let sink = match &store.inner.place {
            Backend::Local(_) if store.given.lock.is_some() => return Err(store.no_locks(key)),
            Backend::Local(local) => Sink::Local(local.writer(key).await?),
            Backend::Past(past) => return past.refuse("store", key),
            Backend::Remote(remote) => {
                Sink::Remote(Parts::new(remote.clone(), key.to_owned(), store.given.clone()))
            }
        };
        Ok(Upload { store, key: key.to_owned(), bytes: 0, sink })
    }

    /// The key that it will have.
    pub fn key(&self) -> &str {
        &self.key
    }

    /// Appends; waits while the rate limit or the store cannot keep up. After an error only drop it or call
    /// [`Upload::abort`]; [`Upload::finish`] fails. Not cancel-safe: an upload whose `write` was dropped
    /// halfway must be dropped, too.
    pub async fn write(&mut self, data: Bytes) -> Result<()> {
        self.store.inner.upload_limit.take(data.len() as u64).await;
        self.bytes += data.len() as u64;
        match &mut self.sink {
            Sink::Local(writer) => writer.write(data).await,
            Sink::Remote(parts) => parts.write(data).await,
        }
    }

    /// Publishes the object, durably, and returns its size.
    ///
    /// # Errors
    /// [`Kind::AlreadyExists`] where the object exists; it is not changed.
    pub async fn finish(self) -> Result<u64> {
        match self.sink {
            Sink::Local(writer) => writer.finish().await?,
            Sink::Remote(parts) => parts.finish(self.bytes).await?,
        }
        Ok(self.bytes)
    }

    /// Aborts and removes what was sent; dropping does the same without a result.
    pub async fn abort(self) -> Result<()> {
        match self.sink {
            Sink::Local(writer) => writer.abort(),
            Sink::Remote(mut parts) => parts.abort().await,
        }
    }
}

#[derive(Debug)]
struct Parts {
    remote: Remote,
    key: String,
    given: Given,
    buffer: Vec<Bytes>,
    buffered: usize,
    multipart: Option<Box<dyn MultipartUpload>>,
    in_flight: JoinSet<Result<()>>,
    sent: u64,
    failed: bool,
}

impl Parts {
    fn new(remote: Remote, key: String, given: Given) -> Parts {
        Parts {
            remote,
            key,
            given,
            buffer: Vec::new(),
            buffered: 0,
            multipart: None,
            in_flight: JoinSet::new(),
            sent: 0,
            failed: false,
        }
    }

    async fn write(&mut self, data: Bytes) -> Result<()> {
        self.buffered += data.len();
        self.buffer.push(data);
        // Not at exactly one part: that much still fits into a single put.
        while self.buffered > self.remote.limits.part_bytes {
            let part = self.cut_part();
            if let Err(e) = self.send(part).await {
                self.failed = true;
                return Err(e);
            }
        }
        Ok(())
    }

    /// Takes exactly one part off the buffer.
    fn cut_part(&mut self) -> PutPayload {
        let mut missing = self.remote.limits.part_bytes;
        let mut whole = 0;
        let mut rest = None;
        for piece in &mut self.buffer {
            if piece.len() > missing {
                rest = Some(piece.split_off(missing));
            }
            missing -= piece.len();
            whole += 1;
            if missing == 0 {
                break;
            }
        }
        self.buffered -= self.remote.limits.part_bytes - missing;
        let part: PutPayload = self.buffer.drain(..whole).collect();
        if let Some(rest) = rest {
            self.buffer.insert(0, rest);
        }
        part
    }

    async fn send(&mut self, part: PutPayload) -> Result<()> {
        if self.sent >= PARTS_MAX {
            let bytes = self.remote.limits.part_bytes;
            let what = format!("{} in {} has more than {PARTS_MAX} parts", self.key, self.remote.words.url);
            return Err(Error::new(Kind::Config, what).next(format!("raise part_bytes (now {bytes})")));
        }
        let multipart = match &mut self.multipart {
            Some(multipart) => multipart,
            None => {
                let Given { lock, class } = &self.given;
                let begun = match lock {
                    Some(lock) => self.remote.multipart_locked(&self.key, *lock, class.as_deref()).await?,
                    None => {
                        let path = self.remote.path(&self.key);
                        let call = self.remote.call("store", &self.key, 0);
                        let options = PutMultipartOptions {
                            attributes: attributes(class.as_deref()),
                            ..Default::default()
                        };
                        call.run(self.remote.objects.put_multipart_opts(&path, options)).await?
                    }
                };
                self.multipart.insert(begun)
            }
        };
        while self.in_flight.len() >= PARTS_IN_FLIGHT {
            arrived(self.in_flight.join_next().await)?;
        }
        let call = self.remote.call("store", &self.key, part.content_length() as u64);
        let sending = multipart.put_part(part);
        self.in_flight.spawn(async move { call.run(sending).await });
        self.sent += 1;
        Ok(())
    }

    async fn finish(mut self, bytes: u64) -> Result<()> {
        if self.failed {
            let what =
                format!("cannot finish {} in {}: an earlier part failed", self.key, self.remote.words.url);
            return Err(Error::new(Kind::Internal, what));
        }
        let last: PutPayload = self.buffer.drain(..).collect();
        if self.multipart.is_none() {
            return self.remote.put_new(&self.key, last, &self.given).await;
        }
        // From here on an early return drops `self`, which aborts.
        self.send(last).await?;
        while !self.in_flight.is_empty() {
            arrived(self.in_flight.join_next().await)?;
        }
        let version = self.complete(bytes).await?;
        match self.given.lock {
            Some(lock) => self.remote.assure(&self.key, version.as_deref(), lock).await,
            None => Ok(()),
        }
    }

    /// The version of the object that exists now.
    async fn complete(&mut self, bytes: u64) -> Result<Option<String>> {
        let call = self.remote.call("store", &self.key, 0);
        if self.remote.head(&self.key).await?.is_some() {
            return Err(call.fail(Kind::AlreadyExists, "an object is already stored there"));
        }
        let Some(multipart) = &mut self.multipart else { return Ok(None) };
        let error = match call.run(multipart.complete()).await {
            Ok(stored) => {
                self.multipart = None;
                return Ok(stored.version);
            }
            Err(e) => e,
        };
        // A retry of a completion whose answer was lost gets "no such upload"; the object did not exist a
        // moment ago, so an object of this size is ours.
        let path = self.remote.path(&self.key);
        match self.remote.call("look at", &self.key, 0).run(self.remote.objects.head(&path)).await {
            Ok(found) if found.size == bytes => {
                self.multipart = None;
                Ok(found.version)
            }
            // Whatever the store called it: an object that could not be created is not "not found".
            _ if error.kind() == Kind::NotFound => Err(error.with_kind(Kind::Unreachable)),
            _ => Err(error),
        }
    }

    async fn abort(&mut self) -> Result<()> {
        self.in_flight.shutdown().await;
        match self.multipart.take() {
            None => Ok(()),
            Some(mut multipart) => {
                let call = self.remote.call("abandon", &self.key, 0);
                call.run(multipart.abort()).await
            }
        }
    }
}

impl Drop for Parts {
    fn drop(&mut self) {
        let Some(mut multipart) = self.multipart.take() else { return };
        self.in_flight.abort_all();
        // Outside a runtime, or when the runtime ends first, `clean_leftovers` does it.
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        let call = self.remote.call("abandon", &self.key, 0);
        runtime.spawn(async move {
            if let Err(e) = call.run(multipart.abort()).await {
                tracing::debug!(error = ?e, "an unfinished upload could not be removed");
            }
        });
    }
}

fn arrived(joined: Option<Result<Result<()>, tokio::task::JoinError>>) -> Result<()> {
    match joined {
        None => Ok(()),
        Some(Ok(done)) => done,
        Some(Err(e)) => Err(Error::new(Kind::Internal, "the upload of a part was stopped").because(e)),
    }
}
