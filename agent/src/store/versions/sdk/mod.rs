//! Amazon's own client, `aws-sdk-s3`: nothing else here knows it.
//!
//! It sends through our HTTP client and takes the credentials of object_store, so that timeouts,
//! certificates, tries and errors are the same for both.

pub(in super::super) mod bucket;
mod credentials;
mod decode;
mod error;
mod http;
mod multipart;
pub(in super::super) mod profile;
