//! A bucket with versions and Object Lock, as ministack serves it: it refuses to delete a locked version or
//! to shorten its lock.
//!
//! Limits of the server (ministack 1.5): it checks no credentials, so rights are not tried here; a lock that
//! comes with a multipart upload is dropped in silence, as other servers do; it answers `?policyStatus` with
//! a listing, and a range of a version with the whole (the front cuts the range out).

use std::path::Path;
use std::process::Command;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use tempfile::TempDir;

use crate::emulator::{self, Emulator};
use crate::program::clock_of;
use crate::s3::{BUCKET, S3};

/// Names the program; `ministack` on the PATH does as well.
const VARIABLE: &str = "TEST_MINISTACK";

/// A running ministack with one bucket, and a place for faults in front of it. Stopped when dropped.
pub struct Ministack {
    s3: S3,
    emulator: Emulator,
    _dir: TempDir,
}

impl Ministack {
    /// Starts it with a bucket whose objects can be locked; the error says why it cannot.
    pub fn start() -> Result<Ministack, String> {
        Ministack::with_locks(Vec::new())
    }

    /// The same under the clock of this file; see [`Program::clock_of`](crate::Program::clock_of).
    pub fn start_under_clock_of(file: &Path) -> Result<Ministack, String> {
        Ministack::with_locks(clock_of(file))
    }

    fn with_locks(env: Vec<(String, String)>) -> Result<Ministack, String> {
        let ministack = Ministack::without_bucket(env)?;
        ministack.expect("PUT", "", &[("x-amz-bucket-object-lock-enabled", "true")], "");
        Ok(ministack)
    }

    /// Starts it with a bucket that has neither versions nor locks.
    pub fn plain() -> Result<Ministack, String> {
        let ministack = Ministack::without_bucket(Vec::new())?;
        ministack.expect("PUT", "", &[], "");
        Ok(ministack)
    }

    fn without_bucket(env: Vec<(String, String)>) -> Result<Ministack, String> {
        let program = emulator::find(VARIABLE, "ministack", "ministack of PyPI")?;
        let dir = tempfile::Builder::new().prefix("lbms-").tempdir().unwrap();
        let emulator = Emulator::start(|port| {
            let mut command = Command::new(&program);
            command
                .current_dir(dir.path())
                .envs(env.iter().map(|(name, value)| (name, value)))
                .env("HOME", dir.path())
                .env("TMPDIR", dir.path())
                .env("BIND_HOST", "127.0.0.1")
                .env("GATEWAY_PORT", port.to_string())
                .env("SERVICES", "s3")
                .env("SFTP_ENABLED", "0")
                .env("IOT_MTLS_ENABLED", "0");
            command
        });
        Ok(Ministack { s3: S3::in_front_of(emulator.address), emulator, _dir: dir })
    }

    /// What programs talk to: endpoint, variables, faults and the log.
    pub fn s3(&self) -> &S3 {
        &self.s3
    }

    /// Asks the server itself, past the faults: `target` follows the bucket, as in `/key?retention`.
    pub fn ask(
        &self,
        method: &str,
        target: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> (StatusCode, String) {
        let mut request = Request::builder().method(method).uri(format!("/{BUCKET}{target}"));
        request = request.header("host", self.emulator.address.to_string());
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Full::new(Bytes::from(body.to_owned()))).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let address = self.emulator.address;
        // On a thread of its own, for tests that are in a runtime already.
        std::thread::spawn(move || {
            runtime.block_on(async move {
                let stream = tokio::net::TcpStream::connect(address).await.unwrap();
                let (mut sender, connection) =
                    hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
                tokio::spawn(connection);
                let (head, body) = sender.send_request(request).await.unwrap().into_parts();
                let body = body.collect().await.unwrap().to_bytes();
                (head.status, String::from_utf8_lossy(&body).into_owned())
            })
        })
        .join()
        .unwrap()
    }

    /// [`Ministack::ask`] for what must succeed; returns the body.
    pub fn expect(&self, method: &str, target: &str, headers: &[(&str, &str)], body: &str) -> String {
        let (status, answer) = self.ask(method, target, headers, body);
        assert!(status.is_success(), "{method} {target}: {status} {answer}");
        answer
    }
}
