//! Large objects with a lock: the lock goes into the first request of an upload (Amazon S3 API:
//! CreateMultipartUpload).

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};

use aws_sdk_s3::Client;
use aws_sdk_s3::types::{CompletedMultipartUpload, CompletedPart};
use bytes::Bytes;
use object_store::{MultipartUpload, PutPayload, PutResult, UploadPart};

use super::error::raw;

/// An upload that was begun.
#[derive(Debug)]
pub(super) struct Multipart {
    client: Client,
    bucket: String,
    path: String,
    upload: String,
    /// Those that have arrived.
    parts: Arc<Mutex<Vec<CompletedPart>>>,
    begun: i32,
}

type Boxed<'a, T> = Pin<Box<dyn Future<Output = object_store::Result<T>> + Send + 'a>>;

impl Multipart {
    pub(super) fn new(client: Client, bucket: String, path: String, upload: String) -> Multipart {
        Multipart { client, bucket, path, upload, parts: Arc::default(), begun: 0 }
    }

    async fn complete_upload(&mut self) -> object_store::Result<PutResult> {
        let mut parts = self.parts.lock().unwrap_or_else(PoisonError::into_inner).clone();
        parts.sort_by_key(|part| part.part_number);
        let parts = CompletedMultipartUpload::builder().set_parts(Some(parts)).build();
        let request = self.client.complete_multipart_upload().bucket(&self.bucket).key(&self.path);
        let request = request.upload_id(&self.upload).multipart_upload(parts);
        let answer = request.send().await.map_err(|e| raw(&self.path, e))?;
        Ok(PutResult { e_tag: answer.e_tag, version: answer.version_id, extensions: Default::default() })
    }

    async fn abort_upload(&mut self) -> object_store::Result<()> {
        let request = self.client.abort_multipart_upload().bucket(&self.bucket).key(&self.path);
        request.upload_id(&self.upload).send().await.map(drop).map_err(|e| raw(&self.path, e))
    }
}

impl MultipartUpload for Multipart {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        self.begun += 1;
        let (number, parts, path) = (self.begun, self.parts.clone(), self.path.clone());
        let request = self.client.upload_part().bucket(&self.bucket).key(&self.path);
        let request = request.upload_id(&self.upload).part_number(number).body(Bytes::from(data).into());
        Box::pin(async move {
            let answer = request.send().await.map_err(|e| raw(&path, e))?;
            let part = CompletedPart::builder().part_number(number).set_e_tag(answer.e_tag);
            // A part that came with a checksum must be completed with it.
            let part = part.set_checksum_crc32(answer.checksum_crc32).build();
            parts.lock().unwrap_or_else(PoisonError::into_inner).push(part);
            Ok(())
        })
    }

    // Written out because the trait's macro is not one of our dependencies.
    fn complete<'a, 'r>(&'a mut self) -> Boxed<'r, PutResult>
    where
        'a: 'r,
        Self: 'r,
    {
        Box::pin(self.complete_upload())
    }

    fn abort<'a, 'r>(&'a mut self) -> Boxed<'r, ()>
    where
        'a: 'r,
        Self: 'r,
    {
        Box::pin(self.abort_upload())
    }
}
