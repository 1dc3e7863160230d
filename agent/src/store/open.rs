//! Opens a store by its URL.

use std::path::Path;
use std::sync::Arc;

use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey, AwsCredential, S3ConditionalPut};
use object_store::client::HttpConnector;
use object_store::memory::InMemory;
use object_store::{BackoffConfig, ObjectStore, RetryConfig, StaticCredentialProvider};

use super::address::{Address, Service, check_endpoint};
use super::client::{self, Connector};
use super::credentials::Credentials;
use super::local::Local;
use super::past::Past;
use super::remote::{Limits, Remote, S3};
use super::versions::{self, Place};
use super::words::Words;
use super::{Backend, Inner, Store, StoreOptions, azure, certificates, google};
use crate::disk;
use crate::error::{Error, Kind, Result};
use crate::rate_limit::RateLimit;

/// Amazon's minimum for every part except the last.
const AMAZON_PART_BYTES_MIN: usize = 5 << 20;

/// The names in a credentials file for S3.
const S3_NAMES: &[&str] = &["access_key_id", "secret_access_key", "session_token"];

type Objects = Arc<dyn ObjectStore>;

impl Store {
    /// Opens `s3://bucket/prefix`, `az://container/prefix`, `gs://bucket/prefix`, `file:///dir` or a plain
    /// path. Sends no request to a bucket yet.
    ///
    /// # Errors
    /// [`Kind::Config`] for a wrong URL or wrong options, [`Kind::Repository`] where a directory does not
    /// exist.
    pub fn open(url: &str, options: &StoreOptions) -> Result<Store> {
        let address = Address::parse(url)?;
        let shown = address.url();
        let place = match address {
            Address::Local(dir) => {
                check_root(&dir)?;
                Backend::Local(Local::new(dir))
            }
            Address::Bucket { service, bucket, prefix } => {
                Backend::Remote(open_bucket(service, &bucket, prefix, &shown, options)?)
            }
        };
        let store = Store::of(shown.clone(), place, options);
        Ok(match options.as_of {
            Some(at) => Store::of(shown, Backend::Past(Past::new(store, at)?), options),
            None => store,
        })
    }

    /// A store in this process's memory, for tests.
    pub fn memory() -> Store {
        Store::memory_with(&StoreOptions::default())
    }

    /// [`Store::memory`] with other part sizes or limits.
    pub fn memory_with(options: &StoreOptions) -> Store {
        let url = "memory:".to_owned();
        let objects: Objects = Arc::new(InMemory::new());
        let words = Words {
            url: url.clone(),
            place: "the store in memory".to_owned(),
            credentials: "nothing: it needs none",
            expire: None,
        };
        let remote = Remote::new(objects, String::new(), words, Limits::of(options), None, None);
        Store::of(url, Backend::Remote(remote), options)
    }

    /// Creates the directory of a local repository with mode 0700, durably; no error where it exists, and
    /// nothing to do for a bucket.
    pub fn create_local_root(url: &str) -> Result<()> {
        let Address::Local(dir) = Address::parse(url)? else { return Ok(()) };
        let mut fresh: Vec<&Path> =
            dir.ancestors().take_while(|d| matches!(disk::metadata(d), Ok(None))).collect();
        fresh.reverse();
        disk::create_private_dir(&dir)?;
        fresh.into_iter().try_for_each(disk::sync_parent)
    }

    fn of(url: String, place: Backend, options: &StoreOptions) -> Store {
        let upload_limit = RateLimit::new(options.upload_bytes_per_second_max);
        Store { inner: Arc::new(Inner { url, place, upload_limit }), given: Default::default() }
    }
}

fn check_root(dir: &Path) -> Result<()> {
    let missing = |why: &str| {
        Error::new(Kind::Repository, format!("repository {} {why}", dir.display()))
            .next("mount the file system that belongs there, correct the path, or create a repository with lifeboat init")
    };
    match std::fs::metadata(dir) {
        Ok(found) if found.is_dir() => Ok(()),
        Ok(_) => Err(missing("is not a directory")),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Err(missing("does not exist")),
        Err(e) => Err(Error::file("open repository", dir, e)),
    }
}

fn open_bucket(
    service: Service,
    bucket: &str,
    prefix: String,
    url: &str,
    options: &StoreOptions,
) -> Result<Remote> {
    check(service, url, options)?;
    let connector = Connector::new(options.request_timeout);
    let client = client::options(options.allow_http, options.request_timeout);
    let wrong = |e: object_store::Error| {
        let next = certificates::next(&e)
            .unwrap_or("check endpoint, region and credentials in the configuration and the environment");
        Error::new(Kind::Config, format!("cannot open {url}")).because(e).next(next)
    };
    let limits = Limits::of(options);
    let (objects, words): (Objects, Words) = match service {
        Service::S3 => {
            let builder = s3(bucket, options, wrong)?;
            let place = place(bucket, &builder, options);
            let store = builder
                .with_http_connector(connector.clone())
                .with_client_options(client.clone())
                .build()
                .map_err(wrong)?;
            let http = connector.connect(&client).map_err(wrong)?;
            let words = Words {
                url: url.to_owned(),
                place: format!("the bucket {bucket}"),
                credentials: "repository.credentials_file, repository.profile, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
                expire: None,
            };
            let s3 = S3 { signer: store.clone(), http };
            let versions = versions::open(place, options, &s3.http, s3.signer.credentials());
            return Ok(Remote::new(Arc::new(store), prefix, words, limits, Some(s3), versions));
        }
        Service::Azure => {
            let (builder, words) = azure::builder(bucket, options, url)?;
            let builder = builder.with_retry(retry(options)).with_http_connector(connector);
            (Arc::new(builder.with_client_options(client).build().map_err(wrong)?), words)
        }
        Service::Google => {
            let (builder, words) = google::builder(bucket, options, url)?;
            let builder = builder.with_retry(retry(options)).with_http_connector(connector);
            (Arc::new(builder.with_client_options(client).build().map_err(wrong)?), words)
        }
    };
    Ok(Remote::new(objects, prefix, words, limits, None, None))
}

/// Where Amazon's client finds the bucket: as object_store does.
fn place(bucket: &str, builder: &AmazonS3Builder, options: &StoreOptions) -> Place {
    let endpoint = builder.get_config_value(&AmazonS3ConfigKey::Endpoint);
    Place {
        bucket: bucket.to_owned(),
        endpoint: endpoint.map(|endpoint| match options.virtual_hosted {
            // Only object_store expects it there.
            true => endpoint.replacen(&format!("://{bucket}."), "://", 1),
            false => endpoint,
        }),
        region: builder
            .get_config_value(&AmazonS3ConfigKey::Region)
            .unwrap_or_else(|| "us-east-1".to_owned()),
    }
}

fn s3(
    bucket: &str,
    options: &StoreOptions,
    wrong: impl Fn(object_store::Error) -> Error,
) -> Result<AmazonS3Builder> {
    let mut builder = AmazonS3Builder::from_env()
        .with_bucket_name(bucket)
        .with_retry(retry(options))
        .with_virtual_hosted_style_request(options.virtual_hosted)
        .with_conditional_put(S3ConditionalPut::ETagMatch);
    if let Some(endpoint) = &options.endpoint {
        let endpoint = endpoint.trim_end_matches('/');
        builder = builder.with_endpoint(match endpoint.split_once("://") {
            // object_store then expects the bucket in the endpoint.
            Some((scheme, host)) if options.virtual_hosted => format!("{scheme}://{bucket}.{host}"),
            _ => endpoint.to_owned(),
        });
    }
    if let Some(region) = &options.region {
        builder = builder.with_region(region);
    }
    if let Some(path) = &options.credentials_file {
        let file = Credentials::read(path, S3_NAMES)?;
        let (id, secret) = (file.get("access_key_id"), file.get("secret_access_key"));
        let (key_id, secret_key) =
            id.zip(secret).ok_or_else(|| file.wrong("access_key_id or secret_access_key is missing"))?;
        // A provider rather than single keys: a session token in the environment belongs to other keys.
        builder = builder.with_credentials(Arc::new(StaticCredentialProvider::new(AwsCredential {
            key_id,
            secret_key,
            token: file.get("session_token"),
        })));
    }
    if let Some(name) = &options.profile {
        let region = builder.get_config_value(&AmazonS3ConfigKey::Region);
        // The services of a machine that give credentials have no TLS.
        let http = Connector::new(options.request_timeout)
            .connect(&client::options(true, options.request_timeout))
            .map_err(wrong)?;
        builder = builder.with_credentials(versions::profile(name, region.as_deref(), http)?);
    }
    Ok(builder)
}

fn check(service: Service, url: &str, options: &StoreOptions) -> Result<()> {
    let wrong = |why: String| Err(Error::new(Kind::Config, format!("cannot open {url}: {why}")));
    match &options.endpoint {
        Some(endpoint) => check_endpoint(url, endpoint, options.allow_http)?,
        None if service == Service::S3 && options.part_bytes < AMAZON_PART_BYTES_MIN => {
            return wrong(format!("part_bytes is {}; S3 needs parts of at least 5 MiB", options.part_bytes));
        }
        None => {}
    }
    match &options.profile {
        Some(name) if service != Service::S3 => {
            return wrong(format!("the profile {name} is for S3 only"));
        }
        Some(name) if options.credentials_file.is_some() => {
            return wrong(format!(
                "both the profile {name} and a credentials file are set; remove one of them"
            ));
        }
        _ => {}
    }
    match options.part_bytes {
        0 => wrong("part_bytes is 0".to_owned()),
        _ => Ok(()),
    }
}

fn retry(options: &StoreOptions) -> RetryConfig {
    RetryConfig {
        backoff: BackoffConfig::default(),
        max_retries: options.retries_max,
        retry_timeout: options.retry_deadline,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_directory_is_no_repository_and_init_makes_it_private() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a/b");
        let url = format!("file://{}", path.display());
        let error = Store::open(&url, &StoreOptions::default()).unwrap_err();
        assert_eq!(error.kind(), Kind::Repository);
        assert!(error.next_text().unwrap().contains("lifeboat init"));
        Store::create_local_root(&url).unwrap();
        Store::create_local_root(&url).unwrap();
        let store = Store::open(&url, &StoreOptions::default()).unwrap();
        assert_eq!(store.local_root(), Some(path.as_path()));
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o700);
    }

    #[test]
    fn options_that_cannot_work_are_refused() {
        let open = |options: &StoreOptions| Store::open("s3://b/p", options).unwrap_err();
        let plain = StoreOptions { endpoint: Some("http://x:9000".into()), ..Default::default() };
        assert!(open(&plain).next_text().unwrap().contains("allow_http"));
        let bare = StoreOptions { endpoint: Some("x:9000".into()), ..Default::default() };
        assert_eq!(open(&bare).kind(), Kind::Config);
        let small = StoreOptions { part_bytes: 1 << 20, ..Default::default() };
        assert_eq!(open(&small).kind(), Kind::Config);
    }
}
