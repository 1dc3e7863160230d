//! One call to a remote store, with its deadline, its tries and its error.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU16, AtomicU32, Ordering::Relaxed};
use std::time::{Duration, Instant};

use jiff::SignedDuration;
use object_store::Error as Raw;

use super::certificates;
use super::words::Words;
use crate::clock::{self, Timestamp};
use crate::error::{Error, Kind, Result};

/// Stores accept requests that were signed at most this long ago, or ahead.
const SKEW_MAX: SignedDuration = SignedDuration::from_mins(15);

/// What S3 answers to a read of an object in a class that is not online.
const ARCHIVED: &str = "InvalidObjectState";

/// Whether an object is there and cannot be read now, because its storage class is not online.
pub fn is_archived(error: &Error) -> bool {
    error.kind() == Kind::Unreachable && error.causes().iter().any(|cause| cause.contains(ARCHIVED))
}

tokio::task_local! {
    // The HTTP client, far below object_store, reports each try to the call through this.
    static TRACE: Arc<Trace>;
}

#[derive(Default)]
struct Trace {
    tries: AtomicU32,
    /// The last answer's status; 0 where the last try got none.
    status: AtomicU16,
    /// How many tries ended after the request was sent and before an answer arrived.
    lost: AtomicU32,
    /// The store's clock in its last answer, in seconds since 1970; 0 where it gave none.
    date: AtomicI64,
}

/// The HTTP client begins a try.
pub(super) fn note_try() {
    let _ = TRACE.try_with(|t| {
        t.tries.fetch_add(1, Relaxed);
        t.status.store(0, Relaxed);
    });
}

/// The HTTP client received an answer.
pub(super) fn note_status(status: u16) {
    let _ = TRACE.try_with(|t| t.status.store(status, Relaxed));
}

/// The HTTP client received an answer with this `Date` (RFC 9110, 6.6.1).
pub(super) fn note_date(date: &str) {
    let Ok(parsed) = jiff::fmt::rfc2822::parse(date) else { return };
    let _ = TRACE.try_with(|t| t.date.store(parsed.timestamp().as_second(), Relaxed));
}

/// A request may have been carried out although no answer arrived.
pub(super) fn note_lost() {
    let _ = TRACE.try_with(|t| t.lost.fetch_add(1, Relaxed));
}

/// One call to a remote store.
pub(super) struct Call {
    words: Arc<Words>,
    verb: &'static str,
    key: String,
    limit: Duration,
    began: Instant,
    trace: Arc<Trace>,
}

impl Call {
    /// A call that ends after `limit`, whatever the server does.
    pub(super) fn new(words: &Arc<Words>, verb: &'static str, key: &str, limit: Duration) -> Call {
        Call {
            words: words.clone(),
            verb,
            key: key.to_owned(),
            limit,
            began: clock::instant(),
            trace: Arc::default(),
        }
    }

    /// Does the work, or a part of it, within the rest of the limit.
    pub(super) async fn run<T>(&self, work: impl Future<Output = object_store::Result<T>>) -> Result<T> {
        let left = self.limit.saturating_sub(self.elapsed());
        match tokio::time::timeout(left, TRACE.scope(self.trace.clone(), work)).await {
            Ok(done) => done.map_err(|e| self.error(e)),
            Err(_) => Err(self.hint(Error::new(Kind::Unreachable, self.failed()))),
        }
    }

    /// Time since the call began.
    pub(super) fn elapsed(&self) -> Duration {
        clock::instant() - self.began
    }

    /// How many tries may have been carried out without an answer.
    pub(super) fn lost(&self) -> u32 {
        self.trace.lost.load(Relaxed)
    }

    /// The last answer's HTTP status; 0 where there was none.
    pub(super) fn status(&self) -> u16 {
        self.trace.status.load(Relaxed)
    }

    /// The store's clock in its last answer.
    pub(super) fn date(&self) -> Option<Timestamp> {
        let seconds = self.trace.date.load(Relaxed);
        Timestamp::from_second(seconds).ok().filter(|_| seconds > 0)
    }

    /// An error of ours on this call's object.
    pub(super) fn fail(&self, kind: Kind, why: &str) -> Error {
        self.hint(Error::new(kind, format!("{}: {why}", self.failed())))
    }

    /// Turns object_store's error into ours: the kind by cause, with key, URL and tries.
    pub(super) fn error(&self, raw: Raw) -> Error {
        let text = raw.to_string();
        let kind = self.kind(&raw, &text);
        let what = match kind {
            Kind::NotFound => format!("{} is not in {}", self.key, self.words.url),
            Kind::AlreadyExists => {
                format!("{} is already in {} with other content", self.key, self.words.url)
            }
            Kind::Conflict => format!("{} in {} was replaced by another writer", self.key, self.words.url),
            Kind::Repository => format!("{}: {} does not exist", self.failed(), self.words.place),
            _ => self.failed(),
        };
        let error = Error::new(kind, what);
        // The innermost next step wins.
        let error = match certificates::next(&raw) {
            Some(next) => error.next(next),
            None => error,
        };
        let error = match text.as_str() {
            t if t.contains(ARCHIVED) => error.next(
                "its storage class is not online: request the objects of its folder (S3: restore-object), wait, then \
                 run again (docs/retention.md, \"Cold storage\")",
            ),
            t if t.contains("169.254.169.254") || t.contains("metadata.google.internal") => {
                error.next(format!("no credentials were found: set {}", self.words.credentials))
            }
            t if t.contains("RequestTimeTooSkewed") || (kind == Kind::Denied && self.is_skewed()) => {
                error.next("set this machine's clock, then run again")
            }
            _ => error,
        };
        self.hint(error.because(raw))
    }

    /// Whether the store's clock is so far from ours that it refuses our signatures: an answer to HEAD
    /// contains no text.
    fn is_skewed(&self) -> bool {
        self.date().is_some_and(|date| clock::now().duration_since(date).abs() > SKEW_MAX)
    }

    fn kind(&self, raw: &Raw, text: &str) -> Kind {
        let says = |words: &[&str]| words.iter().any(|w| text.contains(w));
        let no_bucket = says(&["NoSuchBucket", "ContainerNotFound", "bucket does not exist"]);
        if says(&["QuotaExceeded", "StorageFull", "InsufficientStorage", "InsufficientCapacity"]) {
            return Kind::NoSpace;
        }
        match (raw, self.status()) {
            (Raw::NotFound { .. }, _) | (Raw::Generic { .. }, 404) if no_bucket => Kind::Repository,
            (Raw::NotFound { .. }, _) => Kind::NotFound,
            (Raw::AlreadyExists { .. }, _) => Kind::AlreadyExists,
            (Raw::Precondition { .. }, _) => Kind::Conflict,
            // Not a right: it can be read later.
            _ if says(&[ARCHIVED]) => Kind::Unreachable,
            (Raw::PermissionDenied { .. } | Raw::Unauthenticated { .. }, _) | (_, 401 | 403) => Kind::Denied,
            (Raw::NotImplemented { .. } | Raw::NotSupported { .. }, _) | (_, 501) => Kind::Config,
            (_, 507) => Kind::NoSpace,
            (_, 416) => Kind::Integrity,
            (_, 400) if says(&["ExpiredToken", "InvalidToken"]) => Kind::Denied,
            // Amazon's code for an upload that was too slow.
            (_, 400) if says(&["RequestTimeout"]) => Kind::Unreachable,
            // A wrong region or endpoint.
            (_, 300..=400) => Kind::Config,
            _ if self.trace.tries.load(Relaxed) > 0 => Kind::Unreachable,
            // No request was ever sent: credentials that cannot be read, or the store in memory.
            _ => io_kind(raw).unwrap_or(Kind::Config),
        }
    }

    fn failed(&self) -> String {
        let tries = self.trace.tries.load(Relaxed);
        let object = if self.key.is_empty() { String::new() } else { format!("{} in ", self.key) };
        let status = match self.status() {
            0 => "no answer".to_owned(),
            status @ 200..=299 => format!("HTTP {status}, but an unusable answer"),
            status => format!("HTTP {status}"),
        };
        let plural = if tries == 1 { "try" } else { "tries" };
        let span = clock::span_text(self.elapsed());
        match tries {
            0 => format!("cannot {} {object}{}", self.verb, self.words.url),
            _ => format!(
                "cannot {} {object}{} ({status}; {tries} {plural} in {span})",
                self.verb, self.words.url
            ),
        }
    }

    fn hint(&self, error: Error) -> Error {
        let next = match error.kind() {
            Kind::Denied => return error.next(self.words.denied()),
            Kind::Repository => return error.next(self.words.missing()),
            Kind::Unreachable => "check that the endpoint can be reached from this host, then run again",
            Kind::NoSpace => "make room in the store or raise its quota, then run again",
            Kind::Config => {
                "check the repository's URL, endpoint, region and credentials; lifeboat doctor tries each"
            }
            Kind::NotFound => "run lifeboat verify: it lists every missing object",
            Kind::AlreadyExists => {
                "look at that object: this agent did not write it, and nothing was overwritten"
            }
            Kind::Conflict => "let the other agent finish, then run again",
            Kind::Integrity => "run lifeboat verify: it lists every damaged object",
            _ => return error,
        };
        let error = error.next(next);
        match error.kind() {
            Kind::Unreachable | Kind::NoSpace => {
                error.safe("objects appear completely or not at all, so running again is safe")
            }
            _ => error,
        }
    }
}

fn io_kind(raw: &Raw) -> Option<Kind> {
    let mut at: Option<&(dyn std::error::Error + 'static)> = Some(raw);
    while let Some(error) = at {
        if let Some(io) = error.downcast_ref::<std::io::Error>() {
            let same = std::io::Error::from(io.kind());
            return Some(Error::file("use", std::path::Path::new(""), same).kind());
        }
        at = error.source();
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call() -> Call {
        let words = Words {
            url: "s3://b/p".to_owned(),
            place: "the bucket b".to_owned(),
            credentials: "AWS_ACCESS_KEY_ID",
            expire: None,
        };
        Call::new(&Arc::new(words), "store", "k/x", Duration::from_secs(9))
    }

    fn generic(text: &str) -> Raw {
        Raw::Generic { store: "S3", source: text.into() }
    }

    fn kind_of(status: u16, text: &str) -> Kind {
        let call = call();
        call.trace.tries.store(3, Relaxed);
        call.trace.status.store(status, Relaxed);
        let error = call.error(generic(text));
        assert!(error.what().contains("k/x") && error.what().contains("s3://b/p"), "{error}");
        assert!(error.next_text().is_some(), "{error}");
        error.kind()
    }

    #[test]
    fn kinds_follow_the_cause() {
        for (status, text, kind) in [
            (0, "connection refused", Kind::Unreachable),
            (503, "SlowDown", Kind::Unreachable),
            (200, "InternalError", Kind::Unreachable),
            (507, "x", Kind::NoSpace),
            (403, "QuotaExceeded", Kind::NoSpace),
            (403, "AccessDenied", Kind::Denied),
            (401, "x", Kind::Denied),
            (400, "ExpiredToken", Kind::Denied),
            (400, "AuthorizationHeaderMalformed", Kind::Config),
            (301, "x", Kind::Config),
            (404, "NoSuchBucket", Kind::Repository),
            (501, "NotImplemented", Kind::Config),
        ] {
            assert_eq!(kind_of(status, text), kind, "{status} {text}");
        }
    }

    #[test]
    fn a_full_disk_is_found_below_other_errors() {
        let full = std::io::Error::from(std::io::ErrorKind::StorageFull);
        let raw = Raw::Generic { store: "x", source: Box::new(generic_over(full)) };
        assert_eq!(call().error(raw).kind(), Kind::NoSpace);
    }

    fn generic_over(io: std::io::Error) -> Raw {
        Raw::Generic { store: "y", source: Box::new(io) }
    }

    #[test]
    fn tries_and_time_are_told() {
        let call = call();
        call.trace.tries.store(5, Relaxed);
        call.trace.status.store(503, Relaxed);
        let error = call.error(generic("SlowDown"));
        assert!(error.what().starts_with("cannot store k/x in s3://b/p (HTTP 503; 5 tries in "), "{error}");
    }
}
