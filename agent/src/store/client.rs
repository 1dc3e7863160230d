//! The HTTP client below every remote store: timeouts that suit long uploads and downloads, and a count of
//! the tries.

use std::pin::Pin;
use std::sync::Once;
use std::time::Duration;

use object_store::ClientOptions;
use object_store::client::{
    HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpResponse, HttpService,
    ReqwestConnector,
};

use super::fault;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// The slowest upload that does not count as a hanging server.
const UPLOAD_BYTES_PER_SECOND_MIN: u64 = 64 * 1024;
/// Request bodies from this size on count as uploads.
const UPLOAD_BYTES: usize = 256 * 1024;

static PROVIDER: Once = Once::new();

/// How long the upload of these bytes may take.
pub(super) fn upload_time(bytes: u64) -> Duration {
    Duration::from_secs(bytes / UPLOAD_BYTES_PER_SECOND_MIN)
}

/// The options for a store's builder. object_store's own request timeout is off: it would end every download
/// that takes longer in total.
pub(super) fn options(allow_http: bool, request_timeout: Duration) -> ClientOptions {
    ClientOptions::new()
        .with_allow_http(allow_http)
        .with_timeout_disabled()
        .with_connect_timeout(CONNECT_TIMEOUT.min(request_timeout))
}

/// Makes [`Client`]s for object_store.
#[derive(Clone, Debug)]
pub(super) struct Connector {
    request_timeout: Duration,
}

impl Connector {
    pub(super) fn new(request_timeout: Duration) -> Connector {
        Connector { request_timeout }
    }
}

impl HttpConnector for Connector {
    fn connect(&self, options: &ClientOptions) -> object_store::Result<HttpClient> {
        // Without a process-wide provider rustls panics; another part may have set it first.
        PROVIDER.call_once(|| {
            let _ = rustls::crypto::ring::default_provider().install_default();
        });
        let connect = |options: &ClientOptions| ReqwestConnector::default().connect(options);
        Ok(HttpClient::new(Client {
            plain: connect(&options.clone().with_read_timeout(self.request_timeout))?,
            // reqwest's read timeout begins with the request, so it would include the upload.
            upload: connect(options)?,
            request_timeout: self.request_timeout,
        }))
    }
}

#[derive(Debug)]
struct Client {
    plain: HttpClient,
    upload: HttpClient,
    request_timeout: Duration,
}

impl Client {
    async fn send(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        fault::note_try();
        let bytes = request.body().content_length();
        let client = if bytes >= UPLOAD_BYTES { &self.upload } else { &self.plain };
        let limit = self.request_timeout + upload_time(bytes as u64);
        let outcome = match tokio::time::timeout(limit, client.execute(request)).await {
            Ok(outcome) => outcome,
            Err(elapsed) => Err(HttpError::new(HttpErrorKind::Timeout, elapsed)),
        };
        match &outcome {
            Ok(response) => {
                fault::note_status(response.status().as_u16());
                if let Some(date) = response.headers().get("date").and_then(|date| date.to_str().ok()) {
                    fault::note_date(date);
                }
            }
            Err(e) if e.kind() == HttpErrorKind::Connect => {}
            Err(_) => fault::note_lost(),
        }
        outcome
    }
}

impl HttpService for Client {
    // Written out because the trait's macro is not one of our dependencies.
    fn call<'a, 'r>(
        &'a self,
        request: HttpRequest,
    ) -> Pin<Box<dyn Future<Output = Result<HttpResponse, HttpError>> + Send + 'r>>
    where
        'a: 'r,
        Self: 'r,
    {
        Box::pin(self.send(request))
    }
}
