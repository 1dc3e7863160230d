//! Which state is drilled: the newest dump, a named one, or a second of the recovery window.

use std::fmt;
use std::str::FromStr;

use lifeboat::archive::digest::Sha256;
use lifeboat::clock::{self, Timestamp};
use lifeboat::error::{Error, Result};
use lifeboat::inventory::target::ZonedTime;
use lifeboat::inventory::window::Span;
use lifeboat::names::{ReleaseId, SnapshotId};

/// The state that is drilled.
#[derive(Clone, Debug, PartialEq)]
pub enum Goal {
    /// The tenant's newest dump.
    NewestDump,
    /// This dump.
    Dump(SnapshotId),
    /// The newest dump that is tied to this release.
    Release(ReleaseId),
    /// A point in time, from base backup and WAL.
    Point(Moment),
}

/// A point in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// The end of the stored WAL.
    Latest,
    /// A second of the recovery window that nobody chose.
    Random,
    /// This moment.
    At(Timestamp),
}

impl FromStr for Moment {
    type Err = Error;
    fn from_str(text: &str) -> Result<Moment> {
        match text {
            "latest" => Ok(Moment::Latest),
            "random" => Ok(Moment::Random),
            time => time.parse::<ZonedTime>().map(|time| Moment::At(time.0)).map_err(|e| {
                let what = format!("{}; or \"latest\", or \"random\"", e.what());
                Error::new(e.kind(), what)
            }),
        }
    }
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Moment::Latest => f.write_str("latest"),
            Moment::Random => f.write_str("random"),
            Moment::At(time) => f.write_str(&clock::text(*time)),
        }
    }
}

/// The second that a seed chooses for a tenant: every second of the spans is equally likely. `None` where
/// the spans contain no whole second. The same seed, name and spans give the same second.
pub fn second_of(spans: &[Span], seed: u64, name: &str) -> Option<Timestamp> {
    let seconds = |span: &Span| -> (i64, i64) {
        let first = span.from.as_second() + i64::from(span.from.subsec_nanosecond() > 0);
        (first, span.to.as_second() - first + 1)
    };
    let all: i64 = spans.iter().map(|span| seconds(span).1.max(0)).sum();
    if all <= 0 {
        return None;
    }
    let mut at = draw(seed, name) % all.cast_unsigned();
    for span in spans {
        let (first, count) = seconds(span);
        let count = count.max(0).cast_unsigned();
        if at < count {
            return Timestamp::from_second(first + at.cast_signed()).ok();
        }
        at -= count;
    }
    None
}

/// A number that looks random, and that a seed and a name always give again.
pub fn draw(seed: u64, name: &str) -> u64 {
    let digest = Sha256::of(format!("{seed} {name}").as_bytes()).to_string();
    u64::from_str_radix(&digest[..16], 16).unwrap_or(seed)
}

#[cfg(test)]
mod tests {
    use lifeboat::names::Lsn;
    use lifeboat::names::wal::TimelineId;

    use super::*;

    fn span(from: &str, to: &str) -> Span {
        Span {
            base: SnapshotId::new(Timestamp::UNIX_EPOCH, "base"),
            from: from.parse().unwrap(),
            from_lsn: Lsn::default(),
            to: to.parse().unwrap(),
            to_lsn: Lsn::default(),
            timeline: TimelineId(1),
        }
    }

    #[test]
    fn every_second_of_every_span_is_drawn_and_no_other() {
        let spans = [
            span("2026-11-20T00:00:00.5Z", "2026-11-20T00:00:03.2Z"),
            span("2026-11-20T00:01:00Z", "2026-11-20T00:01:00Z"),
        ];
        let drawn: std::collections::BTreeSet<String> =
            (0..200).map(|seed| second_of(&spans, seed, "shop").unwrap().to_string()).collect();
        let all =
            ["00:00:01Z", "00:00:02Z", "00:00:03Z", "00:01:00Z"].map(|time| format!("2026-11-20T{time}"));
        assert_eq!(drawn.into_iter().collect::<Vec<_>>(), all);
        assert_eq!(second_of(&spans, 7, "shop"), second_of(&spans, 7, "shop"));
        assert_eq!(second_of(&[span("2026-11-20T00:00:00.2Z", "2026-11-20T00:00:00.8Z")], 7, "shop"), None);
        assert_eq!(second_of(&[], 7, "shop"), None);
    }

    #[test]
    fn a_moment_is_a_word_or_a_time_with_its_zone() {
        assert_eq!("random".parse::<Moment>().unwrap(), Moment::Random);
        assert_eq!("latest".parse::<Moment>().unwrap(), Moment::Latest);
        let at: Moment = "2026-11-20T03:00:00+01:00".parse().unwrap();
        assert_eq!(at.to_string(), "2026-11-20T02:00:00Z");
        assert!("2026-11-20T03:00:00".parse::<Moment>().is_err());
    }
}
