//! When documents were made: counted in steps of ten seconds, for the time since the release and for the two
//! times that it is compared with. Memory does not grow with their number.

use std::time::Duration;

use serde::Serialize;

use crate::clock::Timestamp;

/// The length of a step.
const STEP: Duration = Duration::from_secs(10);
/// The other comparison is so much earlier.
const WEEK: Duration = Duration::from_secs(7 * 24 * 3600);

/// Counts by step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Series {
    since: Timestamp,
    /// From the release on.
    after: Vec<u32>,
    /// From the release backwards.
    before: Vec<u32>,
    /// From a week before the release on.
    week: Vec<u32>,
    /// Whether anything is older than that.
    reaches_back: bool,
}

/// What was made in three times of the same length.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Since the release.
    pub now: u64,
    /// Just before it.
    pub before: u64,
    /// From a week before it; `None` if the tenant has nothing that old.
    pub week: Option<u64>,
}

impl Series {
    /// For a watch of at most this length.
    pub fn new(since: Timestamp, longest: Duration) -> Series {
        let steps = usize::try_from(longest.as_secs().div_ceil(STEP.as_secs())).unwrap_or(usize::MAX);
        let zeros = vec![0; steps];
        Series { since, after: zeros.clone(), before: zeros.clone(), week: zeros, reaches_back: false }
    }

    /// Counts one that was made then.
    pub fn add(&mut self, made: Timestamp) {
        let micros = made.as_microsecond().saturating_sub(self.since.as_microsecond());
        let step = STEP.as_micros() as i64;
        let week = WEEK.as_micros() as i64;
        let mut count = |which: fn(&mut Series) -> &mut Vec<u32>, offset: i64| {
            let at = usize::try_from(offset.div_euclid(step)).ok();
            if let Some(count) = at.and_then(|at| which(self).get_mut(at)) {
                *count = count.saturating_add(1);
            }
        };
        match micros {
            0.. => count(|series| &mut series.after, micros),
            // what was made a moment before is in the first step
            _ => count(|series| &mut series.before, -micros - 1),
        }
        if micros < 0 {
            count(|series| &mut series.week, micros.saturating_add(week));
        }
        self.reaches_back |= micros < -week;
    }

    /// The counts of so much time, in whole steps.
    pub fn counts(&self, elapsed: Duration) -> Counts {
        let steps = usize::try_from(elapsed.as_secs() / STEP.as_secs()).unwrap_or(usize::MAX);
        let sum = |all: &[u32]| all.iter().take(steps).map(|count| u64::from(*count)).sum();
        let week = self.reaches_back.then(|| sum(&self.week));
        Counts { now: sum(&self.after), before: sum(&self.before), week }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::release::made_up::at;

    #[test]
    fn each_is_counted_in_its_time_and_whole_steps_are_compared() {
        let mut series = Series::new(at(0), Duration::from_secs(60));
        for second in [0, 9, 10, 59, 60, -1, -10, -11, -60, -61] {
            series.add(at(second));
        }
        let week = 7 * 24 * 3600;
        [-week, 19 - week, 20 - week].into_iter().for_each(|second| series.add(at(second)));
        let counts = |seconds| series.counts(Duration::from_secs(seconds));
        assert_eq!(counts(9), Counts { now: 0, before: 0, week: None });
        assert_eq!(counts(19), Counts { now: 2, before: 2, week: None });
        assert_eq!(counts(60), Counts { now: 4, before: 4, week: None });
        assert_eq!(counts(600), counts(60), "no longer than the watch");
        series.add(at(-week - 1));
        assert_eq!(series.counts(Duration::from_secs(20)), Counts { now: 3, before: 3, week: Some(2) });
    }
}
