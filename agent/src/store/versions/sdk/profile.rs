//! Credentials of a profile in `~/.aws` (keys, roles, SSO), for object_store and so for everything.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use aws_config::profile::ProfileFileCredentialsProvider;
use aws_config::provider_config::ProviderConfig;
use aws_credential_types::provider::ProvideCredentials;
use aws_sdk_s3::config::{BehaviorVersion, Region};
use object_store::CredentialProvider;
use object_store::aws::AwsCredential;
use object_store::client::HttpClient;
use tokio::sync::Mutex;

use super::error;
use super::http::Http;
use crate::clock;

/// Credentials that end are renewed so long before.
const RENEW_BEFORE: Duration = Duration::from_secs(5 * 60);

/// The credentials of one profile. They are asked for at the first request, and again before they end.
pub(in super::super::super) struct Profile {
    name: String,
    provider: ProfileFileCredentialsProvider,
    known: Mutex<Option<(Arc<AwsCredential>, Option<SystemTime>)>>,
}

impl Profile {
    /// Reads nothing yet. `http` is for the services that give credentials.
    pub(in super::super::super) fn new(name: &str, region: Option<&str>, http: HttpClient) -> Profile {
        let config = ProviderConfig::empty()
            .with_http_client(Http(http))
            .with_behavior_version(Some(BehaviorVersion::v2026_01_12()))
            .with_region(region.map(|region| Region::new(region.to_owned())));
        let provider =
            ProfileFileCredentialsProvider::builder().configure(&config).profile_name(name).build();
        Profile { name: name.to_owned(), provider, known: Mutex::new(None) }
    }

    async fn credential(&self) -> object_store::Result<Arc<AwsCredential>> {
        // Held while the service is asked: one question serves everybody who waits.
        let mut known = self.known.lock().await;
        if let Some((credential, end)) = known.as_ref()
            && end.is_none_or(|end| SystemTime::from(clock::now()) + RENEW_BEFORE < end)
        {
            return Ok(credential.clone());
        }
        let found = self.provider.provide_credentials().await.map_err(|e| {
            let why = error::causes(&e);
            object_store::Error::Unauthenticated {
                path: String::new(),
                source: format!("the profile {} gives no credentials: {why}", self.name).into(),
            }
        })?;
        let credential = Arc::new(AwsCredential {
            key_id: found.access_key_id().to_owned(),
            secret_key: found.secret_access_key().to_owned(),
            token: found.session_token().map(str::to_owned),
        });
        *known = Some((credential.clone(), found.expiry()));
        Ok(credential)
    }
}

impl fmt::Debug for Profile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Profile({})", self.name)
    }
}

impl CredentialProvider for Profile {
    type Credential = AwsCredential;

    // Written out because the trait's macro is not one of our dependencies.
    fn get_credential<'a, 'r>(
        &'a self,
    ) -> Pin<Box<dyn Future<Output = object_store::Result<Arc<AwsCredential>>> + Send + 'r>>
    where
        'a: 'r,
        Self: 'r,
    {
        Box::pin(self.credential())
    }
}
