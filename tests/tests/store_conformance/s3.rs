//! A real S3 server (s3s-fs: signatures and checksums are verified) behind a thin front that
//! can misbehave on purpose, and that lists unfinished uploads, which s3s-fs does not.

use std::convert::Infallible;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use lifeboat::store::{Store, StoreOptions};
use s3s::Body;
use s3s::auth::SimpleAuth;
use s3s::service::{S3Service, S3ServiceBuilder};
use tempfile::TempDir;

use crate::suite::PART_BYTES;

/// What the front does to the next requests of one method.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Fault {
    /// Answers 503 without asking the server.
    Unavailable,
    /// Lets the server do it, then closes the connection.
    LoseAnswer,
    /// Lets the server do it, then stays silent for so long.
    Late(Duration),
}

pub struct Server {
    dir: TempDir,
    endpoint: String,
    front: Arc<Front>,
    task: tokio::task::JoinHandle<()>,
}

struct Front {
    s3: S3Service,
    root: PathBuf,
    uploads: Mutex<Vec<(String, String)>>,
    faults: Mutex<Vec<(Method, Fault)>>,
    ignore_conditions: AtomicBool,
    requests: AtomicUsize,
}

impl Server {
    pub async fn start() -> Server {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(dir.path().join("data/bucket")).unwrap();
        let mut builder = S3ServiceBuilder::new(s3s_fs::FileSystem::new(dir.path().join("data")).unwrap());
        builder.set_auth(SimpleAuth::from_single("id", "secret"));
        let front = Arc::new(Front {
            s3: builder.build(),
            root: dir.path().join("data"),
            uploads: Mutex::default(),
            faults: Mutex::default(),
            ignore_conditions: AtomicBool::new(false),
            requests: AtomicUsize::new(0),
        });
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let serving = front.clone();
        let task = tokio::spawn(async move {
            let mut connections = tokio::task::JoinSet::new();
            while let Ok((socket, _)) = listener.accept().await {
                let front = serving.clone();
                connections.spawn(async move {
                    let service = service_fn(move |request| front.clone().answer(request));
                    let builder = Builder::new(TokioExecutor::new());
                    let _ = builder.serve_connection(TokioIo::new(socket), service).await;
                });
            }
        });
        Server { dir, endpoint, front, task }
    }

    pub fn open(&self, url: &str) -> Store {
        self.open_with(url, "secret", |_| ())
    }

    pub fn open_with(&self, url: &str, secret: &str, change: impl FnOnce(&mut StoreOptions)) -> Store {
        let credentials = self.dir.path().join(format!("credentials-{secret}"));
        let text = format!("access_key_id = id\nsecret_access_key = {secret}\n");
        std::fs::write(&credentials, text).unwrap();
        std::fs::set_permissions(&credentials, std::fs::Permissions::from_mode(0o600)).unwrap();
        let mut options = StoreOptions {
            endpoint: Some(self.endpoint.clone()),
            region: Some("us-east-1".to_owned()),
            allow_http: true,
            credentials_file: Some(credentials),
            part_bytes: PART_BYTES,
            ..Default::default()
        };
        change(&mut options);
        Store::open(url, &options).unwrap()
    }

    pub fn fault(&self, method: Method, fault: Fault) {
        self.front.faults.lock().unwrap().push((method, fault));
    }

    pub fn ignore_conditions(&self) {
        self.front.ignore_conditions.store(true, SeqCst);
    }

    pub fn requests(&self) -> usize {
        self.front.requests.load(SeqCst)
    }

    /// How many uploads are not finished.
    pub fn uploads(&self) -> usize {
        self.front.uploads.lock().unwrap().len()
    }

    pub fn wipe(&self) {
        let bucket = self.dir.path().join("data/bucket");
        std::fs::remove_dir_all(&bucket).unwrap();
        std::fs::create_dir(&bucket).unwrap();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Front {
    async fn answer(self: Arc<Self>, request: Request<Incoming>) -> Result<Response<Body>, std::io::Error> {
        self.requests.fetch_add(1, SeqCst);
        if self.ignore_conditions.load(SeqCst) && request.headers().contains_key("if-none-match") {
            // The header is signed and must stay; without the object it has no effect.
            let _ = std::fs::remove_file(self.root.join(request.uri().path().trim_start_matches('/')));
        }
        let (method, path) = (request.method().clone(), request.uri().path().to_owned());
        let query = request.uri().query().unwrap_or("").to_owned();
        let fault = {
            let mut faults = self.faults.lock().unwrap();
            let at = faults.iter().position(|(m, _)| *m == method);
            at.map(|i| faults.remove(i).1)
        };
        if fault == Some(Fault::Unavailable) {
            let mut answer = Response::new(Body::from("<Error><Code>SlowDown</Code></Error>".to_owned()));
            *answer.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
            return Ok(answer);
        }
        if method == Method::GET && parameter(&query, "uploads").is_some() {
            return Ok(self.list_uploads(&query, request).await);
        }
        let answer = self.s3.call(request.map(Body::from)).await.map_err(std::io::Error::other)?;
        let answer = self.follow(&method, &path, &query, answer).await.unwrap();
        match fault {
            Some(Fault::LoseAnswer) => Err(std::io::Error::other("lost on purpose")),
            Some(Fault::Late(by)) => {
                tokio::time::sleep(by).await;
                Ok(answer)
            }
            _ => Ok(answer),
        }
    }

    /// Keeps the list of unfinished uploads.
    async fn follow(
        &self,
        method: &Method,
        path: &str,
        query: &str,
        answer: Response<Body>,
    ) -> Result<Response<Body>, Infallible> {
        let key = path.strip_prefix("/bucket/").unwrap_or("").to_owned();
        if *method == Method::POST && parameter(query, "uploads").is_some() && answer.status().is_success() {
            let (head, body) = answer.into_parts();
            let text = String::from_utf8(body.collect().await.unwrap().to_bytes().to_vec()).unwrap();
            let id = text.split("<UploadId>").nth(1).and_then(|t| t.split('<').next()).unwrap().to_owned();
            self.uploads.lock().unwrap().push((key, id));
            return Ok(Response::from_parts(head, Body::from(text)));
        }
        if let Some(id) = parameter(query, "uploadId")
            && matches!(*method, Method::POST | Method::DELETE)
            && answer.status().is_success()
        {
            self.uploads.lock().unwrap().retain(|(_, known)| *known != id);
        }
        Ok(answer)
    }

    /// ListMultipartUploads, one upload a page and deaf to the prefix, so that paging and the
    /// client's own check are needed. The signature is checked by asking the server for a list.
    async fn list_uploads(&self, query: &str, request: Request<Incoming>) -> Response<Body> {
        let answer = self.s3.call(request.map(Body::from)).await.unwrap();
        if answer.status() == StatusCode::FORBIDDEN {
            return answer;
        }
        assert_eq!(answer.status(), StatusCode::NOT_IMPLEMENTED, "s3s-fs can list uploads by now: use that");
        let after = parameter(query, "upload-id-marker").unwrap_or_default();
        let mut all = self.uploads.lock().unwrap().clone();
        all.sort_by(|a, b| a.1.cmp(&b.1));
        let mut rest = all.into_iter().filter(|(_, id)| *id > after);
        let page = rest.next();
        let more = rest.next().is_some();
        let (key, id) = page.clone().unwrap_or_default();
        let upload = page.map_or(String::new(), |(key, id)| {
            format!("<Upload><Key>{key}</Key><UploadId>{id}</UploadId></Upload>")
        });
        Response::new(Body::from(format!(
            "<?xml version=\"1.0\"?><ListMultipartUploadsResult><Bucket>bucket</Bucket>\
             <IsTruncated>{more}</IsTruncated><NextKeyMarker>{key}</NextKeyMarker>\
             <NextUploadIdMarker>{id}</NextUploadIdMarker>{upload}</ListMultipartUploadsResult>"
        )))
    }
}

fn parameter(query: &str, name: &str) -> Option<String> {
    query.split('&').find_map(|pair| {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        (key == name).then(|| value.to_owned())
    })
}
