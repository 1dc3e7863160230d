//! When freeze windows are open, within a time.

use serde::Serialize;

use crate::clock::Timestamp;
use crate::config::{Freeze, Opens};
use crate::error::{Error, Kind, Result};

/// How many times one window may open.
const OPENINGS_MAX: usize = 100_000;

/// A freeze window that is open once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Opening {
    /// The window's name.
    pub name: String,
    /// From.
    pub begin: Timestamp,
    /// To, which is not in it.
    pub end: Timestamp,
    /// Why.
    pub reason: Option<String>,
}

/// What is open within `from..to`, by its beginning. Openings of one window that touch are one.
///
/// # Errors
/// `Refused` where a window opens too often to be listed.
pub fn openings(freezes: &[Freeze], from: Timestamp, to: Timestamp) -> Result<Vec<Opening>> {
    let mut all = Vec::new();
    for freeze in freezes {
        let mut own: Vec<(Timestamp, Timestamp)> = Vec::new();
        match &freeze.opens {
            Opens::Once(begin, end) if *begin < to && *end > from => own.push((*begin, *end)),
            Opens::Once(..) => {}
            Opens::Again(schedule, lasts) => {
                let mut before = from.checked_sub(*lasts).unwrap_or(from);
                let mut count = 0;
                while let Some(begin) = schedule.next_after(before).filter(|begin| *begin < to) {
                    count += 1;
                    if count > OPENINGS_MAX {
                        return Err(often(&freeze.name));
                    }
                    let end = begin.checked_add(*lasts).unwrap_or(Timestamp::MAX);
                    match own.last_mut() {
                        Some(last) if last.1 >= begin => last.1 = end,
                        _ => own.push((begin, end)),
                    }
                    before = begin;
                }
            }
        }
        let opening =
            |(begin, end)| Opening { name: freeze.name.clone(), begin, end, reason: freeze.reason.clone() };
        all.extend(own.into_iter().map(opening));
    }
    all.sort_by(|a, b| (a.begin, &a.name).cmp(&(b.begin, &b.name)));
    Ok(all)
}

fn often(name: &str) -> Error {
    Error::new(
        Kind::Refused,
        format!("freeze window {name} opens more than {OPENINGS_MAX} times in this time"),
    )
    .effect("nothing was exported")
    .next("export fewer days: --days N")
}
