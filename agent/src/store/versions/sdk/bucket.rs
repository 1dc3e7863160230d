//! A bucket through Amazon's client.

use std::time::Duration;

use aws_sdk_s3::Client;
use aws_sdk_s3::config::retry::RetryConfig;
use aws_sdk_s3::config::{
    BehaviorVersion, Config, IdentityCache, Region, SharedCredentialsProvider, StalledStreamProtectionConfig,
};
use aws_sdk_s3::primitives::DateTime;
use aws_sdk_s3::types::{
    BucketVersioningStatus, ChecksumAlgorithm, EncodingType, ObjectLockEnabled, ObjectLockLegalHold,
    ObjectLockLegalHoldStatus, ObjectLockMode, ObjectLockRetention, ObjectLockRetentionMode, StorageClass,
};
use bytes::Bytes;
use futures::FutureExt;
use object_store::aws::AwsCredentialProvider;
use object_store::client::HttpClient;
use object_store::{MultipartUpload, UpdateVersion};

use super::super::super::{ObjectInfo, StoreOptions};
use super::super::{
    Answer, Lock, ObjectLock, ObjectVersion, Page, PageStart, Place, VersionId, VersionedBucket, Versioning,
};
use super::credentials::OfObjectStore;
use super::error::{raw, says};
use super::http::Http;
use super::multipart::Multipart;
use crate::clock::Timestamp;
use crate::config::LockMode;

const BACKOFF: Duration = Duration::from_millis(200);
const BACKOFF_MAX: Duration = Duration::from_secs(10);
const DAYS_A_YEAR: u32 = 365;
/// How a version says that it has no lock, or its bucket that it has none.
const NO_LOCK: [&str; 2] = ["NoSuchObjectLockConfiguration", "InvalidRequest"];

/// A bucket.
#[derive(Debug)]
pub(in super::super::super) struct Bucket {
    client: Client,
    name: String,
}

impl Bucket {
    /// Sends no request yet.
    pub(in super::super::super) fn new(
        place: Place,
        options: &StoreOptions,
        http: HttpClient,
        credentials: AwsCredentialProvider,
    ) -> Bucket {
        let retry = RetryConfig::standard()
            .with_max_attempts(options.retries_max as u32 + 1)
            .with_initial_backoff(BACKOFF)
            .with_max_backoff(BACKOFF_MAX);
        let mut config = Config::builder()
            .behavior_version(BehaviorVersion::v2026_01_12())
            .http_client(Http(http))
            .credentials_provider(SharedCredentialsProvider::new(OfObjectStore(credentials)))
            // object_store keeps and renews them.
            .identity_cache(IdentityCache::no_cache())
            .region(Region::new(place.region))
            .force_path_style(!options.virtual_hosted)
            .retry_config(retry)
            // Our HTTP client has timeouts.
            .stalled_stream_protection(StalledStreamProtectionConfig::disabled());
        config.set_endpoint_url(place.endpoint);
        Bucket { client: Client::from_conf(config.build()), name: place.bucket }
    }

    async fn list(&self, prefix: &str, after: Option<&PageStart>) -> object_store::Result<Page> {
        // Encoded, because XML cannot have every character that a foreign key may have.
        let request = self.client.list_object_versions().bucket(&self.name).prefix(prefix);
        let mut request = request.encoding_type(EncodingType::Url);
        if let Some(start) = after {
            request = request.key_marker(&start.key).set_version_id_marker(start.id.clone());
        }
        let answer = request.send().await.map_err(|e| raw(prefix, e))?;
        let is_encoded = answer.encoding_type() == Some(&EncodingType::Url);
        let plain = |key: &str| match is_encoded {
            true => super::decode::percent(key),
            false => key.to_owned(),
        };
        let info = |key: Option<&str>, modified: Option<&DateTime>| ObjectInfo {
            key: plain(key.unwrap_or_default()),
            bytes: 0,
            modified: modified.map(timestamp).unwrap_or_default(),
            etag: None,
            odd: None,
        };
        let mut versions: Vec<ObjectVersion> = Vec::new();
        for found in answer.versions() {
            let info = info(found.key(), found.last_modified());
            let bytes = found.size().unwrap_or_default().try_into().unwrap_or_default();
            let etag = found.e_tag().map(str::to_owned);
            versions.push(ObjectVersion {
                info: ObjectInfo { bytes, etag, ..info },
                id: VersionId::new(found.version_id().unwrap_or("null")),
                is_latest: found.is_latest().unwrap_or(false),
                is_marker: false,
            });
        }
        for found in answer.delete_markers() {
            versions.push(ObjectVersion {
                info: info(found.key(), found.last_modified()),
                id: VersionId::new(found.version_id().unwrap_or("null")),
                is_latest: found.is_latest().unwrap_or(false),
                is_marker: true,
            });
        }
        // The answer has them in order, but markers and versions apart. Stable: equal times keep their order.
        versions.sort_by(|a, b| {
            let newest = |v: &ObjectVersion| std::cmp::Reverse((v.is_latest, v.info.modified));
            a.info.key.cmp(&b.info.key).then_with(|| newest(a).cmp(&newest(b)))
        });
        let next = match (answer.is_truncated().unwrap_or(false), answer.next_key_marker()) {
            (true, Some(key)) => {
                Some(PageStart { key: plain(key), id: answer.next_version_id_marker().map(str::to_owned) })
            }
            _ => None,
        };
        Ok(Page { versions, next })
    }
}

impl VersionedBucket for Bucket {
    fn page<'a>(&'a self, prefix: &'a str, after: Option<&'a PageStart>) -> Answer<'a, Page> {
        self.list(prefix, after).boxed()
    }

    fn lock<'a>(&'a self, path: &'a str, id: Option<&'a str>) -> Answer<'a, Option<Lock>> {
        async move {
            let request = self.client.get_object_retention().bucket(&self.name).key(path);
            let request = request.set_version_id(id.map(str::to_owned));
            let answer = match request.send().await {
                Ok(answer) => answer,
                Err(e) if says(&e, &NO_LOCK) => return Ok(None),
                Err(e) => return Err(raw(path, e)),
            };
            let found = answer.retention.and_then(|found| found.mode.zip(found.retain_until_date));
            Ok(found.map(|(mode, until)| Lock {
                mode: match mode {
                    ObjectLockRetentionMode::Compliance => LockMode::Compliance,
                    _ => LockMode::Governance,
                },
                until: timestamp(&until),
            }))
        }
        .boxed()
    }

    fn set_lock<'a>(&'a self, path: &'a str, id: &'a str, lock: Lock) -> Answer<'a, ()> {
        async move {
            let mode = match lock.mode {
                LockMode::Governance => ObjectLockRetentionMode::Governance,
                LockMode::Compliance => ObjectLockRetentionMode::Compliance,
            };
            let retention =
                ObjectLockRetention::builder().mode(mode).retain_until_date(date(lock.until)).build();
            let request = self.client.put_object_retention().bucket(&self.name).key(path).version_id(id);
            request.retention(retention).send().await.map(drop).map_err(|e| raw(path, e))
        }
        .boxed()
    }

    fn legal_hold<'a>(&'a self, path: &'a str, id: &'a str) -> Answer<'a, bool> {
        async move {
            let request = self.client.get_object_legal_hold().bucket(&self.name).key(path).version_id(id);
            let answer = match request.send().await {
                Ok(answer) => answer,
                Err(e) if says(&e, &NO_LOCK) => return Ok(false),
                Err(e) => return Err(raw(path, e)),
            };
            let status = answer.legal_hold.and_then(|hold| hold.status);
            Ok(status == Some(ObjectLockLegalHoldStatus::On))
        }
        .boxed()
    }

    fn set_legal_hold<'a>(&'a self, path: &'a str, id: &'a str, on: bool) -> Answer<'a, ()> {
        async move {
            let status = match on {
                true => ObjectLockLegalHoldStatus::On,
                false => ObjectLockLegalHoldStatus::Off,
            };
            let hold = ObjectLockLegalHold::builder().status(status).build();
            let request = self.client.put_object_legal_hold().bucket(&self.name).key(path).version_id(id);
            request.legal_hold(hold).send().await.map(drop).map_err(|e| raw(path, e))
        }
        .boxed()
    }

    fn remove<'a>(&'a self, path: &'a str, id: &'a str) -> Answer<'a, ()> {
        async move {
            let request = self.client.delete_object().bucket(&self.name).key(path).version_id(id);
            request.send().await.map(drop).map_err(|e| raw(path, e))
        }
        .boxed()
    }

    fn put<'a>(
        &'a self,
        path: &'a str,
        data: Bytes,
        lock: Lock,
        class: Option<&'a str>,
    ) -> Answer<'a, UpdateVersion> {
        async move {
            let request = self.client.put_object().bucket(&self.name).key(path).if_none_match("*");
            let request =
                request.object_lock_mode(mode(lock)).object_lock_retain_until_date(date(lock.until));
            let request = request.set_storage_class(class.map(StorageClass::from));
            let answer = request.body(data.into()).send().await.map_err(|e| raw(path, e))?;
            Ok(UpdateVersion { e_tag: answer.e_tag, version: answer.version_id })
        }
        .boxed()
    }

    fn multipart<'a>(
        &'a self,
        path: &'a str,
        lock: Lock,
        class: Option<&'a str>,
    ) -> Answer<'a, Box<dyn MultipartUpload>> {
        async move {
            // That of the parts, which the client adds: S3 refuses parts with another one than was said here.
            let request = self.client.create_multipart_upload().bucket(&self.name).key(path);
            let request = request.checksum_algorithm(ChecksumAlgorithm::Crc32);
            let request =
                request.object_lock_mode(mode(lock)).object_lock_retain_until_date(date(lock.until));
            let request = request.set_storage_class(class.map(StorageClass::from));
            let answer = request.send().await.map_err(|e| raw(path, e))?;
            let upload = answer.upload_id.ok_or_else(|| object_store::Error::Generic {
                store: "S3",
                source: "the answer names no upload".into(),
            })?;
            let multipart = Multipart::new(self.client.clone(), self.name.clone(), path.to_owned(), upload);
            Ok(Box::new(multipart) as Box<dyn MultipartUpload>)
        }
        .boxed()
    }

    fn versioning(&self) -> Answer<'_, Versioning> {
        async {
            let request = self.client.get_bucket_versioning().bucket(&self.name);
            let answer = request.send().await.map_err(|e| raw("", e))?;
            Ok(match answer.status() {
                Some(BucketVersioningStatus::Enabled) => Versioning::Enabled,
                Some(_) => Versioning::Suspended,
                None => Versioning::Off,
            })
        }
        .boxed()
    }

    fn object_lock(&self) -> Answer<'_, ObjectLock> {
        async {
            let request = self.client.get_object_lock_configuration().bucket(&self.name);
            let answer = match request.send().await {
                Ok(answer) => answer,
                Err(e) if says(&e, &["ObjectLockConfigurationNotFoundError"]) => return Ok(ObjectLock::Off),
                Err(e) => return Err(raw("", e)),
            };
            let found = answer.object_lock_configuration().ok_or_else(|| open("ObjectLockConfiguration"))?;
            if found.object_lock_enabled() != Some(&ObjectLockEnabled::Enabled) {
                return Ok(ObjectLock::Off);
            }
            let default = found.rule().and_then(|rule| rule.default_retention());
            let default_mode = default.and_then(|d| d.mode()).map(|mode| match mode {
                ObjectLockRetentionMode::Compliance => LockMode::Compliance,
                _ => LockMode::Governance,
            });
            let span = |number: Option<i32>| number.and_then(|n| u32::try_from(n).ok()).unwrap_or_default();
            let default_days = default
                .map_or(0, |d| span(d.days()).saturating_add(span(d.years()).saturating_mul(DAYS_A_YEAR)));
            Ok(ObjectLock::On { default_mode, default_days })
        }
        .boxed()
    }

    fn encryption(&self) -> Answer<'_, Option<String>> {
        async {
            let request = self.client.get_bucket_encryption().bucket(&self.name);
            let answer = match request.send().await {
                Ok(answer) => answer,
                Err(e) if says(&e, &["ServerSideEncryptionConfigurationNotFoundError"]) => return Ok(None),
                Err(e) => return Err(raw("", e)),
            };
            let found = answer.server_side_encryption_configuration();
            let found = found.ok_or_else(|| open("ServerSideEncryptionConfiguration"))?;
            let default =
                found.rules().iter().find_map(|rule| rule.apply_server_side_encryption_by_default());
            Ok(default.map(|default| default.sse_algorithm().as_str().to_owned()))
        }
        .boxed()
    }

    fn access_log(&self) -> Answer<'_, Option<String>> {
        async {
            let request = self.client.get_bucket_logging().bucket(&self.name);
            let answer = request.send().await.map_err(|e| raw("", e))?;
            Ok(answer.logging_enabled().map(|log| log.target_bucket().to_owned()))
        }
        .boxed()
    }

    fn blocks_public_access(&self) -> Answer<'_, bool> {
        async {
            let request = self.client.get_public_access_block().bucket(&self.name);
            let answer = match request.send().await {
                Ok(answer) => answer,
                Err(e) if says(&e, &["NoSuchPublicAccessBlockConfiguration"]) => return Ok(false),
                Err(e) => return Err(raw("", e)),
            };
            let found = answer.public_access_block_configuration();
            let block = found.ok_or_else(|| open("PublicAccessBlockConfiguration"))?;
            let all = [
                block.block_public_acls(),
                block.ignore_public_acls(),
                block.block_public_policy(),
                block.restrict_public_buckets(),
            ];
            Ok(all.iter().all(|each| *each == Some(true)))
        }
        .boxed()
    }

    fn is_public(&self) -> Answer<'_, bool> {
        async {
            let request = self.client.get_bucket_policy_status().bucket(&self.name);
            let answer = match request.send().await {
                Ok(answer) => answer,
                Err(e) if says(&e, &["NoSuchBucketPolicy"]) => return Ok(false),
                Err(e) => return Err(raw("", e)),
            };
            let is_public = answer.policy_status().and_then(|status| status.is_public());
            is_public.ok_or_else(|| open("PolicyStatus"))
        }
        .boxed()
    }
}

fn mode(lock: Lock) -> ObjectLockMode {
    match lock.mode {
        LockMode::Governance => ObjectLockMode::Governance,
        LockMode::Compliance => ObjectLockMode::Compliance,
    }
}

/// Whole seconds, rounded up: a lock never ends earlier than it was asked for.
fn date(time: Timestamp) -> DateTime {
    let seconds = time.as_second() + i64::from(time.subsec_nanosecond() > 0);
    DateTime::from_secs(seconds)
}

fn timestamp(time: &DateTime) -> Timestamp {
    Timestamp::new(time.secs(), time.subsec_nanos() as i32).unwrap_or_default()
}

/// A server that does not know a question may answer another one: what it leaves open is not known.
fn open(what: &str) -> object_store::Error {
    object_store::Error::Generic { store: "S3", source: format!("the answer has no {what}").into() }
}
