//! A value as it was given, and the place it came from, so that every error can name both.

use std::path::{Path, PathBuf};

use toml::de::DeValue;

use super::keys::Key;
use crate::error::{Error, Kind};

/// Where a value came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// In the file, on this line.
    File { path: PathBuf, line: usize },
    /// In an environment variable.
    Variable(String),
    /// By a flag of the command line.
    Flag(&'static str),
    /// The default, because nobody set the key.
    Default,
}

impl Origin {
    /// The place as an error's first words: `lifeboat.toml:7: backup.workers`.
    pub fn of(&self, name: &str) -> String {
        match self {
            Origin::File { path, line } => format!("{}:{line}: {name}", path.display()),
            Origin::Variable(variable) => format!("environment variable {variable}"),
            Origin::Flag(flag) => (*flag).to_owned(),
            Origin::Default => name.to_owned(),
        }
    }

    /// The directory to which relative paths from this place are relative.
    pub fn base(&self) -> &Path {
        match self {
            Origin::File { path, .. } => path.parent().unwrap_or(Path::new("")),
            _ => Path::new(""),
        }
    }
}

/// A value before its key's rule was applied.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// Untyped text, from a variable or a flag.
    Bare(String),
    Text(String),
    Integer(u64),
    Flag(bool),
    List(Vec<Value>),
    /// A TOML type that no key accepts.
    Other,
}

impl Value {
    /// Converts the value that the TOML parser read.
    pub fn from_toml(value: &DeValue<'_>) -> Value {
        match value {
            DeValue::String(text) => Value::Text(text.to_string()),
            DeValue::Integer(number) => {
                let digits = number.as_str().replace('_', "");
                u64::from_str_radix(&digits, number.radix()).map_or(Value::Other, Value::Integer)
            }
            DeValue::Boolean(flag) => Value::Flag(*flag),
            DeValue::Array(items) => {
                Value::List(items.iter().map(|item| Value::from_toml(item.get_ref())).collect())
            }
            DeValue::Float(_) | DeValue::Datetime(_) | DeValue::Table(_) => Value::Other,
        }
    }

    /// Whether it contains private key material; such a value is never printed.
    pub fn holds_secret(&self) -> bool {
        match self {
            Value::Bare(text) | Value::Text(text) => looks_secret(text),
            Value::List(items) => items.iter().any(Value::holds_secret),
            _ => false,
        }
    }
}

/// Whether a text is, or contains, a private key.
fn looks_secret(text: &str) -> bool {
    let upper = text.to_ascii_uppercase();
    upper.contains("AGE-SECRET-KEY-") || upper.contains("PRIVATE KEY-----")
}

/// Whether a key of this name would hold a secret itself rather than name the file that does.
pub fn names_secret(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    let secret = [
        "password",
        "passphrase",
        "passwd",
        "secret",
        "token",
        "access_key",
        "private_key",
        "account_key",
        "connection_string",
    ];
    secret.iter().any(|word| name.contains(word)) && !name.ends_with("_file")
}

/// A value and its place.
#[derive(Clone, Debug)]
pub struct Given {
    pub value: Value,
    pub origin: Origin,
    /// As it was written, shortened to one line.
    shown: String,
    /// The name of its key where a person named the section.
    name: Option<String>,
}

impl Given {
    pub fn new(value: Value, origin: Origin, written: &str) -> Given {
        let mut shown: String = written.lines().next().unwrap_or_default().chars().take(80).collect();
        if shown.len() < written.len() {
            shown.push_str("...");
        }
        Given { value, origin, shown, name: None }
    }

    /// The same, for a key whose section a person named.
    pub fn called(self, name: &str) -> Given {
        Given { name: Some(name.to_owned()), ..self }
    }

    /// The error that names the place, the key, the value and what is allowed.
    pub fn refused(&self, key: &Key) -> Error {
        self.refused_because(key, &format!("it takes {}", key.takes))
    }

    /// [`Given::refused`] for a rule that is not in the table of keys.
    pub fn refused_because(&self, key: &Key, why: &str) -> Error {
        let mut why = why.to_owned();
        if let Some(default) = key.default {
            why.push_str(&format!(" (default {default})"));
        }
        let name = self.name.as_deref().unwrap_or(key.name);
        wrong(format!("{} = {}: {why}", self.origin.of(name), self.shown))
    }
}

/// A configuration error with the next step that all of them share.
pub fn wrong(what: String) -> Error {
    wrong_so(what, "correct it, then run `lifeboat doctor`; docs/configuration.md lists every key")
}

/// A configuration error with its own next step.
pub fn wrong_so(what: String, next: impl Into<String>) -> Error {
    Error::new(Kind::Config, what).effect("nothing was done").next(next)
}

/// Refuses a secret in the configuration; says where to put it and never repeats it.
pub fn secret_refused(place: &str, name: &str) -> Error {
    let advice = match name.rsplit('.').next().unwrap_or_default() {
        _ if name.starts_with("postgres") => {
            "write only the password into a file of mode 0600 and name that file in postgres.password_file"
        }
        "passphrase" => {
            "write only the passphrase into a file of mode 0600 and name that file in seal.passphrase_file"
        }
        _ if name.starts_with("repository") => {
            "write the access key, token or connection string into a file of mode 0600 and name that file in \
             repository.credentials_file, or give it in the environment (docs/repositories.md)"
        }
        _ => {
            "write the key into a file of mode 0600 and name that file in seal.identity_files \
             (restore hosts only) or signing.key_file"
        }
    };
    Error::new(Kind::Config, format!("{place} holds a secret; secrets are not allowed in the configuration"))
        .effect("nothing was done; everybody who can read the configuration can read the secret: replace it")
        .next(advice)
}
