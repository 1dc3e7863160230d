//! How a store is reached, and how much of the network it may use.

use std::path::PathBuf;
use std::time::Duration;

use crate::clock::Timestamp;

/// How a store is reached. The defaults suit AWS with credentials from the environment or from the machine; a
/// local directory uses only the rate limit.
#[derive(Clone, Debug)]
pub struct StoreOptions {
    /// The address of the server, as in `https://minio.acme.example:9000`; for Azure with the account, as in
    /// `https://acme.blob.core.windows.net` or `http://127.0.0.1:10000/acme`.
    pub endpoint: Option<String>,
    /// The bucket's region, for S3; `us-east-1` where neither this nor the environment gives one.
    pub region: Option<String>,
    /// Allows an endpoint without TLS.
    pub allow_http: bool,
    /// Puts the bucket into the host name instead of the path.
    pub virtual_hosted: bool,
    /// For S3 and Azure lines `name = value` (docs/configuration.md), for Google a service account's JSON.
    /// Must be readable only by its owner.
    pub credentials_file: Option<PathBuf>,
    /// The moment as of which it is read, and then only read: for a bucket of S3 that keeps versions.
    pub as_of: Option<Timestamp>,
    /// For S3: a profile of `~/.aws` that has the credentials.
    pub profile: Option<String>,
    /// The longest silence of the server during one request. An upload may also take the time for its bytes
    /// at 64 KiB per second.
    pub request_timeout: Duration,
    /// How long a failed request is tried again.
    pub retry_deadline: Duration,
    /// The most tries.
    pub retries_max: usize,
    /// The average upload rate of this process; bursts of one part are possible.
    pub upload_bytes_per_second_max: Option<u64>,
    /// The size of the parts of large uploads. An object has at most 10,000 parts; a running
    /// upload holds three of them in memory.
    pub part_bytes: usize,
}

impl Default for StoreOptions {
    fn default() -> StoreOptions {
        StoreOptions {
            endpoint: None,
            region: None,
            allow_http: false,
            virtual_hosted: false,
            credentials_file: None,
            as_of: None,
            profile: None,
            request_timeout: Duration::from_secs(30),
            retry_deadline: Duration::from_secs(180),
            retries_max: 10,
            upload_bytes_per_second_max: None,
            part_bytes: 16 << 20,
        }
    }
}

impl From<&crate::config::Config> for StoreOptions {
    fn from(config: &crate::config::Config) -> StoreOptions {
        let repository = &config.repository;
        StoreOptions {
            endpoint: repository.endpoint.clone(),
            region: repository.region.clone(),
            allow_http: repository.allow_http,
            virtual_hosted: repository.virtual_hosted,
            credentials_file: repository.credentials_file.clone(),
            as_of: repository.as_of,
            profile: repository.profile.clone(),
            request_timeout: repository.request_timeout,
            retry_deadline: repository.retry_deadline,
            retries_max: repository.retries_max,
            upload_bytes_per_second_max: config.backup.upload_bytes_per_second_max,
            // Three parts per upload, two uploads per worker, and by default three workers (two of the
            // filestore, one of the dump): at most 144 MiB.
            part_bytes: 8 << 20,
        }
    }
}
