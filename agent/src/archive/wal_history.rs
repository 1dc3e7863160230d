//! Timeline history files: which timelines a timeline came from, and where each one was left (PostgreSQL
//! `timeline.c`).

use serde::{Deserialize, Serialize};

use crate::error::{Error, Kind, Result};
use crate::names::Lsn;
use crate::names::wal::TimelineId;

/// An ancestor of a timeline.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ancestor {
    /// The ancestor.
    pub timeline: TimelineId,
    /// Its WAL counts up to here, exclusive; from here on the WAL of the next ancestor counts, or of the
    /// timeline itself.
    pub until: Lsn,
}

/// The ancestors of `timeline`, oldest first, from the text of its history file.
///
/// # Errors
/// `Integrity` naming the line that is invalid, or not in ascending order.
pub fn parse_history(timeline: TimelineId, text: &str) -> Result<Vec<Ancestor>> {
    let mut ancestors: Vec<Ancestor> = Vec::new();
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let ancestor = parse_line(line).filter(|found| {
            let rises = ancestors
                .last()
                .is_none_or(|last| last.timeline < found.timeline && last.until <= found.until);
            rises && found.timeline < timeline
        });
        ancestors.push(ancestor.ok_or_else(|| {
            Error::new(
                Kind::Integrity,
                format!("{}.history has an invalid line: {line:.200?}", timeline.in_names()),
            )
        })?);
    }
    if ancestors.is_empty() {
        return Err(Error::new(
            Kind::Integrity,
            format!("{}.history names no ancestor", timeline.in_names()),
        ));
    }
    Ok(ancestors)
}

fn parse_line(line: &str) -> Option<Ancestor> {
    let mut words = line.split_ascii_whitespace();
    let timeline = words.next()?.parse().ok().filter(|id| *id > 0).map(TimelineId)?;
    Some(Ancestor { timeline, until: words.next()?.parse().ok()? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ancestors_come_in_order_and_nonsense_is_refused() {
        let text = "1\t0/3000110\tno recovery target specified\n\n# x\n2\t0/5000000\tbefore 2000-01-01\n";
        let parse = |text: &str| parse_history(TimelineId(3), text);
        let ancestors = parse(text).unwrap();
        assert_eq!(ancestors[0], Ancestor { timeline: TimelineId(1), until: Lsn(0x300_0110) });
        assert_eq!(ancestors[1], Ancestor { timeline: TimelineId(2), until: Lsn(0x500_0000) });
        for bad in ["", "1", "1 x", "x 0/1", "3 0/1", "2 0/5\n1 0/6", "1 0/6\n2 0/5", "0 0/1"] {
            assert!(parse(bad).is_err(), "{bad:?}");
        }
    }
}
