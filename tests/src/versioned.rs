//! A bucket of S3 that keeps every version, in memory, with a clock that tests set: histories of months take
//! milliseconds, and a whole bucket is copied in one step.
//!
//! Who uses it holds a writer's rights: `DELETE` makes a delete marker, and of a version it is refused. There
//! are no locks; for these there is [`crate::Ministack`].

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use bytes::{Bytes, BytesMut};
use futures::{StreamExt, TryStreamExt};
use s3s::dto::*;
use s3s::service::{S3Service, S3ServiceBuilder};
use s3s::{S3, S3Request, S3Response, S3Result, s3_error};

/// The most entries of a page.
const PAGE: usize = 1_000;

/// A version of an object; without content a delete marker.
#[derive(Clone)]
pub struct Kept {
    /// Its ID.
    pub id: String,
    /// When it was stored.
    pub at: SystemTime,
    /// Its content.
    pub data: Option<Bytes>,
}

/// Everything that a bucket holds: of each key the versions, the oldest first.
pub type Content = BTreeMap<String, Vec<Kept>>;

#[derive(Default)]
struct State {
    content: Content,
    uploads: BTreeMap<String, BTreeMap<i32, Bytes>>,
    ids: u64,
    /// Seconds that its clock is ahead of the machine's.
    ahead: i64,
    /// Whether it says that it keeps no versions.
    without_versions: bool,
}

/// The bucket.
#[derive(Clone, Default)]
pub struct Versioned(Arc<Mutex<State>>);

impl Versioned {
    /// The service that answers requests for it. It checks no signatures: these have a time of their own.
    pub(crate) fn service(&self) -> S3Service {
        S3ServiceBuilder::new(self.clone()).build()
    }

    /// The time of the bucket.
    pub fn now(&self) -> SystemTime {
        self.state().now()
    }

    /// Sets its clock so many seconds ahead of the machine's.
    pub fn set_ahead(&self, seconds: i64) {
        self.state().ahead = seconds;
    }

    /// Makes it say that it keeps no versions.
    pub fn keep_no_versions(&self) {
        self.state().without_versions = true;
    }

    /// All that is in it, to be [put back](Versioned::restore).
    pub fn content(&self) -> Content {
        self.state().content.clone()
    }

    /// Puts a content in place of the present one.
    pub fn restore(&self, content: Content) {
        self.state().content = content;
    }

    /// The current content of an object.
    pub fn read(&self, key: &str) -> Option<Bytes> {
        self.state().content.get(key)?.last()?.data.clone()
    }

    /// Stores a version, as any writer may.
    pub fn write(&self, key: &str, data: impl Into<Bytes>) {
        self.state().add(key, Some(data.into()));
    }

    /// Stores a version that is so old.
    pub fn write_before(&self, key: &str, data: impl Into<Bytes>, before: Duration) {
        let mut state = self.state();
        let at = state.now() - before;
        state.add_at(key, Some(data.into()), at);
    }

    /// Hides an object behind a delete marker.
    pub fn hide(&self, key: &str) {
        self.state().add(key, None);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The current version, or the one that is asked for.
    fn found(&self, key: &str, version: Option<&str>) -> S3Result<(Kept, Bytes)> {
        let state = self.state();
        let versions = state.content.get(key).map_or(&[][..], Vec::as_slice);
        let kept = match version {
            None => versions.last(),
            Some(id) => Some(versions.iter().find(|one| one.id == id).ok_or(s3_error!(NoSuchVersion))?),
        };
        let kept = kept.ok_or(s3_error!(NoSuchKey))?;
        let data = kept.data.clone().ok_or(s3_error!(NoSuchKey))?;
        Ok((kept.clone(), data))
    }
}

impl State {
    fn now(&self) -> SystemTime {
        let (now, off) = (SystemTime::now(), Duration::from_secs(self.ahead.unsigned_abs()));
        if self.ahead < 0 { now - off } else { now + off }
    }

    fn add(&mut self, key: &str, data: Option<Bytes>) -> String {
        let at = self.now();
        self.add_at(key, data, at)
    }

    fn add_at(&mut self, key: &str, data: Option<Bytes>, at: SystemTime) -> String {
        self.ids += 1;
        let id = format!("v{:08}", self.ids);
        self.content.entry(key.to_owned()).or_default().push(Kept { id: id.clone(), at, data });
        id
    }

    /// Stores, if what is there is as the request demands.
    fn put(
        &mut self,
        key: &str,
        data: Bytes,
        if_none: Option<&ETagCondition>,
        if_same: Option<&ETagCondition>,
    ) -> S3Result<String> {
        let current = self.content.get(key).and_then(|versions| versions.last());
        let current = current.filter(|one| one.data.is_some());
        if if_none.is_some_and(ETagCondition::is_any) && current.is_some() {
            return Err(s3_error!(PreconditionFailed, "it exists"));
        }
        if let Some(expected) = if_same.and_then(ETagCondition::as_etag)
            && current.is_none_or(|one| !tag(&one.id).strong_cmp(expected))
        {
            return Err(s3_error!(PreconditionFailed, "it is another one"));
        }
        Ok(self.add(key, Some(data)))
    }
}

fn tag(id: &str) -> ETag {
    ETag::Strong(id.to_owned())
}

/// S3 shows whole seconds.
fn seconds(at: SystemTime) -> Timestamp {
    let since = at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    Timestamp::from(SystemTime::UNIX_EPOCH + Duration::from_secs(since.as_secs()))
}

async fn read_all(body: Option<StreamingBlob>) -> S3Result<Bytes> {
    let Some(mut body) = body else { return Ok(Bytes::new()) };
    let mut data = BytesMut::new();
    while let Some(part) = body.next().await {
        data.extend_from_slice(&part.map_err(|_| s3_error!(IncompleteBody))?);
    }
    Ok(data.freeze())
}

fn blob(data: Bytes) -> StreamingBlob {
    StreamingBlob::wrap(futures::stream::iter([Ok::<_, std::io::Error>(data)]).map_err(|e| e))
}

#[async_trait::async_trait]
impl S3 for Versioned {
    async fn head_bucket(&self, _: S3Request<HeadBucketInput>) -> S3Result<S3Response<HeadBucketOutput>> {
        Ok(S3Response::new(HeadBucketOutput::default()))
    }

    async fn get_bucket_versioning(
        &self,
        _: S3Request<GetBucketVersioningInput>,
    ) -> S3Result<S3Response<GetBucketVersioningOutput>> {
        let enabled = BucketVersioningStatus::from_static(BucketVersioningStatus::ENABLED);
        let status = (!self.state().without_versions).then_some(enabled);
        Ok(S3Response::new(GetBucketVersioningOutput { status, ..Default::default() }))
    }

    async fn put_object(&self, req: S3Request<PutObjectInput>) -> S3Result<S3Response<PutObjectOutput>> {
        let PutObjectInput { body, key, if_match, if_none_match, .. } = req.input;
        let data = read_all(body).await?;
        let id = self.state().put(&key, data, if_none_match.as_ref(), if_match.as_ref())?;
        Ok(S3Response::new(PutObjectOutput {
            e_tag: Some(tag(&id)),
            version_id: Some(id),
            ..Default::default()
        }))
    }

    async fn get_object(&self, req: S3Request<GetObjectInput>) -> S3Result<S3Response<GetObjectOutput>> {
        let input = req.input;
        let (kept, data) = self.found(&input.key, input.version_id.as_deref())?;
        let all = data.len() as u64;
        let (data, content_range) = match input.range {
            None => (data, None),
            Some(range) => {
                let range = range.check(all)?;
                let shown = format!("bytes {}-{}/{all}", range.start, range.end - 1);
                (data.slice(range.start as usize..range.end as usize), Some(shown))
            }
        };
        Ok(S3Response::new(GetObjectOutput {
            content_length: Some(data.len() as i64),
            content_range,
            body: Some(blob(data)),
            last_modified: Some(seconds(kept.at)),
            e_tag: Some(tag(&kept.id)),
            version_id: Some(kept.id),
            ..Default::default()
        }))
    }

    async fn head_object(&self, req: S3Request<HeadObjectInput>) -> S3Result<S3Response<HeadObjectOutput>> {
        let (kept, data) = self.found(&req.input.key, req.input.version_id.as_deref())?;
        Ok(S3Response::new(HeadObjectOutput {
            content_length: Some(data.len() as i64),
            last_modified: Some(seconds(kept.at)),
            e_tag: Some(tag(&kept.id)),
            version_id: Some(kept.id),
            ..Default::default()
        }))
    }

    async fn list_objects_v2(
        &self,
        req: S3Request<ListObjectsV2Input>,
    ) -> S3Result<S3Response<ListObjectsV2Output>> {
        let ListObjectsV2Input { prefix, delimiter, continuation_token, start_after, .. } = req.input;
        let prefix = prefix.unwrap_or_default();
        let after = continuation_token.max(start_after).unwrap_or_default();
        let (mut contents, mut folders) = (Vec::new(), Vec::new());
        let (mut last, mut is_truncated) = (String::new(), false);
        let state = self.state();
        let from = after.clone().max(prefix.clone());
        for (key, versions) in state.content.range(from..) {
            let Some(rest) = key.strip_prefix(&prefix) else { break };
            let Some(Kept { id, at, data: Some(data) }) = versions.last() else { continue };
            let folder = delimiter.as_deref().and_then(|by| rest.split_once(by).map(|(name, _)| (name, by)));
            let name = folder.map_or_else(|| key.clone(), |(name, by)| format!("{prefix}{name}{by}"));
            if name <= after || name == last {
                continue;
            }
            if contents.len() + folders.len() == PAGE {
                is_truncated = true;
                break;
            }
            last.clone_from(&name);
            match folder {
                Some(_) => folders.push(CommonPrefix { prefix: Some(name) }),
                None => contents.push(Object {
                    key: Some(name),
                    size: Some(data.len() as i64),
                    last_modified: Some(seconds(*at)),
                    e_tag: Some(tag(id)),
                    ..Default::default()
                }),
            }
        }
        Ok(S3Response::new(ListObjectsV2Output {
            key_count: Some((contents.len() + folders.len()) as i32),
            contents: Some(contents),
            common_prefixes: Some(folders),
            is_truncated: Some(is_truncated),
            next_continuation_token: is_truncated.then_some(last),
            prefix: Some(prefix),
            ..Default::default()
        }))
    }

    async fn list_object_versions(
        &self,
        req: S3Request<ListObjectVersionsInput>,
    ) -> S3Result<S3Response<ListObjectVersionsOutput>> {
        let ListObjectVersionsInput { prefix, key_marker, version_id_marker, max_keys, .. } = req.input;
        let prefix = prefix.unwrap_or_default();
        let page = max_keys.map_or(PAGE, |max| (max as usize).min(PAGE));
        let (mut versions, mut markers) = (Vec::new(), Vec::new());
        let (mut last, mut is_truncated) = (None, false);
        let state = self.state();
        let from = key_marker.clone().unwrap_or_default().max(prefix.clone());
        'keys: for (key, kept) in state.content.range(from..) {
            if !key.starts_with(&prefix) {
                break;
            }
            // What comes after the marker: later keys, and of its own key the older versions.
            let mut is_after = match &key_marker {
                Some(marker) if key < marker => continue,
                Some(marker) if key == marker && version_id_marker.is_none() => continue,
                Some(marker) => key != marker,
                None => true,
            };
            for (place, one) in kept.iter().enumerate().rev() {
                if !is_after {
                    is_after = version_id_marker.as_ref() == Some(&one.id);
                    continue;
                }
                if versions.len() + markers.len() == page {
                    is_truncated = true;
                    break 'keys;
                }
                last = Some((key.clone(), one.id.clone()));
                let (is_latest, at) = (Some(place + 1 == kept.len()), Some(seconds(one.at)));
                match &one.data {
                    Some(data) => versions.push(ObjectVersion {
                        key: Some(key.clone()),
                        version_id: Some(one.id.clone()),
                        is_latest,
                        last_modified: at,
                        size: Some(data.len() as i64),
                        e_tag: Some(tag(&one.id)),
                        ..Default::default()
                    }),
                    None => markers.push(DeleteMarkerEntry {
                        key: Some(key.clone()),
                        version_id: Some(one.id.clone()),
                        is_latest,
                        last_modified: at,
                        ..Default::default()
                    }),
                }
            }
        }
        let (next_key, next_id) = last.filter(|_| is_truncated).unzip();
        Ok(S3Response::new(ListObjectVersionsOutput {
            versions: Some(versions),
            delete_markers: Some(markers),
            is_truncated: Some(is_truncated),
            next_key_marker: next_key,
            next_version_id_marker: next_id,
            prefix: Some(prefix),
            ..Default::default()
        }))
    }

    async fn delete_object(
        &self,
        req: S3Request<DeleteObjectInput>,
    ) -> S3Result<S3Response<DeleteObjectOutput>> {
        if req.input.version_id.is_some() {
            return Err(s3_error!(AccessDenied, "no right to delete a version"));
        }
        let id = self.state().add(&req.input.key, None);
        Ok(S3Response::new(DeleteObjectOutput {
            delete_marker: Some(true),
            version_id: Some(id),
            ..Default::default()
        }))
    }

    async fn delete_objects(
        &self,
        req: S3Request<DeleteObjectsInput>,
    ) -> S3Result<S3Response<DeleteObjectsOutput>> {
        let (mut deleted, mut errors) = (Vec::new(), Vec::new());
        for one in req.input.delete.objects {
            match one.version_id {
                None => {
                    self.state().add(&one.key, None);
                    deleted.push(DeletedObject { key: Some(one.key), ..Default::default() });
                }
                Some(_) => errors.push(Error {
                    code: Some("AccessDenied".to_owned()),
                    key: Some(one.key),
                    message: Some("no right to delete a version".to_owned()),
                    ..Default::default()
                }),
            }
        }
        Ok(S3Response::new(DeleteObjectsOutput {
            deleted: Some(deleted),
            errors: Some(errors),
            ..Default::default()
        }))
    }

    async fn create_multipart_upload(
        &self,
        req: S3Request<CreateMultipartUploadInput>,
    ) -> S3Result<S3Response<CreateMultipartUploadOutput>> {
        let mut state = self.state();
        state.ids += 1;
        let id = format!("u{}", state.ids);
        state.uploads.insert(id.clone(), BTreeMap::new());
        Ok(S3Response::new(CreateMultipartUploadOutput {
            bucket: Some(req.input.bucket),
            key: Some(req.input.key),
            upload_id: Some(id),
            ..Default::default()
        }))
    }

    async fn upload_part(&self, req: S3Request<UploadPartInput>) -> S3Result<S3Response<UploadPartOutput>> {
        let UploadPartInput { body, upload_id, part_number, .. } = req.input;
        let data = read_all(body).await?;
        let mut state = self.state();
        let upload = state.uploads.get_mut(&upload_id).ok_or(s3_error!(NoSuchUpload))?;
        upload.insert(part_number, data);
        let e_tag = Some(tag(&format!("{upload_id}-{part_number}")));
        Ok(S3Response::new(UploadPartOutput { e_tag, ..Default::default() }))
    }

    async fn complete_multipart_upload(
        &self,
        req: S3Request<CompleteMultipartUploadInput>,
    ) -> S3Result<S3Response<CompleteMultipartUploadOutput>> {
        let CompleteMultipartUploadInput { bucket, key, upload_id, if_match, if_none_match, .. } = req.input;
        let mut state = self.state();
        let parts = state.uploads.remove(&upload_id).ok_or(s3_error!(NoSuchUpload))?;
        let mut data = BytesMut::new();
        parts.values().for_each(|part| data.extend_from_slice(part));
        let id = state.put(&key, data.freeze(), if_none_match.as_ref(), if_match.as_ref())?;
        Ok(S3Response::new(CompleteMultipartUploadOutput {
            bucket: Some(bucket),
            key: Some(key),
            e_tag: Some(tag(&id)),
            version_id: Some(id),
            ..Default::default()
        }))
    }

    async fn abort_multipart_upload(
        &self,
        req: S3Request<AbortMultipartUploadInput>,
    ) -> S3Result<S3Response<AbortMultipartUploadOutput>> {
        self.state().uploads.remove(&req.input.upload_id);
        Ok(S3Response::new(AbortMultipartUploadOutput::default()))
    }

    async fn list_multipart_uploads(
        &self,
        _: S3Request<ListMultipartUploadsInput>,
    ) -> S3Result<S3Response<ListMultipartUploadsOutput>> {
        Ok(S3Response::new(ListMultipartUploadsOutput { is_truncated: Some(false), ..Default::default() }))
    }
}
