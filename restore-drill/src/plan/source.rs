//! Values of a plan's file. Every error names the file, the line, the key, the value and what is allowed.
//! Relative paths are relative to the plan's own directory, so that a plan means the same from every current
//! directory.

use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use lifeboat::config::{Pattern, units};
use lifeboat::error::{Error, Kind, Result};
use lifeboat::names::TenantName;
use serde::Deserialize;
use toml::Spanned;

use super::accept::{Acceptance, end_of_day};
use super::target::Goal;

/// A known violation as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawAccept {
    check: Spanned<String>,
    max: Spanned<u64>,
    reason: Spanned<String>,
    until: Spanned<String>,
}

/// The text of the plan, for its values and for errors with a line.
pub(super) struct Source<'a> {
    /// The file.
    pub path: &'a Path,
    /// Its content.
    pub text: &'a str,
}

impl Source<'_> {
    pub fn wrong(&self, offset: usize, what: &str) -> Error {
        let (line, key) = place_of(self.text, offset);
        let key = key.map(|key| format!("{key}: ")).unwrap_or_default();
        Error::new(Kind::Config, format!("{}, line {line}: {key}{what}", self.path.display()))
            .effect("no drill was run")
            .next("restore-drill run --help lists the keys of a plan")
    }

    pub fn syntax(&self, error: &toml::de::Error) -> Error {
        let message = error.message().replace('\n', "; ");
        match error.span() {
            // A missing key has no line: its span is the whole table.
            Some(span) if !message.starts_with("missing field") => self.wrong(span.start, &message),
            _ => self.whole(&message),
        }
    }

    /// An error of the plan as a whole.
    pub fn whole(&self, what: &str) -> Error {
        Error::new(Kind::Config, format!("{}: {what}", self.path.display()))
            .effect("no drill was run")
            .next("restore-drill run --help lists the keys of a plan")
    }

    pub fn name<T: FromStr<Err = Error>>(&self, value: Spanned<String>) -> Result<T> {
        value.as_ref().parse().map_err(|e: Error| self.wrong(value.span().start, e.what()))
    }

    pub fn tenants(
        &self,
        one: Option<Spanned<String>>,
        several: Option<Vec<Spanned<String>>>,
    ) -> Result<Vec<Pattern>> {
        let pattern = |value: Spanned<String>| {
            value
                .as_ref()
                .parse()
                .map_err(|why: String| self.wrong(value.span().start, &format!("{:?} {why}", value.as_ref())))
        };
        match (one, several) {
            (Some(one), None) => Ok(vec![self.name::<TenantName>(one.clone()).and_then(|_| pattern(one))?]),
            (None, Some(several)) if !several.is_empty() => several.into_iter().map(pattern).collect(),
            (Some(one), Some(_)) => {
                Err(self.wrong(one.span().start, "give either tenant or tenants, not both"))
            }
            (None, _) => Err(self.whole("the plan names no tenant: set tenant, tenants or instance = true")),
        }
    }

    pub fn goal(
        &self,
        snapshot: Option<Spanned<String>>,
        release: Option<Spanned<String>>,
        target: Option<Spanned<String>>,
    ) -> Result<Goal> {
        match (snapshot, release, target) {
            (None, None, None) => Ok(Goal::NewestDump),
            (Some(id), None, None) => self.name(id).map(Goal::Dump),
            (None, Some(release), None) => self.name(release).map(Goal::Release),
            (None, None, Some(target)) => self.name(target).map(Goal::Point),
            (_, Some(other), _) | (_, _, Some(other)) => {
                let what = "only one of snapshot, release and target can be set";
                Err(self.wrong(other.span().start, what))
            }
        }
    }

    pub fn count(&self, value: Spanned<u64>, most: usize) -> Result<usize> {
        match usize::try_from(*value.as_ref()) {
            Ok(count) if (1..=most).contains(&count) => Ok(count),
            _ => {
                let what = format!("{} is not between 1 and {most}", value.as_ref());
                Err(self.wrong(value.span().start, &what))
            }
        }
    }

    pub fn path(&self, value: Spanned<String>) -> Result<PathBuf> {
        if value.as_ref().is_empty() {
            return Err(self.wrong(value.span().start, "the path is empty"));
        }
        let beside = self.path.parent().unwrap_or(Path::new("/"));
        Ok(beside.join(value.as_ref()))
    }

    pub fn accepted(&self, raw: Vec<RawAccept>) -> Result<Vec<Acceptance>> {
        let mut accepted: Vec<Acceptance> = Vec::new();
        for RawAccept { check, max, reason, until } in raw {
            if accepted.iter().any(|other| other.check == *check.as_ref()) {
                let what = format!("{:?} is accepted twice", check.as_ref());
                return Err(self.wrong(check.span().start, &what));
            }
            if *max.as_ref() == 0 {
                return Err(self.wrong(max.span().start, "0 accepts nothing"));
            }
            if reason.as_ref().trim().is_empty() {
                return Err(self.wrong(reason.span().start, "say why these violations are accepted"));
            }
            let Some(end) = end_of_day(until.as_ref()) else {
                let what = format!("{:?} is not a day such as 2027-01-31", until.as_ref());
                return Err(self.wrong(until.span().start, &what));
            };
            accepted.push(Acceptance {
                check: check.into_inner(),
                max: max.into_inner(),
                reason: reason.into_inner(),
                until: end,
            });
        }
        Ok(accepted)
    }

    pub fn duration(&self, value: Spanned<String>) -> Result<Duration> {
        self.bounded(value, Duration::from_secs(3650 * 86_400))
    }

    pub fn bounded(&self, value: Spanned<String>, most: Duration) -> Result<Duration> {
        match units::duration(value.as_ref()).map(Duration::from_millis) {
            Some(found) if (Duration::from_secs(1)..=most).contains(&found) => Ok(found),
            Some(_) => {
                let days = most.as_secs() / 86_400;
                let what = format!("{:?} is not between 1s and {days}d", value.as_ref());
                Err(self.wrong(value.span().start, &what))
            }
            None => {
                let what = format!("{:?} is not a duration such as 24h, 30min or 90s", value.as_ref());
                Err(self.wrong(value.span().start, &what))
            }
        }
    }
}

/// The line (from 1) of an offset, and the dotted key that is set there.
fn place_of(text: &str, offset: usize) -> (usize, Option<String>) {
    let before = text.get(..offset).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let section = |line: &str| {
        let inner = line.trim().strip_prefix('[')?.split_once(']')?.0;
        Some(inner.trim_start_matches('[').trim().to_owned())
    };
    let this = text.lines().nth(line - 1).unwrap_or_default();
    let Some((key, _)) = this.split_once('=') else { return (line, section(this)) };
    let table = text.lines().take(line - 1).filter_map(section).last();
    let key = key.trim();
    (line, Some(table.map_or_else(|| key.to_owned(), |table| format!("{table}.{key}"))))
}
