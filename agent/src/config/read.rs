//! Turns given values into typed ones: one function per type, each applies its key's rule.

use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use jiff::tz::TimeZone;
use toml::de::DeValue;

use super::file::GivenKeys;
use super::given::{Given, Origin, Value, wrong};
use super::keys::{self, Key, Takes};
use super::units;
use crate::crontab::Schedule;
use crate::error::{Error, Kind, Result};
use crate::names::TenantName;

/// Reads a key's value by the key's name: the given value, else the default.
pub struct Reader<'g> {
    given: &'g GivenKeys,
    /// The section that a person named, in place of the `*` of a key's name.
    named: Option<&'g str>,
}

impl<'g> Reader<'g> {
    pub fn new(given: &'g GivenKeys) -> Reader<'g> {
        Reader { given, named: None }
    }

    /// A reader of each section that a person named below `section`, by name.
    pub fn named(&self, section: &str) -> Vec<(&'g str, Reader<'g>)> {
        let given = self.given;
        let below = |key: &'g String| key.strip_prefix(section)?.strip_prefix('.')?.split_once('.');
        let mut names: Vec<&str> = given.keys().filter_map(below).map(|(name, _)| name).collect();
        names.dedup();
        names.into_iter().map(|name| (name, Reader { given, named: Some(name) })).collect()
    }

    /// The key's name as it was given.
    fn full(&self, name: &str) -> String {
        self.named.map_or_else(|| name.to_owned(), |own| name.replace('*', own))
    }

    /// The key, and its given value or its default, if there is either.
    fn find(&self, name: &'static str) -> Result<(&'static Key, Option<Given>)> {
        let key = keys::find(name)
            .ok_or_else(|| Error::new(Kind::Internal, format!("{name} is not in the table of keys")))?;
        if let Some(given) = self.given.get(&self.full(name)) {
            return Ok((key, Some(given.clone())));
        }
        let Some(default) = key.default else { return Ok((key, None)) };
        let value = DeValue::parse(default).map_err(|e| {
            Error::new(Kind::Internal, format!("the default of {name} is not TOML")).because(e)
        })?;
        let given = Given::new(Value::from_toml(value.get_ref()), Origin::Default, default);
        Ok((key, Some(if self.named.is_some() { given.called(&self.full(name)) } else { given })))
    }

    /// The key's whole name, its value or default, and the line of the value in the file; `None` without any.
    pub fn settled(&self, key: &'static Key) -> Result<Option<(String, Value, Option<usize>)>> {
        let (_, given) = self.find(key.name)?;
        Ok(given.map(|given| {
            let line = match given.origin {
                Origin::File { line, .. } => Some(line),
                _ => None,
            };
            (self.full(key.name), given.value, line)
        }))
    }

    fn required(&self, name: &'static str) -> Result<(&'static Key, Given)> {
        match self.find(name)? {
            (key, Some(given)) => Ok((key, given)),
            (key, None) => Err(Error::new(Kind::Internal, format!("{} has no default", key.name))),
        }
    }

    /// Whether the key is set.
    pub fn is_given(&self, name: &str) -> bool {
        self.given.contains_key(&self.full(name))
    }

    /// Where the key is set: file, line and key; its name where it is not.
    pub fn place(&self, name: &str) -> String {
        let full = self.full(name);
        self.given.get(&full).map_or_else(|| full.clone(), |given| given.origin.of(&full))
    }

    /// The error for a value that breaks a rule between several keys.
    pub fn refused(&self, name: &'static str, why: &str) -> Error {
        match self.find(name) {
            Ok((key, Some(given))) => given.refused_because(key, why),
            _ => wrong(format!("{}: {why}", self.near(name))),
        }
    }

    /// A key that is not set, with the place of the first key of its section, where a person named that.
    fn near(&self, name: &str) -> String {
        let full = self.full(name);
        let section = full.rsplit_once('.').map_or("", |(section, _)| section);
        let beside = |key: &str| key.strip_prefix(section).is_some_and(|rest| rest.starts_with('.'));
        let origins = self.given.iter().filter(|(key, _)| beside(key)).map(|(_, given)| &given.origin);
        let first = origins.min_by_key(|origin| match origin {
            Origin::File { line, .. } => *line,
            _ => usize::MAX,
        });
        first.filter(|_| self.named.is_some()).map_or_else(|| full.clone(), |origin| origin.of(&full))
    }

    pub fn text(&self, name: &'static str) -> Result<Option<String>> {
        let (key, given) = self.find(name)?;
        given.map(|given| text_of(&given).map(str::to_owned).ok_or_else(|| given.refused(key))).transpose()
    }

    pub fn decimal(&self, name: &'static str) -> Result<Option<f64>> {
        let (key, given) = self.find(name)?;
        let Some(given) = given else { return Ok(None) };
        let number = text_of(&given).and_then(units::decimal);
        number.map(Some).ok_or_else(|| given.refused(key))
    }

    pub fn word(&self, name: &'static str) -> Result<String> {
        let (key, given) = self.required(name)?;
        let text = text_of(&given).ok_or_else(|| given.refused(key))?;
        match key.takes {
            Takes::OneOf(words) if !words.contains(&text) => Err(given.refused(key)),
            _ => Ok(text.to_owned()),
        }
    }

    /// A name type of `names`.
    pub fn parsed<T: FromStr<Err = Error>>(&self, name: &'static str) -> Result<Option<T>> {
        let (key, given) = self.find(name)?;
        let Some(given) = given else { return Ok(None) };
        let text = text_of(&given).ok_or_else(|| given.refused(key))?;
        text.parse().map(Some).map_err(|_| given.refused(key))
    }

    pub fn flag(&self, name: &'static str) -> Result<bool> {
        let (key, given) = self.required(name)?;
        match &given.value {
            Value::Flag(flag) => Ok(*flag),
            Value::Bare(text) => text.parse().map_err(|_| given.refused(key)),
            _ => Err(given.refused(key)),
        }
    }

    pub fn integer(&self, name: &'static str) -> Result<u64> {
        let (key, given) = self.required(name)?;
        let number = match &given.value {
            Value::Integer(number) => Some(*number),
            Value::Bare(text) if text.bytes().all(|byte| byte.is_ascii_digit()) => text.parse().ok(),
            _ => None,
        };
        match (key.takes, number) {
            (Takes::Integer(least, most), Some(number)) if (least..=most).contains(&number) => Ok(number),
            _ => Err(given.refused(key)),
        }
    }

    /// A count; the table of keys keeps every one far below the range of this type.
    pub fn count(&self, name: &'static str) -> Result<usize> {
        Ok(self.integer(name)? as usize)
    }

    pub fn size(&self, name: &'static str) -> Result<u64> {
        let (key, given) = self.required(name)?;
        match (key.takes, text_of(&given).and_then(units::size)) {
            (Takes::Size(least, most), Some(bytes)) if (least..=most).contains(&bytes) => Ok(bytes),
            _ => Err(given.refused(key)),
        }
    }

    /// Bytes a second; `None` is unlimited.
    pub fn rate(&self, name: &'static str) -> Result<Option<u64>> {
        let (key, given) = self.required(name)?;
        match (key.takes, text_of(&given)) {
            (_, Some("unlimited")) => Ok(None),
            (Takes::Rate(least, most), Some(text)) => match units::rate(text) {
                Some(rate) if (least..=most).contains(&rate) => Ok(Some(rate)),
                _ => Err(given.refused(key)),
            },
            _ => Err(given.refused(key)),
        }
    }

    pub fn duration(&self, name: &'static str) -> Result<Duration> {
        let (key, given) = self.required(name)?;
        match (key.takes, text_of(&given).and_then(units::duration)) {
            (Takes::Duration(least, most), Some(ms)) if (least..=most).contains(&ms) => {
                Ok(Duration::from_millis(ms))
            }
            _ => Err(given.refused(key)),
        }
    }

    pub fn path(&self, name: &'static str) -> Result<Option<PathBuf>> {
        let (key, given) = self.find(name)?;
        let Some(given) = given else { return Ok(None) };
        let text = text_of(&given).ok_or_else(|| given.refused(key))?;
        path_of(text, key, &given).map(Some)
    }

    pub fn paths(&self, name: &'static str) -> Result<Vec<PathBuf>> {
        let (key, given) = self.required(name)?;
        items_of(&given)
            .ok_or_else(|| given.refused(key))?
            .iter()
            .map(|text| path_of(text, key, &given))
            .collect()
    }

    /// A list whose items are checked one by one; the error names the item.
    pub fn list<T>(&self, name: &'static str, item: impl Fn(&str) -> Result<T, String>) -> Result<Vec<T>> {
        let (key, given) = self.required(name)?;
        let texts = items_of(&given).ok_or_else(|| given.refused(key))?;
        texts
            .iter()
            .map(|text| {
                item(text).map_err(|why| {
                    let shown: String = text.chars().take(100).collect();
                    given.refused_because(key, &format!("{shown:?} {why}; it takes {}", key.takes))
                })
            })
            .collect()
    }

    /// A URL as it is, or a directory made absolute.
    pub fn url(&self, name: &'static str, schemes: &[&str]) -> Result<Option<String>> {
        let (key, given) = self.find(name)?;
        let Some(given) = given else { return Ok(None) };
        let text = text_of(&given).ok_or_else(|| given.refused(key))?;
        let Some((scheme, rest)) = text.split_once("://") else {
            let path = path_of(text, key, &given)?;
            return path.into_os_string().into_string().map(Some).map_err(|_| given.refused(key));
        };
        // A password before the @, or the token of a URL with a signature (SAS).
        if rest.split('/').next().unwrap_or_default().contains('@') || rest.contains('?') {
            return Err(super::given::secret_refused(&given.origin.of(name), name));
        }
        if !schemes.contains(&scheme) || rest.is_empty() {
            let known: Vec<String> = schemes.iter().map(|scheme| format!("{scheme}://")).collect();
            let why = format!("it takes a directory or a URL that starts with {}", known.join(", "));
            return Err(given.refused_because(key, &why));
        }
        Ok(Some(text.to_owned()))
    }
}

/// A crontab line in this zone.
pub fn schedule_line(read: &Reader<'_>, name: &'static str, zone: &TimeZone) -> Result<Option<Schedule>> {
    let parsed = read.text(name)?.map(|text| Schedule::parse(&text, zone.clone())).transpose();
    parsed.map_err(|why| read.refused(name, &format!("it {why}")))
}

/// The name of a database, as an item of a list.
pub fn tenant(text: &str) -> Result<TenantName, String> {
    text.parse().map_err(|_| "is not a database name (1-63 bytes, no slash, no control character)".to_owned())
}

fn text_of(given: &Given) -> Option<&str> {
    match &given.value {
        Value::Text(text) | Value::Bare(text) if !text.is_empty() && !text.contains('\0') => Some(text),
        _ => None,
    }
}

/// The items of a list; from a variable, separated by commas.
fn items_of(given: &Given) -> Option<Vec<String>> {
    match &given.value {
        Value::List(items) => items
            .iter()
            .map(|item| match item {
                Value::Text(text) if !text.is_empty() => Some(text.clone()),
                _ => None,
            })
            .collect(),
        Value::Bare(text) => Some(text.split(',').map(|item| item.trim().to_owned()).collect()),
        _ => None,
    }
}

fn path_of(text: &str, key: &Key, given: &Given) -> Result<PathBuf> {
    if text.is_empty() || text.contains('\0') {
        return Err(given.refused(key));
    }
    if text == "~" || text.starts_with("~/") {
        return Err(given.refused_because(key, "only a shell expands ~; write the directory in full"));
    }
    let path = given.origin.base().join(text);
    let path = std::path::absolute(&path).map_err(|e| Error::file("find", &path, e))?;
    Ok(plain(&path))
}

/// The path without `.` and doubled slashes, as errors show it; `..` stays: a link may come before it.
fn plain(path: &Path) -> PathBuf {
    path.components().collect()
}
