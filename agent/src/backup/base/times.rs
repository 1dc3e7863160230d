//! Which files need not be read, because nobody has written to them since the last base backup
//! (`backup.base_trust = "times"`). The rule, and why it is safe (docs/decisions/base-trust.md):
//!
//! **A file is unchanged** when its device, inode, size, mtime and ctime are those that it had when it was
//! last read, and both times were older than the beginning of that backup by more than [`GRAIN_NS`]. The
//! kernel sets ctime from its clock before each write, and nobody can set it in another way. So a file that
//! was written since has a newer ctime.
//!
//! **This is true only** where the clock never went back, so a file is not trusted
//! 1. unless the same kernel ran all the time, and its clock advanced as its uptime did ([`Clocks`]);
//! 2. unless it is on a file system whose times this kernel sets, in fractions of a second: not on a network,
//!    not where times are whole seconds;
//! 3. after the server changed its timeline, went back, or switched page checksums;
//! 4. where it had bad pages: they must be listed again;
//! 5. after a file was found whose content changed although its times did not ([`Doubt`]), until a full base
//!    backup.
//!
//! To find such a file, every backup reads a share ([`SAMPLE_OF`]) of what it could skip and compares it,
//! each time another share. A full base backup reads everything.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::ops::Range;

use crate::archive::pack::EXTENT_BYTES;
use crate::backup::base::cluster_files::ClusterFile;
use crate::backup::base::context::Context;
use crate::catalog::doubt::Doubt;
use crate::catalog::known_base::{Begin, Clocks, KnownBase, KnownFile};
use crate::clock;
use crate::config::BaseTrust;
use crate::disk;
use crate::error::Result;

/// Files get their times from a clock that ticks every 1 to 10 ms: a second write within a tick leaves no
/// mark.
const GRAIN_NS: i64 = 2 * SECOND_NS;
/// By how much the clock may differ from the uptime: this, and a thousandth of the time between, because
/// clocks are corrected by running them faster or slower.
const CLOCK_OFF_MAX_MS: u64 = 2_000;
/// One piece in so many is read and compared. Which one depends on the hour, and the number is a prime: so
/// backups every hour, day or week read every piece once in so many backups.
const SAMPLE_OF: u64 = 101;
const SECOND_NS: i64 = 1_000_000_000;
const HOUR_NS: i64 = 3600 * SECOND_NS;

/// Trust in the times of files.
#[derive(Clone, Copy, Debug)]
pub struct Times {
    /// When the last base backup began.
    begun_ns: i64,
    /// Which pieces are read as a sample.
    round: u64,
}

/// This moment; `None` where the kernel does not say.
pub fn clocks() -> Option<Clocks> {
    let (boot, uptime) = (disk::boot_id().ok()?, disk::uptime().ok()?);
    let time_ns = i64::try_from(clock::now().as_nanosecond()).ok()?;
    Some(Clocks { boot, uptime_ms: i64::try_from(uptime.as_millis()).ok()?, time_ns })
}

/// Whether times are trusted in this backup, or why not; `None` where they are not wanted: by configuration,
/// and in a full one.
pub fn trusted(
    context: &Context,
    parent: Option<&KnownBase>,
    begin: Begin,
    now: Option<&Clocks>,
) -> Option<std::result::Result<Times, String>> {
    let parent = parent.filter(|_| context.job.backup.base_trust == BaseTrust::Times)?;
    Some(match Doubt::read(&context.job.state.doubt_file()) {
        Ok(None) => follows((parent.begin, parent.clocks.as_ref()), (begin, now)),
        Ok(Some(doubt)) => Err(doubt.text()),
        Err(e) => Err(e.what().to_owned()),
    })
}

/// Whether one moment follows the other on one server and by one clock, which never went back in between.
fn follows(
    (before, then): (Option<Begin>, Option<&Clocks>),
    (begin, now): (Begin, Option<&Clocks>),
) -> std::result::Result<Times, String> {
    let (Some(before), Some(then)) = (before, then) else {
        return Err(
            "the last base backup did not record when it began (the server sent its files, or an older lifeboat \
             made it)"
                .to_owned(),
        );
    };
    let now = now.ok_or("the uptime cannot be read in /proc")?;
    if before.timeline != begin.timeline || before.start_lsn > begin.start_lsn {
        let Begin { start_lsn, timeline, .. } = before;
        return Err(format!(
            "the server is at {} on timeline {}, but the last base backup began at {start_lsn} on timeline \
             {timeline}",
            begin.start_lsn, begin.timeline
        ));
    }
    if before.data_checksums != begin.data_checksums {
        return Err("page checksums were switched on or off since the last base backup".to_owned());
    }
    if then.boot != now.boot {
        return Err("the machine was restarted since the last base backup".to_owned());
    }
    let (passed, by_clock) = (now.uptime_ms - then.uptime_ms, (now.time_ns - then.time_ns) / 1_000_000);
    if passed < 0
        || by_clock < 0
        || passed.abs_diff(by_clock) > CLOCK_OFF_MAX_MS + passed.unsigned_abs() / 1000
    {
        return Err(format!(
            "the clock was set since the last base backup: {} s have passed, but the clock moved by {} s",
            passed / 1000,
            by_clock / 1000
        ));
    }
    Ok(Times { begun_ns: then.time_ns, round: now.time_ns.div_euclid(HOUR_NS).unsigned_abs() })
}

impl Times {
    /// Whether the file is unchanged since the chain's last backup, according to its times.
    pub fn hold(&self, file: &ClusterFile, known: &KnownFile) -> bool {
        let entry = &known.entry;
        let is_same = known.seen == Some(file.seen)
            && (entry.bytes, entry.mtime_ns) == (file.bytes, file.mtime_ns)
            && entry.flaw.is_none();
        let is_old = |time_ns: i64| time_ns < self.begun_ns - GRAIN_NS;
        let in_parts_of_a_second = file.seen.ctime_ns % SECOND_NS != 0;
        is_same && is_old(file.mtime_ns) && is_old(file.seen.ctime_ns) && in_parts_of_a_second
    }

    /// The ranges of such a file that are read as a sample.
    pub fn sample(&self, file: &ClusterFile) -> impl Iterator<Item = Range<u64>> + use<> {
        let mut hasher = DefaultHasher::new();
        file.path.hash(&mut hasher);
        let past = (hasher.finish() % SAMPLE_OF + self.round) % SAMPLE_OF;
        let (extent, bytes) = (EXTENT_BYTES as u64, file.bytes);
        let first = (SAMPLE_OF - past) % SAMPLE_OF;
        let pieces = (first..bytes.div_ceil(extent)).step_by(SAMPLE_OF as usize);
        pieces.map(move |piece| piece * extent..bytes.min((piece + 1) * extent))
    }
}

/// Records that the content of a file changed although its times did not.
pub fn doubt(context: &Context, path: &str) -> Result<Doubt> {
    let doubt = Doubt { path: path.to_owned(), found: clock::now() };
    doubt.keep(&context.job.state.doubt_file())?;
    Ok(doubt)
}

/// Clears that record after a full base backup.
pub fn no_doubt(context: &Context) -> Result<()> {
    disk::remove_file(&context.job.state.doubt_file())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::archive::blake3::Blake3;
    use crate::archive::digest::FileDigest;
    use crate::archive::index::Entry;
    use crate::catalog::known_base::FileIdentity;
    use crate::names::Lsn;
    use crate::names::wal::TimelineId;

    const BEGUN_NS: i64 = 1_800_000_000_123_456_789;
    const OLD_NS: i64 = BEGUN_NS - GRAIN_NS - 1;

    fn file() -> (ClusterFile, KnownFile) {
        let seen = FileIdentity { device: 2049, inode: 77, ctime_ns: OLD_NS };
        let entry = Entry {
            path: "base/5/16384".to_owned(),
            bytes: 1 << 30,
            mode: 0o600,
            mtime_ns: OLD_NS,
            digest: FileDigest::Blake3(Blake3::of(b"")),
            flaw: None,
            tenants: Vec::new(),
            parts: Vec::new(),
        };
        let (path, location, bytes) = (entry.path.clone(), "/none".into(), entry.bytes);
        let file = ClusterFile { path, location, bytes, mtime_ns: OLD_NS, seen, segment: Some(0) };
        (file, KnownFile { entry, block_bytes: 65536, blocks: Default::default(), seen: Some(seen) })
    }

    /// Whether the file is trusted after this was changed of it and of what is known of it.
    fn holds(change: impl Fn(&mut ClusterFile, &mut KnownFile)) -> bool {
        let (mut file, mut known) = file();
        change(&mut file, &mut known);
        Times { begun_ns: BEGUN_NS, round: 0 }.hold(&file, &known)
    }

    #[test]
    fn a_file_is_trusted_only_with_all_of_its_marks_and_old_times() {
        assert!(holds(|_, _| {}));
        assert!(!holds(|file, _| file.bytes += 8192));
        assert!(!holds(|file, _| file.seen.inode += 1));
        assert!(!holds(|file, _| file.seen.device += 1));
        assert!(!holds(|file, _| file.mtime_ns += 1));
        assert!(!holds(|file, _| file.seen.ctime_ns -= 1));
        assert!(!holds(|_, known| known.seen = None), "a server sent it");
        assert!(!holds(|_, known| known.entry.flaw = Some("1 pages".to_owned())));
        let both = |mtime_ns, ctime_ns| {
            holds(move |file, known| {
                (file.mtime_ns, file.seen.ctime_ns) = (mtime_ns, ctime_ns);
                (known.entry.mtime_ns, known.seen) = (mtime_ns, Some(file.seen));
            })
        };
        assert!(both(1, OLD_NS), "a file of another day that was put there");
        assert!(!both(OLD_NS, OLD_NS + 1), "it may have been written once more in the same tick");
        assert!(!both(OLD_NS + 1, OLD_NS));
        assert!(!both(BEGUN_NS + 1, BEGUN_NS + 1), "of the future");
        let whole_second = OLD_NS - OLD_NS % SECOND_NS;
        assert!(!both(whole_second, whole_second), "of a file system that knows no parts of a second");
    }

    #[test]
    fn times_are_trusted_only_where_the_clock_went_on() {
        let begin = Begin { start_lsn: Lsn(500), timeline: TimelineId(3), data_checksums: true };
        let then = Clocks { boot: "a".to_owned(), uptime_ms: 50_000, time_ns: BEGUN_NS };
        let day = 86_400_000;
        let after = |passed: i64, by_clock: i64| Clocks {
            uptime_ms: then.uptime_ms + passed,
            time_ns: then.time_ns + by_clock * 1_000_000,
            ..then.clone()
        };
        let follows = |begin_now: Begin, now: &Clocks| {
            follows((Some(begin), Some(&then)), (begin_now, Some(now))).map(|times| times.begun_ns)
        };
        assert_eq!(follows(begin, &after(day, day)), Ok(BEGUN_NS));
        assert_eq!(follows(begin, &after(day, day + 80_000)), Ok(BEGUN_NS), "it is kept right");
        let refused = |begin_now, now: Clocks, what: &str| {
            let why = follows(begin_now, &now).unwrap_err();
            assert!(why.contains(what), "{why}");
        };
        refused(begin, after(day, day + 100_000), "clock was set");
        refused(begin, after(day, day - 100_000), "clock was set");
        refused(begin, after(5_000, -1), "clock was set");
        refused(begin, after(-5_000, -5_000), "clock was set"); // a machine that was restored to an earlier state
        refused(begin, Clocks { boot: "b".to_owned(), ..after(day, day) }, "was restarted");
        refused(Begin { start_lsn: Lsn(499), ..begin }, after(day, day), "0/1F4 on timeline");
        refused(Begin { timeline: TimelineId(4), ..begin }, after(day, day), "timeline 4");
        refused(Begin { data_checksums: false, ..begin }, after(day, day), "checksums");
        assert!(super::follows((Some(begin), None), (begin, Some(&then))).is_err());
        assert!(super::follows((Some(begin), Some(&then)), (begin, None)).is_err());
    }

    #[test]
    fn every_piece_is_read_once_in_so_many_backups() {
        let (file, _) = file();
        for hours in [1, 24, 168] {
            let mut seen = vec![0; 256];
            for backup in 0..SAMPLE_OF {
                let times = Times { begun_ns: 0, round: 490_000 + backup * hours };
                for piece in times.sample(&file) {
                    assert_eq!(piece.end - piece.start, EXTENT_BYTES as u64);
                    seen[(piece.start / EXTENT_BYTES as u64) as usize] += 1;
                }
            }
            assert!(seen.iter().all(|times| *times == 1), "{hours}: {seen:?}");
        }
        let small = ClusterFile { bytes: 8193, ..file };
        let rounds = (0..SAMPLE_OF).flat_map(|round| Times { begun_ns: 0, round }.sample(&small));
        let whole = 0..8193;
        assert_eq!(rounds.collect::<Vec<_>>(), [whole]);
    }
}
