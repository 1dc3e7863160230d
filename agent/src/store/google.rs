//! Google Cloud Storage: which credentials are used.
//!
//! With a credentials file, nothing of the environment is used. Without one: the variables of Google's tools
//! (`GOOGLE_APPLICATION_CREDENTIALS` and others), the application default credentials of the user, the
//! service account of the machine or pod.

use object_store::gcp::GoogleCloudStorageBuilder;
use serde::Deserialize;

use super::words::Words;
use super::{StoreOptions, credentials};
use crate::error::{Error, Kind, Result};

/// The fields that distinguish the kinds of files. Fields of the wrong type are refused here: errors of JSON
/// quote the text that they found.
#[derive(Deserialize)]
struct Shape {
    #[serde(rename = "type")]
    kind: Option<String>,
    private_key: Option<String>,
    private_key_id: Option<String>,
    client_email: Option<String>,
}

/// The credentials for the bucket, and its names in errors.
pub(super) fn builder(
    bucket: &str,
    options: &StoreOptions,
    url: &str,
) -> Result<(GoogleCloudStorageBuilder, Words)> {
    let builder = match &options.credentials_file {
        None => GoogleCloudStorageBuilder::from_env(),
        Some(path) => {
            let text = credentials::read_text(path)?;
            let wrong = |why: &str| {
                Error::new(Kind::Config, format!("credentials file {}: {why}", path.display())).next(
                    "use the JSON key of a service account, as gcloud iam service-accounts keys create writes it",
                )
            };
            let shape: Shape = serde_json::from_str(&text)
                .map_err(|e| wrong(&format!("line {} is not JSON of Google's credentials", e.line())))?;
            let builder = GoogleCloudStorageBuilder::new();
            match shape.kind.as_deref() {
                Some("authorized_user") => builder.with_application_credentials(path.display().to_string()),
                None | Some("service_account") => {
                    if shape.private_key.is_none()
                        || shape.private_key_id.is_none()
                        || shape.client_email.is_none()
                    {
                        return Err(wrong("private_key, private_key_id or client_email is missing"));
                    }
                    builder.with_service_account_key(text)
                }
                Some(_) => return Err(wrong("its type cannot be used; use service_account")),
            }
        }
    };
    let builder = builder.with_bucket_name(bucket);
    let words = Words {
        url: url.to_owned(),
        place: format!("the bucket {bucket}"),
        credentials: "repository.credentials_file, or GOOGLE_APPLICATION_CREDENTIALS",
        expire: None,
    };
    Ok(match &options.endpoint {
        Some(endpoint) => (builder.with_base_url(endpoint.trim_end_matches('/')), words),
        None => (builder, words),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk;

    #[test]
    fn files_that_are_no_key_are_refused_and_not_shown() {
        let dir = tempfile::tempdir().unwrap();
        let cases = [
            "hunter2",
            "{\"private_key\": 5, \"client_email\": \"hunter2\"}",
            "{\"type\": \"service_account\", \"private_key\": \"hunter2\"}",
            "{\"type\": \"external_account\", \"audience\": \"hunter2\"}",
            "{\"type\": {\"hunter2\": 1}}",
        ];
        for (n, text) in cases.into_iter().enumerate() {
            let path = dir.path().join(n.to_string());
            disk::write_new_durable(&path, text.as_bytes()).unwrap();
            let options = StoreOptions { credentials_file: Some(path), ..Default::default() };
            let error = builder("b", &options, "gs://b").unwrap_err();
            assert_eq!(error.kind(), Kind::Config);
            assert!(!format!("{error:?}").contains("hunter2"), "{error:?}");
        }
    }
}
