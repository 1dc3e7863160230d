//! A real S3 server (s3s-fs: signatures and checksums are checked) in a thread of this process,
//! with a place for faults in front of it.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::header::{
    AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, DATE, ETAG, HeaderMap, HeaderValue, IF_NONE_MATCH, RANGE,
};
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use lifeboat::clock::Timestamp;
use s3s::auth::SimpleAuth;
use s3s::config::{S3Config, StaticConfigProvider};
use s3s::service::{S3Service, S3ServiceBuilder};
use s3s::{Body, StdError};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::sync::oneshot;

use crate::bodies::{self, Shape};
use crate::faults::{Action, Fault, Faults, Keys, Planned, Served};
use crate::versioned::Versioned;

/// The bucket that is there from the start.
pub const BUCKET: &str = "lifeboat";
const ACCESS_KEY: &str = "LIFEBOATTESTKEY";
const SECRET_KEY: &str = "lifeboat/test+secret";
const REGION: &str = "us-east-1";
/// Nothing hangs for ever, not even a hang.
const HANG_MAX: Duration = Duration::from_secs(3600);

/// A running S3 server with one bucket. Stops and removes its objects when dropped.
///
/// Limits of the server (s3s-fs 0.14): no versions and no locks; listings without entity tags (the front
/// writes them in, see `Front::tagged`); no list of multipart uploads (the front keeps one); keys
/// of more than 127 bytes fail in a multipart upload, as it keeps side files named after them (see
/// `Front::landed`); an upload whose checksum is wrong is refused but stays stored.
pub struct S3 {
    dir: Arc<TempDir>,
    server: Server,
    address: SocketAddr,
    faults: Faults,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl S3 {
    /// A server on a free port of 127.0.0.1.
    pub fn start() -> S3 {
        S3::start_at("127.0.0.1")
    }

    /// A server that takes requests of any date: for programs under another clock. [`Faults::set_clock`] sets
    /// its own.
    pub fn start_of_any_time() -> S3 {
        let mut config = S3Config::default();
        config.presigned_url_max_skew_time_secs = u32::MAX;
        S3::start_with("127.0.0.1", config)
    }

    /// A server on a free port of this address: for programs that reach this machine there.
    pub fn start_at(address: &str) -> S3 {
        S3::start_with(address, S3Config::default())
    }

    fn start_with(address: &str, config: S3Config) -> S3 {
        let dir = crate::place::new_dir("s3-");
        std::fs::create_dir(dir.path().join(BUCKET)).unwrap();
        let mut builder = S3ServiceBuilder::new(s3s_fs::FileSystem::new(dir.path()).unwrap());
        builder.set_auth(SimpleAuth::from_single(ACCESS_KEY, SECRET_KEY));
        builder.set_config(Arc::new(StaticConfigProvider::new(Arc::new(config))));
        S3::listen(Arc::new(dir), Server::Here(builder.build()), address, None)
    }

    /// A server for a bucket that keeps versions, and has its own clock.
    pub fn versioned(bucket: &Versioned) -> S3 {
        let server = Server::Here(bucket.service());
        S3::listen(Arc::new(crate::place::new_dir("s3-")), server, "127.0.0.1", Some(bucket.clone()))
    }

    /// A place for faults in front of another server.
    pub(crate) fn in_front_of(server: SocketAddr) -> S3 {
        S3::listen(Arc::new(crate::place::new_dir("s3-")), Server::There(server), "127.0.0.1", None)
    }

    /// The same objects at another address, with faults and a log of its own: for faults that one program is
    /// to meet, and others are not.
    pub fn other_door(&self) -> S3 {
        S3::listen(self.dir.clone(), self.server.clone(), "127.0.0.1", None)
    }

    fn listen(dir: Arc<TempDir>, server: Server, address: &str, clock: Option<Versioned>) -> S3 {
        let (root, faults, uploads) = (dir.path().to_owned(), Faults::default(), Arc::default());
        let front = Front { server: server.clone(), faults, root, uploads, clock };
        let faults = front.faults.clone();

        let listener = std::net::TcpListener::bind((address, 0)).unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel();
        let thread = std::thread::spawn(move || {
            let runtime =
                tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
            runtime.block_on(async {
                let accepting = tokio::spawn(accept(TcpListener::from_std(listener).unwrap(), front));
                let _ = stopped.await;
                accepting.abort();
            });
            runtime.shutdown_timeout(Duration::from_secs(5)); // requests that hang end here
        });
        S3 { dir, server, address, faults, stop: Some(stop), thread: Some(thread) }
    }

    /// Where it listens: `http://<address>:<port>`.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// A repository address in its bucket.
    pub fn url(&self, prefix: &str) -> String {
        format!("s3://{BUCKET}/{prefix}")
    }

    /// The variables that give a program endpoint, region and keys.
    pub fn env(&self) -> Vec<(String, String)> {
        let endpoint = self.endpoint();
        let env = [
            ("AWS_ACCESS_KEY_ID", ACCESS_KEY),
            ("AWS_SECRET_ACCESS_KEY", SECRET_KEY),
            ("AWS_REGION", REGION),
            ("AWS_DEFAULT_REGION", REGION),
            ("AWS_ENDPOINT_URL", &endpoint),
            ("AWS_ALLOW_HTTP", "true"),
        ];
        env.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec()
    }

    /// The folder of the bucket: an object is the file named by its key, so tests can damage it.
    pub fn dir(&self) -> PathBuf {
        self.dir.path().join(BUCKET)
    }

    /// The file of one object.
    pub fn object(&self, key: &str) -> PathBuf {
        self.dir().join(key)
    }

    /// Makes every object below `prefix` so much older, by the store's clock.
    pub fn age(&self, prefix: &str, by: Duration) {
        for key in self.keys(prefix) {
            let file = std::fs::File::options().append(true).open(self.object(&key)).unwrap();
            file.set_modified(file.metadata().unwrap().modified().unwrap() - by).unwrap();
        }
    }

    /// All keys below a prefix (`""`: all), sorted.
    pub fn keys(&self, prefix: &str) -> Vec<String> {
        let root = self.dir();
        let mut files = Vec::new();
        crate::compare::walk(&root, &mut |path| files.push(path.to_owned()));
        let mut keys: Vec<String> = files
            .iter()
            .filter(|path| path.is_file())
            .map(|path| path.strip_prefix(&root).unwrap().to_str().unwrap().to_owned())
            .filter(|key| key.starts_with(prefix))
            .collect();
        keys.sort();
        keys
    }

    /// Makes what is stored of unfinished multipart uploads so much older: when each was begun, and, if
    /// `parts` is true, each of its parts.
    pub fn age_uploads(&self, by: Duration, parts: bool) {
        for entry in std::fs::read_dir(self.dir.path()).unwrap().flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            if name.starts_with(".upload-") || (parts && name.starts_with(".upload_id-")) {
                let file = std::fs::File::options().append(true).open(entry.path()).unwrap();
                file.set_modified(file.metadata().unwrap().modified().unwrap() - by).unwrap();
            }
        }
    }

    /// How many multipart uploads were begun and neither completed nor aborted.
    pub fn open_uploads(&self) -> usize {
        let names = std::fs::read_dir(self.dir.path()).unwrap().flatten();
        names.filter(|entry| entry.file_name().to_string_lossy().starts_with(".upload-")).count()
    }

    /// The planned faults and the log.
    pub fn faults(&self) -> &Faults {
        &self.faults
    }

    /// Plans a fault: `s3.plan(faults::on("PUT", "manifest").nth(1).respond(503))`.
    pub fn plan(&self, fault: Fault) -> Planned {
        self.faults.plan(fault)
    }

    /// The directory of the whole server, side files and unfinished uploads included.
    pub fn root(&self) -> &Path {
        self.dir.path()
    }
}

impl Drop for S3 {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

async fn accept(listener: TcpListener, front: Front) {
    while let Ok((socket, _)) = listener.accept().await {
        let front = front.clone();
        let service = hyper::service::service_fn(move |request| front.clone().serve(request));
        let connection =
            hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(socket), service);
        tokio::spawn(async move {
            let _ = connection.await; // dropped connections are the client's business
        });
    }
}

/// The largest object that counts as a record.
const RECORD_MAX: u64 = 1 << 20;

/// What is behind the faults.
#[derive(Clone)]
enum Server {
    Here(S3Service),
    There(SocketAddr),
}

impl Server {
    async fn call(&self, request: Request<Body>) -> Result<Response<Body>, StdError> {
        let address = match self {
            Server::Here(server) => return one_first(server, request).await,
            Server::There(address) => address,
        };
        let stream = tokio::net::TcpStream::connect(address).await?;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        let range = request.headers().get(RANGE).cloned();
        let (head, body) = request.into_parts();
        let body = http_body_util::Full::new(BodyExt::collect(body).await?.to_bytes());
        let (mut head, body) = sender.send_request(Request::from_parts(head, body)).await?.into_parts();
        let mut body = body.collect().await?.to_bytes();
        if let (Some(range), StatusCode::OK) = (range, head.status) {
            (body, head.headers) = part(range.to_str()?, body, head.headers)?;
            head.status = StatusCode::PARTIAL_CONTENT;
        }
        Ok(Response::from_parts(head, Body::from(body)))
    }
}

/// The server looks whether an object is there, and writes it then: of two that come at once, both would be
/// the first. Those of records come one after the other, as a real store has it.
async fn one_first(server: &S3Service, request: Request<Body>) -> Result<Response<Body>, StdError> {
    static FIRST: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());
    let headers = request.headers();
    let bytes = headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    let is_record = headers.contains_key(IF_NONE_MATCH) && bytes.is_some_and(|bytes| bytes <= RECORD_MAX);
    let (request, _one) = match is_record {
        false => (request, None),
        true => {
            let (head, body) = request.into_parts();
            let body = Body::from(BodyExt::collect(body).await?.to_bytes());
            (Request::from_parts(head, body), Some(FIRST.lock().await))
        }
    };
    server.call(request).await.map_err(|e| format!("{e:?}").into())
}

/// The part that `bytes=A-B` asks for: ministack gives the whole of a version.
fn part(range: &str, body: Bytes, mut headers: HeaderMap) -> Result<(Bytes, HeaderMap), StdError> {
    let (from, to) = range.strip_prefix("bytes=").and_then(|r| r.split_once('-')).ok_or("a strange range")?;
    let (from, to) = (from.parse::<usize>()?, body.len().min(to.parse::<usize>()? + 1));
    if from >= to {
        return Err("a range beyond the end".into());
    }
    headers.insert("content-range", format!("bytes {from}-{}/{}", to - 1, body.len()).parse()?);
    headers.insert(CONTENT_LENGTH, (to - from).into());
    Ok((body.slice(from..to), headers))
}

#[derive(Clone)]
struct Front {
    server: Server,
    faults: Faults,
    root: PathBuf,
    /// Whose time answers show; without it, this machine's.
    clock: Option<Versioned>,
    /// The ID of each upload that was begun, and its key.
    uploads: Arc<Mutex<Vec<(String, String)>>>,
}

impl Front {
    async fn serve(self, request: Request<Incoming>) -> Result<Response<Body>, StdError> {
        let served = Served {
            method: request.method().to_string(),
            path: decode(request.uri().path()),
            query: request.uri().query().unwrap_or_default().to_owned(),
            status: None,
        };
        let (number, actions) = self.faults.arrived(&served);
        let request = if self.clock.is_some() { unsigned(request) } else { request };
        let mut answer = self.act(request, &actions, served).await;
        if let (Ok(answer), Some(clock)) = (&mut answer, &self.clock) {
            let now = jiff::Timestamp::try_from(clock.now()).unwrap();
            let text = now.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string();
            answer.headers_mut().insert(DATE, HeaderValue::from_str(&text).unwrap());
        }
        if let Ok(answer) = &answer {
            self.faults.answered(number, answer.status().as_u16());
        }
        answer
    }

    /// Whether all went well but a side file: the server stores an object whose key has more than 160 bytes,
    /// then finds no room for the name of the file of its checksums, which nothing asks for, and answers 500.
    fn landed(&self, served: &Served) -> bool {
        let is_put = served.method == "PUT" && !served.query.contains("uploadId");
        is_put && served.path.len() > 160 && self.root.join(served.path.trim_start_matches('/')).is_file()
    }

    /// Notes an upload that was begun.
    async fn noted(&self, answer: Response<Body>, served: &Served) -> Result<Response<Body>, StdError> {
        let (head, body) = answer.into_parts();
        let text = String::from_utf8(BodyExt::collect(body).await?.to_bytes().to_vec())?;
        let id = text.split("<UploadId>").nth(1).and_then(|rest| rest.split('<').next()).unwrap_or_default();
        self.uploads.lock().unwrap().push((id.to_owned(), served.path.clone()));
        Ok(Response::from_parts(head, Body::from(text)))
    }

    /// The uploads of a bucket that were begun and not finished, whatever the prefix is: the file that the
    /// server keeps of each says since when.
    fn listed_uploads(&self, bucket: &str) -> Response<Body> {
        let mut text = "<ListMultipartUploadsResult><IsTruncated>false</IsTruncated>".to_owned();
        let bucket = format!("/{}/", bucket.trim_matches('/'));
        for (id, path) in self.uploads.lock().unwrap().iter() {
            let begun = std::fs::metadata(self.root.join(format!(".upload-{id}.json")));
            let Ok(begun) = begun.and_then(|of| of.modified()) else { continue };
            let begun = Timestamp::try_from(begun).unwrap();
            if let Some(key) = path.strip_prefix(&bucket) {
                text += &format!(
                    "<Upload><Key>{key}</Key><UploadId>{id}</UploadId><Initiated>{begun}</Initiated></Upload>"
                );
            }
        }
        let mut answer = Response::new(Body::from(text + "</ListMultipartUploadsResult>"));
        answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/xml"));
        answer
    }

    /// A listing with the entity tags that every bucket has in it: here of inode and time of change, so that
    /// another one means that the object was written again.
    async fn tagged(&self, answer: Response<Body>, bucket: &str) -> Result<Response<Body>, StdError> {
        use std::os::unix::fs::MetadataExt;
        let (mut head, body) = answer.into_parts();
        let text = String::from_utf8(BodyExt::collect(body).await?.to_bytes().to_vec())?;
        let mut out = String::with_capacity(text.len() * 2);
        for part in text.split_inclusive("</Key>") {
            out.push_str(part);
            let key = part.strip_suffix("</Key>").and_then(|part| part.rsplit_once("<Key>"));
            let Some((_, key)) = key else { continue };
            let file = self.root.join(bucket.trim_matches('/')).join(decode(key));
            if let Ok(of) = std::fs::symlink_metadata(file) {
                let (inode, seconds, nanos) = (of.ino(), of.ctime(), of.ctime_nsec());
                out.push_str(&format!("<ETag>&quot;{inode:x}-{seconds:x}-{nanos:x}&quot;</ETag>"));
            }
        }
        head.headers.remove(CONTENT_LENGTH);
        Ok(Response::from_parts(head, Body::from(out)))
    }

    /// Everything that is to happen before, then the server itself, then what is to happen after.
    async fn act(
        &self,
        request: Request<Incoming>,
        actions: &[Action],
        served: Served,
    ) -> Result<Response<Body>, StdError> {
        let mut request = request.map(Body::from);
        for action in actions {
            match action {
                Action::Respond { status, landed: false } => return Ok(refuse(*status, &request)),
                Action::Answer { status, body } => {
                    let mut answer = Response::new(Body::from((*body).to_owned()));
                    *answer.status_mut() = StatusCode::from_u16(*status).unwrap();
                    return Ok(answer);
                }
                Action::Hang { landed: false } => hang().await,
                Action::Drop { landed: false } => return Err("connection dropped by plan".into()),
                Action::Delay(time) => tokio::time::sleep(*time).await,
                Action::Call { call, landed: false } => call_back(call, &served).await,
                Action::CutRequest(bytes) => request = request.map(|b| bodies::shape(b, Shape::Cut(*bytes))),
                Action::Slow { bytes_per_second } => {
                    request = request.map(|b| bodies::shape(b, Shape::Slow(*bytes_per_second)));
                }
                _ => {}
            }
        }
        let cut = actions.iter().any(|action| matches!(action, Action::CutRequest(_)));
        let (method, uri) = (request.method().clone(), request.uri().clone());
        let answer = self.server.call(request).await;
        if cut {
            return Err("upload cut by plan".into()); // whatever the server would say to that
        }
        let mut answer = answer.map_err(|e| format!("{method} {uri}: {e:?}"))?;
        if answer.status() == StatusCode::INTERNAL_SERVER_ERROR && self.landed(&served) {
            answer = Response::new(Body::empty());
            answer.headers_mut().insert(ETAG, HeaderValue::from_static("\"landed\""));
        }
        let asks_for_uploads = served.query.split('&').any(|part| part.trim_end_matches('=') == "uploads");
        if asks_for_uploads && method == Method::POST && answer.status() == StatusCode::OK {
            answer = self.noted(answer, &served).await?;
        }
        // The server checks the signature first.
        if asks_for_uploads && answer.status() == StatusCode::NOT_IMPLEMENTED {
            answer = self.listed_uploads(&served.path);
        }
        let is_here = matches!(self.server, Server::Here(_));
        if is_here && served.query.contains("list-type=2") && answer.status() == StatusCode::OK {
            answer = self.tagged(answer, &served.path).await?;
        }
        if let Some(now) = self.faults.clock() {
            let now = jiff::Timestamp::try_from(now)?.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string();
            answer.headers_mut().insert(DATE, HeaderValue::try_from(now)?);
        }
        for action in actions {
            match action {
                Action::Respond { status, landed: true } => {
                    return Ok(error_answer(*status, &method, uri.path()));
                }
                Action::Hang { landed: true } => hang().await,
                Action::Drop { landed: true } => return Err("connection dropped by plan".into()),
                Action::Call { call, landed: true } => call_back(call, &served).await,
                Action::CutAnswer(bytes) => answer = answer.map(|b| bodies::shape(b, Shape::Cut(*bytes))),
                Action::LeaveOut(keys) => answer = without(answer, keys).await?,
                Action::Flip(byte) => answer = answer.map(|b| bodies::shape(b, Shape::Flip(*byte))),
                Action::Slow { bytes_per_second } => {
                    answer = answer.map(|b| bodies::shape(b, Shape::Slow(*bytes_per_second)));
                }
                _ => {}
            }
        }
        Ok(answer)
    }
}

/// The request without its signature.
fn unsigned(mut request: Request<Incoming>) -> Request<Incoming> {
    request.headers_mut().remove(AUTHORIZATION);
    let parts = request.uri().query().unwrap_or_default().split('&');
    let kept: Vec<&str> = parts.filter(|part| !part.starts_with("X-Amz-")).collect();
    *request.uri_mut() = format!("{}?{}", request.uri().path(), kept.join("&")).parse().unwrap();
    request
}

/// A listing without the keys and folders that are picked.
async fn without(answer: Response<Body>, keys: &Keys) -> Result<Response<Body>, StdError> {
    let (mut head, body) = answer.into_parts();
    let mut text = String::from_utf8(BodyExt::collect(body).await?.to_bytes().to_vec())?;
    for (element, name) in [("Contents", "Key"), ("CommonPrefixes", "Prefix")] {
        let (begin, end) = (format!("<{element}>"), format!("</{element}>"));
        let mut out = String::with_capacity(text.len());
        for part in text.split_inclusive(&end) {
            let of = part.split_once(&begin).and_then(|(_, of)| of.split_once(&format!("<{name}>")));
            let key = of.and_then(|(_, of)| of.split_once(&format!("</{name}>"))).map(|(key, _)| decode(key));
            match key {
                Some(key) if keys(&key) => out.push_str(part.split_once(&begin).unwrap().0),
                _ => out.push_str(part),
            }
        }
        text = out;
    }
    head.headers.remove(CONTENT_LENGTH);
    Ok(Response::from_parts(head, Body::from(text)))
}

async fn hang() {
    tokio::time::sleep(HANG_MAX).await;
}

/// Callbacks may block (stop a cluster): not on the server's own thread.
async fn call_back(call: &Arc<dyn Fn(&Served) + Send + Sync>, served: &Served) {
    let (call, served) = (call.clone(), served.clone());
    let _ = tokio::task::spawn_blocking(move || call(&served)).await;
}

fn refuse(status: u16, request: &Request<Body>) -> Response<Body> {
    error_answer(status, request.method(), request.uri().path())
}

/// An error as S3 words it; a success without a body.
fn error_answer(status: u16, method: &Method, resource: &str) -> Response<Body> {
    let code = match status {
        403 => "AccessDenied",
        404 => "NoSuchKey",
        409 => "OperationAborted",
        412 => "PreconditionFailed",
        429 => "TooManyRequests",
        500 => "InternalError",
        503 => "SlowDown",
        507 => "InsufficientStorage",
        _ => "PlannedFault",
    };
    let text = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>{code}</Code>\
         <Message>planned by a test</Message><Resource>{resource}</Resource><RequestId>0</RequestId></Error>"
    );
    // A server that says that all is well, and does nothing, says no more.
    let bare = *method == Method::HEAD || status < 300;
    let body = if bare { Body::empty() } else { Body::from(text) };
    let mut answer = Response::new(body);
    *answer.status_mut() = StatusCode::from_u16(status).unwrap();
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/xml"));
    answer
}

/// Undoes percent-encoding; what is no valid escape stays as it is.
pub(crate) fn decode(path: &str) -> String {
    let mut bytes = Vec::with_capacity(path.len());
    let mut rest = path.as_bytes();
    while let [first, tail @ ..] = rest {
        let escape = tail.get(..2).filter(|_| *first == b'%').and_then(|hex| std::str::from_utf8(hex).ok());
        match escape.and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            Some(byte) => (bytes.push(byte), rest = &tail[2..]),
            None => (bytes.push(*first), rest = tail),
        };
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use lifeboat::store::{Store, StoreOptions};

    #[test]
    fn of_two_that_write_at_once_one_is_the_first() {
        let s3 = S3::start();
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
        let keys = [("access_key_id", ACCESS_KEY), ("secret_access_key", SECRET_KEY)];
        let file = s3.dir.path().join("keys");
        std::fs::write(&file, keys.map(|(name, value)| format!("{name} = {value}\n")).concat()).unwrap();
        std::fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
        let options = StoreOptions {
            endpoint: Some(s3.endpoint()),
            allow_http: true,
            credentials_file: Some(file),
            ..StoreOptions::default()
        };
        runtime.block_on(async {
            let (one, other) = (Store::open(&s3.url("p"), &options), Store::open(&s3.url("p"), &options));
            let (one, other) = (one.unwrap(), other.unwrap());
            for n in 0..300 {
                let key = format!("instances/{n}/instance.json");
                let (a, b) = tokio::join!(one.put_new(&key, "one"), other.put_new(&key, "other"));
                assert!(a.is_ok() != b.is_ok(), "{n}: {a:?}, {b:?}");
            }
        });
    }
}
