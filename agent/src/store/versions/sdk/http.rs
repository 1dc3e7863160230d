//! Our HTTP client, as Amazon's client wants one.

use aws_sdk_s3::config::http::{HttpRequest, HttpResponse};
use aws_sdk_s3::config::{HttpClient, RuntimeComponents};
use aws_sdk_s3::primitives::{ByteStream, SdkBody};
use aws_smithy_runtime_api::client::http::{
    HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::http::StatusCode;
use bytes::BytesMut;
use futures::TryStreamExt;
use object_store::client::{self, HttpErrorKind, HttpRequestBody};
use reqwest::header::{HeaderName, HeaderValue};

/// Answers are pages of listings and facts; content is read by object_store.
const ANSWER_BYTES_MAX: usize = 8 << 20;

/// The HTTP client of all stores. It has timeouts of its own, so those of Amazon's client are ignored.
#[derive(Clone, Debug)]
pub(super) struct Http(pub(super) client::HttpClient);

impl HttpClient for Http {
    fn http_connector(&self, _: &HttpConnectorSettings, _: &RuntimeComponents) -> SharedHttpConnector {
        SharedHttpConnector::new(self.clone())
    }
}

impl HttpConnector for Http {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let http = self.0.clone();
        HttpConnectorFuture::new(async move { send(http, request).await })
    }
}

async fn send(http: client::HttpClient, mut request: HttpRequest) -> Result<HttpResponse, ConnectorError> {
    let user = |why: &str| ConnectorError::user(why.to_owned().into());
    // All bodies are in memory; nothing is copied.
    let body = ByteStream::new(request.take_body()).collect().await.map_err(|e| user(&e.to_string()))?;
    let mut ours = client::HttpRequest::new(HttpRequestBody::from(body.into_bytes()));
    *ours.method_mut() = request.method().parse().map_err(|_| user("the method is unknown"))?;
    *ours.uri_mut() = request.uri().parse().map_err(|_| user("the URL is no URI"))?;
    for (name, value) in request.headers() {
        let name = HeaderName::try_from(name).map_err(|_| user("a header has a wrong name"))?;
        let value = HeaderValue::try_from(value).map_err(|_| user("a header has a wrong value"))?;
        ours.headers_mut().append(name, value);
    }
    let answer = http.execute(ours).await.map_err(|e| match e.kind() {
        HttpErrorKind::Timeout => ConnectorError::timeout(e.into()),
        _ => ConnectorError::io(e.into()),
    })?;
    let (head, body) = answer.into_parts();
    let lost = |why: Box<dyn std::error::Error + Send + Sync>| ConnectorError::io(why);
    let mut content = BytesMut::new();
    let mut pieces = body.bytes_stream();
    while let Some(piece) = pieces.try_next().await.map_err(|e| lost(e.into()))? {
        content.extend_from_slice(&piece);
        if content.len() > ANSWER_BYTES_MAX {
            return Err(user(&format!("the answer is larger than {ANSWER_BYTES_MAX} bytes")));
        }
    }
    let status = StatusCode::try_from(head.status.as_u16()).map_err(|e| lost(e.into()))?;
    let mut response = HttpResponse::new(status, SdkBody::from(content.freeze()));
    for (name, value) in &head.headers {
        // Nothing here reads a header that is not text.
        if let Ok(value) = value.to_str() {
            response.headers_mut().append(name.as_str().to_owned(), value.to_owned());
        }
    }
    Ok(response)
}
