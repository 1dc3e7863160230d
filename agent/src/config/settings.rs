//! The values of a configuration file as texts, so that files can be compared.

use std::collections::BTreeMap;
use std::path::Path;

use super::given::Value;
use super::keys::{KEYS, Key, Section, Takes};
use super::read::Reader;
use super::{Config, Inputs, file, units};
use crate::error::Result;

/// A value of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shown {
    /// The same text for the same value, however it is written: `24h` and `1d`, lists in any order.
    pub text: String,
    /// Its line; `None` for a default.
    pub line: Option<usize>,
}

/// The values of one file, by key, such as `backup.workers` or `class.critical.rpo`: what is written, else
/// the default. A key with neither is not in it. This host's environment does not count.
///
/// # Errors
/// Those of reading the file, and `Config` if it is not valid.
pub fn settings(path: &Path) -> Result<BTreeMap<String, Shown>> {
    let (path, text) = file::read(path)?;
    let given = file::parse(&path, &text)?;
    // A pod is told both by its environment, which is not here.
    let missing = |key: &str| (!given.contains_key(key)).then(|| "unknown".to_owned());
    let inputs =
        Inputs { instance: missing("instance"), repository: missing("repository.url"), ..Inputs::default() };
    Config::parse(&path, &text, &inputs)?;
    let (read, mut all) = (Reader::new(&given), BTreeMap::new());
    for key in KEYS {
        let readers = match (key.section(), key.name.split_once(".*.")) {
            (Section::Named, Some((section, _))) => {
                read.named(section).into_iter().map(|(_, own)| own).collect()
            }
            _ => vec![Reader::new(&given)],
        };
        for own in readers {
            if let Some((name, value, line)) = own.settled(key)? {
                all.insert(name, Shown { text: text_of(key, &value), line });
            }
        }
    }
    Ok(all)
}

/// One text for each value.
fn text_of(key: &Key, value: &Value) -> String {
    match (key.takes, value) {
        (Takes::Duration(..), Value::Text(text)) => {
            units::duration(text).map_or_else(|| text.clone(), units::duration_text)
        }
        (Takes::Size(..), Value::Text(text)) => {
            units::size(text).map_or_else(|| text.clone(), units::size_text)
        }
        (_, Value::Text(text) | Value::Bare(text)) => format!("{text:?}"),
        (_, Value::Integer(number)) => number.to_string(),
        (_, Value::Flag(flag)) => flag.to_string(),
        (_, Value::List(items)) => {
            let mut texts: Vec<String> = items.iter().map(|item| text_of(key, item)).collect();
            texts.sort();
            format!("[{}]", texts.join(", "))
        }
        (_, Value::Other) => "?".to_owned(),
    }
}
