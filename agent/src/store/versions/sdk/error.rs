//! Amazon's errors as object_store's, which `fault` turns into ours.

use aws_sdk_s3::config::http::HttpResponse;
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use object_store::Error as Raw;

/// Causes that are told.
const CAUSES_MAX: usize = 8;

/// How the kind of an error is decided is the same as for all other requests: by its variant, the HTTP status
/// and the text.
pub(super) fn raw<E>(path: &str, error: SdkError<E, HttpResponse>) -> Raw
where
    E: std::error::Error + ProvideErrorMetadata + Send + Sync + 'static,
{
    let status = error.raw_response().map(|answer| answer.status().as_u16());
    let source = text(&error, status).into();
    let path = path.to_owned();
    match status {
        Some(404) => Raw::NotFound { path, source },
        Some(409 | 412) => Raw::AlreadyExists { path, source },
        Some(403) => Raw::PermissionDenied { path, source },
        _ => Raw::Generic { store: "S3", source },
    }
}

/// The store's code and words; without them the causes.
fn text<E>(error: &SdkError<E, HttpResponse>, status: Option<u16>) -> String
where
    E: std::error::Error + ProvideErrorMetadata + Send + Sync + 'static,
{
    match (status, error.code()) {
        (Some(status), Some(code)) => {
            format!("HTTP {status}: {code}: {}", error.message().unwrap_or("no words"))
        }
        _ => causes(error),
    }
}

/// The error and its causes, in one line. Not Amazon's own text of them, which has the whole answer in it.
pub(super) fn causes(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut at = error.source();
    for _ in 0..CAUSES_MAX {
        let Some(cause) = at else { break };
        text = format!("{text}: {cause}");
        at = cause.source();
    }
    text
}

/// Whether the store's answer is this code: "there is no such setting" is an answer, too.
pub(super) fn says<E>(error: &SdkError<E, HttpResponse>, codes: &[&str]) -> bool
where
    E: ProvideErrorMetadata,
{
    error.code().is_some_and(|code| codes.contains(&code))
}
