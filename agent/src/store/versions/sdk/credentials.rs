//! One source of credentials for both clients.

use std::fmt;

use aws_credential_types::provider::error::CredentialsError;
use aws_credential_types::provider::future;
use aws_sdk_s3::config::{Credentials, ProvideCredentials};
use object_store::aws::AwsCredentialProvider;

/// The credentials of object_store, which renews them.
pub(super) struct OfObjectStore(pub(super) AwsCredentialProvider);

impl fmt::Debug for OfObjectStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OfObjectStore")
    }
}

impl ProvideCredentials for OfObjectStore {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        future::ProvideCredentials::new(async {
            let found = self.0.get_credential().await.map_err(CredentialsError::provider_error)?;
            Ok(Credentials::new(&found.key_id, &found.secret_key, found.token.clone(), None, "lifeboat"))
        })
    }
}
