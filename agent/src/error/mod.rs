//! Errors: the one type for every module, its kinds, and their exit codes.
//!
//! One struct with a [`Kind`] rather than an enum per module: callers branch only on the kind (is it missing,
//! or could we not look?), and the screen shows the same five parts for every module. Create an error where
//! the values are known, add the effect and the next step where they are known, and print it once, at the top
//! (`cli::print`).

pub mod shown;
mod text;

use std::error::Error as StdError;
use std::fmt;

/// The result of everything that can fail here.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Causes that a caller can tell apart. The slug is printed as `error[slug]` and is stable,
/// like the exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// The configuration, an environment variable or a plan file is wrong.
    Config,
    /// An argument does not fit the others or what exists.
    Usage,
    /// The store answered that there is no such object; never used for "could not look".
    NotFound,
    /// An object or file that must be new already exists, with other content.
    AlreadyExists,
    /// A conditional replacement failed because another writer was faster.
    Conflict,
    /// The store or the file system refused us (403, EACCES).
    Denied,
    /// The store did not answer in time, or with errors until the deadline.
    Unreachable,
    /// Disk or quota is full.
    NoSpace,
    /// The repository is missing, not initialised, or written by a newer format.
    Repository,
    /// Bytes differ from what was signed or stored: flipped, truncated, exchanged, foreign.
    Integrity,
    /// A signature is missing, wrong, or from a key that is not trusted.
    Signature,
    /// No identity decrypts the archive, or the identity cannot be read.
    Identity,
    /// PostgreSQL is down, refuses us, or one of its programs failed.
    Postgres,
    /// Odoo's data directory is not as it must be.
    Filestore,
    /// Another agent holds the instance.
    Busy,
    /// What a restore would create exists, or the person did not confirm.
    Refused,
    /// The work was done, but something in it is missing or differs; details were printed.
    Incomplete,
    /// The work was stopped by a signal.
    Interrupted,
    /// A gate of a checkpoint blocks the release.
    Blocked,
    /// A release does harm: it should be undone.
    RollBack,
    /// A local file operation failed for another reason.
    Io,
    /// A bug of ours.
    Internal,
}

impl Kind {
    /// The stable name that is printed in brackets.
    pub fn slug(self) -> &'static str {
        match self {
            Kind::Config => "config",
            Kind::Usage => "usage",
            Kind::NotFound => "not-found",
            Kind::AlreadyExists => "already-exists",
            Kind::Conflict => "conflict",
            Kind::Denied => "denied",
            Kind::Unreachable => "unreachable",
            Kind::NoSpace => "no-space",
            Kind::Repository => "repository",
            Kind::Integrity => "integrity",
            Kind::Signature => "signature",
            Kind::Identity => "identity",
            Kind::Postgres => "postgres",
            Kind::Filestore => "filestore",
            Kind::Busy => "busy",
            Kind::Refused => "refused",
            Kind::Incomplete => "incomplete",
            Kind::Interrupted => "interrupted",
            Kind::RollBack => "roll-back",
            Kind::Blocked => "blocked",
            Kind::Io => "io",
            Kind::Internal => "internal",
        }
    }

    /// The exit code of a program that ends with this error. Always below 126; documented in
    /// docs/exit-codes.md. 0 is success, 2 is also what clap exits with.
    pub fn exit_code(self) -> u8 {
        match self {
            Kind::Io => 1,
            Kind::Usage => 2,
            Kind::Incomplete => 3,
            Kind::Config => 4,
            Kind::NotFound => 5,
            Kind::Denied => 6,
            Kind::Unreachable => 7,
            Kind::NoSpace => 8,
            Kind::Repository => 9,
            Kind::Integrity => 10,
            Kind::Signature => 11,
            Kind::Identity => 12,
            Kind::Postgres => 13,
            Kind::Filestore => 14,
            Kind::Busy => 15,
            Kind::Refused => 16,
            Kind::AlreadyExists | Kind::Conflict => 17,
            Kind::Interrupted => 18,
            Kind::Blocked => 19,
            Kind::RollBack => 20,
            Kind::Internal => 70,
        }
    }
}

type Source = Box<dyn StdError + Send + Sync + 'static>;

/// One failure. `Display` gives only the first line; the printer walks the cause chain, once.
pub struct Error(Box<Parts>);

struct Parts {
    kind: Kind,
    what: String,
    effect: Option<String>,
    next: Option<String>,
    safe: Option<String>,
    source: Option<Source>,
}

impl Error {
    /// What broke, and to what, with values in full: "object X is not in REPOSITORY".
    pub fn new(kind: Kind, what: impl Into<String>) -> Error {
        Error(Box::new(Parts { kind, what: what.into(), effect: None, next: None, safe: None, source: None }))
    }

    /// The error underneath; do not repeat its text in `what`.
    pub fn because(mut self, source: impl Into<Source>) -> Error {
        self.0.source = Some(source.into());
        self
    }

    /// What this means for the recovery window or for the current work. The innermost one wins.
    pub fn effect(mut self, text: impl Into<String>) -> Error {
        self.0.effect.get_or_insert(text.into());
        self
    }

    /// The next command or runbook. The innermost one wins.
    pub fn next(mut self, text: impl Into<String>) -> Error {
        self.0.next.get_or_insert(text.into());
        self
    }

    /// Whether running again is safe, and why. The innermost one wins.
    pub fn safe(mut self, text: impl Into<String>) -> Error {
        self.0.safe.get_or_insert(text.into());
        self
    }

    /// Puts a sentence before this error, keeping kind, effect, next and safe: the old first
    /// line becomes the cause. Use a present-tense verb: "read manifest X".
    pub fn context(self, what: impl Into<String>) -> Error {
        let mut outer = Error::new(self.0.kind, what);
        outer.0.effect = self.0.effect.clone();
        outer.0.next = self.0.next.clone();
        outer.0.safe = self.0.safe.clone();
        outer.0.source = Some(Box::new(self));
        outer
    }

    /// A copy of this error, its causes as text: for a caller that keeps one and returns one.
    pub fn again(&self) -> Error {
        let Parts { kind, what, effect, next, safe, .. } = &*self.0;
        let causes = self.causes();
        Error(Box::new(Parts {
            kind: *kind,
            what: what.clone(),
            effect: effect.clone(),
            next: next.clone(),
            safe: safe.clone(),
            source: (!causes.is_empty()).then(|| causes.join(": ").into()),
        }))
    }

    /// The same error under another kind, where the caller knows better.
    pub fn with_kind(mut self, kind: Kind) -> Error {
        self.0.kind = kind;
        self
    }

    /// The kind, for callers that branch and for the exit code.
    pub fn kind(&self) -> Kind {
        self.0.kind
    }

    /// First line, without the kind.
    pub fn what(&self) -> &str {
        &self.0.what
    }

    /// See [`Error::effect`].
    pub fn effect_text(&self) -> Option<&str> {
        self.0.effect.as_deref()
    }

    /// See [`Error::next`].
    pub fn next_text(&self) -> Option<&str> {
        self.0.next.as_deref()
    }

    /// See [`Error::safe`].
    pub fn safe_text(&self) -> Option<&str> {
        self.0.safe.as_deref()
    }

    /// The texts of the causes, outermost first, without repeating earlier ones.
    pub fn causes(&self) -> Vec<String> {
        let mut out: Vec<String> = Vec::new();
        let mut next = self.source();
        while let Some(cause) = next {
            let text = cause.to_string();
            if !self.0.what.contains(&text) && !out.iter().any(|said| said.contains(&text)) {
                out.push(text);
            }
            next = cause.source();
        }
        out
    }

    /// What broke and why, in one line.
    pub fn line(&self) -> String {
        let mut all = vec![self.what().to_owned()];
        all.extend(self.causes());
        all.join(": ")
    }

    /// Whether it means that stored data is missing, wrong or not for this program, rather than that it could
    /// not be read.
    pub fn is_damage(&self) -> bool {
        matches!(self.kind(), Kind::NotFound | Kind::Signature | Kind::Integrity | Kind::Repository)
    }

    /// The error of a reader or writer: one of ours that travelled inside an I/O error is returned unchanged,
    /// any other gets `what` in front.
    pub fn carried(kind: Kind, what: impl Into<String>, e: std::io::Error) -> Error {
        if !e.get_ref().is_some_and(|inner| inner.is::<Error>()) {
            return Error::new(kind, what).because(e);
        }
        match e.into_inner().map(|inner| inner.downcast::<Error>()) {
            Some(Ok(ours)) => *ours,
            _ => Error::new(kind, what),
        }
    }

    /// A file system error on `path`, with the kind of its errno.
    pub fn file(verb: &str, path: &std::path::Path, source: std::io::Error) -> Error {
        use std::io::ErrorKind as E;
        let kind = match source.kind() {
            E::NotFound => Kind::NotFound,
            E::AlreadyExists => Kind::AlreadyExists,
            E::PermissionDenied => Kind::Denied,
            E::StorageFull | E::QuotaExceeded | E::FileTooLarge => Kind::NoSpace,
            _ => Kind::Io,
        };
        Error::new(kind, format!("cannot {verb} {}", path.display())).because(source)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.what)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "error[{}]: {}", self.0.kind.slug(), self.0.what)?;
        for cause in self.causes() {
            write!(f, "; {cause}")?;
        }
        Ok(())
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.source.as_deref().map(|s| s as &(dyn StdError + 'static))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exit_codes_stay_below_126_and_a_chain_is_said_once() {
        let io = std::io::Error::new(std::io::ErrorKind::StorageFull, "no space left");
        let error = Error::file("write", std::path::Path::new("/r/x"), io)
            .effect("nothing was stored")
            .context("store pack 3");
        assert_eq!(error.kind(), Kind::NoSpace);
        assert_eq!(error.what(), "store pack 3");
        assert_eq!(error.causes(), ["cannot write /r/x", "no space left"]);
        assert_eq!(error.effect_text(), Some("nothing was stored"));
        assert!(Kind::Internal.exit_code() < 126);
    }
}
