//! Odoo series ("17.0", "saas~17.4") and the conditions of checks on them.

use std::fmt;
use std::str::FromStr;

use lifeboat::error::{Error, Kind, Result};

/// The series of an Odoo database.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Series {
    /// `17` of 17.0.
    pub major: u16,
    /// `0` of 17.0; above zero for the intermediate series of Odoo's own hosting.
    pub minor: u16,
}

impl Series {
    /// The series in a module's version: `17.0.1.3`, `saas~17.4.1.3`, or the series alone.
    pub fn of_version(version: &str) -> Option<Series> {
        let mut numbers = version.strip_prefix("saas~").unwrap_or(version).split('.');
        let major = numbers.next()?.parse().ok()?;
        let minor = numbers.next()?.parse().ok()?;
        Some(Series { major, minor })
    }
}

impl fmt::Display for Series {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Comparison {
    AtLeast,
    AtMost,
    Above,
    Below,
    Exactly,
}

/// The series for which a check is meant: `*`, or conditions on the major number that must all hold, such as
/// `>=15 <18`. An intermediate series counts as the major series that it follows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Versions {
    conditions: Vec<(Comparison, u16)>,
}

impl Versions {
    /// Whether every series is meant, also an unknown one.
    pub fn all(&self) -> bool {
        self.conditions.is_empty()
    }

    /// Whether this series is meant.
    pub fn include(&self, series: Series) -> bool {
        self.conditions.iter().all(|(comparison, major)| match comparison {
            Comparison::AtLeast => series.major >= *major,
            Comparison::AtMost => series.major <= *major,
            Comparison::Above => series.major > *major,
            Comparison::Below => series.major < *major,
            Comparison::Exactly => series.major == *major,
        })
    }
}

impl FromStr for Versions {
    type Err = Error;
    fn from_str(text: &str) -> Result<Versions> {
        if text.trim() == "*" {
            return Ok(Versions { conditions: Vec::new() });
        }
        let condition = |word: &str| {
            let signs = [
                (">=", Comparison::AtLeast),
                ("<=", Comparison::AtMost),
                (">", Comparison::Above),
                ("<", Comparison::Below),
                ("=", Comparison::Exactly),
            ];
            let (number, comparison) =
                signs.into_iter().find_map(|(sign, c)| word.strip_prefix(sign).map(|number| (number, c)))?;
            Some((comparison, number.parse().ok()?))
        };
        let conditions: Option<Vec<_>> = text.split_whitespace().map(condition).collect();
        match conditions {
            Some(conditions) if !conditions.is_empty() => Ok(Versions { conditions }),
            _ => {
                Err(Error::new(Kind::Config, format!("{text:?} is not `*` or conditions such as `>=17 <19`")))
            }
        }
    }
}

impl fmt::Display for Versions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.all() {
            return f.write_str("*");
        }
        for (at, (comparison, major)) in self.conditions.iter().enumerate() {
            let sign = match comparison {
                Comparison::AtLeast => ">=",
                Comparison::AtMost => "<=",
                Comparison::Above => ">",
                Comparison::Below => "<",
                Comparison::Exactly => "=",
            };
            write!(f, "{}{sign}{major}", if at > 0 { " " } else { "" })?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn series_are_read_from_module_versions() {
        assert_eq!(Series::of_version("17.0.1.3"), Some(Series { major: 17, minor: 0 }));
        assert_eq!(Series::of_version("saas~17.4.1.3"), Some(Series { major: 17, minor: 4 }));
        for bad in ["", "17", "x.y", "1.x"] {
            assert_eq!(Series::of_version(bad), None, "{bad}");
        }
    }

    #[test]
    fn conditions_must_all_hold() {
        let of = |text: &str| text.parse::<Versions>().unwrap();
        let series = |major| Series { major, minor: 0 };
        assert!(of("*").all() && of("*").include(series(8)));
        let some = of(">=15 <18");
        assert_eq!([14, 15, 17, 18].map(|m| some.include(series(m))), [false, true, true, false]);
        assert!(of("=17").include(Series { major: 17, minor: 4 }));
        assert!(of("<=17").include(series(17)) && !of(">17").include(series(17)));
        assert_eq!(some.to_string(), ">=15 <18");
        for bad in ["", "17", ">=x", ">= 17", "~17"] {
            assert!(bad.parse::<Versions>().is_err(), "{bad}");
        }
    }
}
