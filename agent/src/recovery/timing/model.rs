//! The model of the time: a fixed part and a rate for each kind of bytes, fitted to the restores that were
//! measured.
//!
//! `seconds = fixed + loaded/rate + files/rate + …`. The rates of usual hardware are where it begins. First
//! all of them are scaled to this host, by the median of what restores took against what they should have
//! taken. Then each rate is fitted for itself (least squares of the relative errors, none below zero), as far
//! as the measurements tell it apart from the others; what they do not tell stays as it was. A single restore
//! that was slow for a reason of its own counts little. At the end, a tenant whose own restores are known
//! gets the median of its own errors: its indexes, for instance, cost more than those of others.

use super::{Restore, Way, Work};

/// Restores that an estimate follows from: the newest.
pub const LOOKED_MAX: usize = 60;
/// Of a tenant's own restores, the newest that correct its estimate.
const OWN_MAX: usize = 5;
/// A rate moves away from what is known of it only as far as measurements carry it: against one measurement,
/// the relative distance counts this much.
const HELD: f64 = 0.02;
/// A relative error above this is a restore with a reason of its own.
const USUAL_ERROR: f64 = 0.1;
/// Rounds in which such restores lose their weight.
const ROUNDS: usize = 5;
/// Steps of the fit; it converges long before.
const STEPS: usize = 200;
/// How much less each older restore counts.
const OLDER: f64 = 0.97;

const PARTS: usize = 6;

/// What the time follows from: one, and amounts in MiB or thousands of files.
fn parts(work: &Work) -> [f64; PARTS] {
    let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
    [
        1.0,
        mib(work.loaded_bytes),
        mib(work.file_bytes),
        work.files as f64 / 1e3,
        mib(work.base_bytes),
        mib(work.wal_bytes),
    ]
}

/// Seconds for each part on usual hardware: two cores and one disk.
fn usual(way: Way) -> [f64; PARTS] {
    let fixed = match way {
        Way::Dump => 5.0,
        Way::Point => 12.0,
        Way::Instance => 5.0,
        Way::Files => 2.0,
    };
    let load = if way == Way::Point { 0.1 } else { 1.0 / 15.0 };
    [fixed, load, 0.01, 0.2, 0.01, 0.02]
}

fn time(rates: &[f64; PARTS], parts: &[f64; PARTS]) -> f64 {
    rates.iter().zip(parts).map(|(rate, part)| rate * part).sum()
}

/// How long this work takes after these restores of the same way, the newest first.
pub(super) fn seconds(work: &Work, restores: &[&Restore]) -> f64 {
    let usual = usual(work.way);
    let measured: Vec<_> = restores.iter().map(|one| (parts(&one.work), one.seconds)).collect();
    let Some(scale) = median(measured.iter().map(|(parts, took)| took / time(&usual, parts)).collect())
    else {
        return time(&usual, &parts(work));
    };
    let rates = fitted(&usual.map(|rate| rate * scale), &measured);
    let own = restores.iter().filter(|one| work.tenant.is_some() && one.work.tenant == work.tenant);
    let own = own.take(OWN_MAX).map(|one| one.seconds / time(&rates, &parts(&one.work)));
    time(&rates, &parts(work)) * median(own.collect()).unwrap_or(1.0)
}

/// The rates that fit the measurements best, held to those that are given.
fn fitted(held: &[f64; PARTS], measured: &[([f64; PARTS], f64)]) -> [f64; PARTS] {
    let mut rates = *held;
    for _ in 0..ROUNDS {
        // Weights by age, and by how usual each one is under the rates so far.
        let weighted: Vec<_> = measured
            .iter()
            .enumerate()
            .map(|(age, (parts, took))| {
                let error = (time(&rates, parts) / took - 1.0).abs();
                let weight = OLDER.powi(age as i32) * (USUAL_ERROR / error.max(USUAL_ERROR));
                (weight, parts.map(|part| part / took))
            })
            .collect();
        for _ in 0..STEPS {
            for at in 0..PARTS {
                // The best value of this rate alone: minimizes the sum of weight × (relative error)² and of
                // HELD × (relative distance)².
                let pull = HELD / (held[at] * held[at]);
                let (mut above, mut below) = (pull * held[at], pull);
                for (weight, parts) in &weighted {
                    let rest = 1.0 - time(&rates, parts) + rates[at] * parts[at];
                    above += weight * parts[at] * rest;
                    below += weight * parts[at] * parts[at];
                }
                rates[at] = (above / below).max(0.0);
            }
        }
    }
    rates
}

fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let (below, above) = (values.get(values.len().checked_sub(1)? / 2)?, values.get(values.len() / 2)?);
    Some(f64::midpoint(*below, *above))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Timestamp;

    /// A host with other rates than the usual ones; `noise` in percent of each time.
    fn restore(n: u64, tenant: &str, loaded: u64, wal: u64, noise: i64) -> Restore {
        let mut work = Work::of(Way::Point, Some(&tenant.parse().unwrap()));
        (work.loaded_bytes, work.wal_bytes, work.base_bytes) = (loaded << 20, wal << 20, (loaded + 30) << 20);
        (work.files, work.file_bytes) = (loaded * 3, loaded << 18);
        let rates = [3.0, 0.31, 0.004, 0.05, 0.02, 0.09];
        let seconds = time(&rates, &parts(&work)) * (1.0 + noise as f64 / 100.0);
        Restore { at: Timestamp::from_second(1_800_000_000 + n as i64 * 86_400).unwrap(), work, seconds }
    }

    fn errors(learnt: usize) -> Vec<f64> {
        let drawn = |n: u64, of: u64| (n * 7919 + 104_729).wrapping_mul(2_654_435_761) / 97 % of;
        let noise = |n: u64| drawn(n, 13) as i64 - 6;
        let all: Vec<Restore> = (0..60)
            .map(|n| {
                let tenant = drawn(n, 4);
                restore(n, &format!("t{tenant}"), 20 + 90 * tenant + n / 4, drawn(n + 100, 900), noise(n))
            })
            .collect();
        let mut errors: Vec<f64> = (learnt..60)
            .map(|n| {
                let estimate = all[n].work.clone().estimate_from(&all[..n]);
                (estimate.seconds as f64 / all[n].seconds - 1.0).abs()
            })
            .collect();
        errors.sort_by(f64::total_cmp);
        errors
    }

    #[test]
    fn after_ten_restores_the_error_is_about_that_of_the_measurements() {
        let errors = errors(10);
        let (median, p90) = (errors[errors.len() / 2], errors[errors.len() * 9 / 10]);
        assert!(median < 0.06 && p90 < 0.12, "{median} {p90} {errors:?}");
    }

    #[test]
    fn one_restore_gives_the_scale_and_a_slow_one_spoils_nothing() {
        let first = restore(0, "a", 100, 100, 0);
        let next = restore(1, "b", 200, 100, 0);
        let guess = next.work.clone().estimate_from(&[]);
        let learnt = next.work.clone().estimate_from(std::slice::from_ref(&first));
        let off = |seconds: u64| (seconds as f64 / next.seconds - 1.0).abs();
        assert!(off(guess.seconds) > 0.3 && off(learnt.seconds) < 0.2, "{guess:?} {learnt:?} {next:?}");
        let mut all: Vec<Restore> = (0..12).map(|n| restore(n, "a", 100 + n, 50 * n, 0)).collect();
        all[7].seconds *= 9.0;
        let next = restore(13, "a", 107, 330, 0);
        let learnt = next.work.clone().estimate_from(&all);
        assert!((learnt.seconds as f64 / next.seconds - 1.0).abs() < 0.05, "{learnt:?} {next:?}");
    }

    #[test]
    fn other_ways_teach_nothing_and_nothing_divides_by_zero() {
        let mut other = restore(0, "a", 100, 100, 0);
        other.work.way = Way::Dump;
        let work = restore(0, "a", 100, 100, 0).work;
        assert_eq!(work.clone().estimate_from(&[other]), work.clone().estimate_from(&[]));
        let nothing = Work::of(Way::Files, None);
        let tiny = Restore { at: Timestamp::UNIX_EPOCH, work: nothing.clone(), seconds: 1e-9 };
        assert_eq!(nothing.estimate_from(&[tiny.clone(), tiny]).seconds, 1);
    }
}
