//! What was measured, as one table.

use std::fmt::Write as _;

use crate::Round;
use crate::measured::{Cost, median};
use crate::options::Options;
use crate::stages::{self, Stages};

/// At most this much memory, at any time.
const MEMORY_MAX: u64 = 256 << 20;
/// What the composed pipeline should reach of what its stages allow.
const PIPELINE_TARGET: f64 = 0.9;

/// Everything that was measured.
pub struct Report<'a> {
    /// How.
    pub options: &'a Options,
    /// How many files the filestore has.
    pub files: u64,
    /// And bytes.
    pub bytes: u64,
    /// restic's version; empty where it was not measured.
    pub restic: String,
    /// Lifeboat's rounds.
    pub ours: Vec<Round>,
    /// restic's rounds, as many or none.
    pub theirs: Vec<Round>,
    /// A backup of database and filestore with nothing new.
    pub both: Option<Cost>,
    /// Medians of the stages.
    pub stages: Option<Stages>,
}

type Phase = (&'static str, fn(&Round) -> Cost, Option<f64>);

const PHASES: [Phase; 4] = [
    ("first backup", |r| r.first.clone(), Some(0.6)),
    ("unchanged backup", |r| r.unchanged.clone(), Some(0.8)),
    ("restore, last byte", |r| r.restore.clone(), Some(0.9)),
    ("restore, durable", |r| Cost { wall: r.restore.wall + r.settling, ..r.restore.clone() }, None),
];

impl Report<'_> {
    /// The table, in Markdown.
    pub fn text(&self) -> String {
        let mut out = String::new();
        let cpus = cpus();
        let _ = writeln!(
            out,
            "{} files, {:.1} MB, seed {}, {cpus} CPUs, median of {}{}{}\n",
            self.files,
            self.bytes as f64 / 1e6,
            self.options.seed,
            self.ours.len(),
            if self.restic.is_empty() { "" } else { "; " },
            self.restic,
        );
        out.push_str("| phase | program | wall s | CPU s | peak MiB | wall, Lifeboat/restic | target |\n");
        out.push_str("|---|---|---:|---:|---:|---:|---:|\n");
        for (name, cost, target) in PHASES {
            self.phase(&mut out, name, cost, target);
        }
        if let Some(both) = &self.both {
            row(&mut out, "database and filestore, unchanged", "lifeboat", both, "", "");
        }
        let peak = self.ours.iter().flat_map(|r| [&r.first, &r.unchanged, &r.restore]).chain(&self.both);
        let peak = peak.map(|cost| cost.peak_bytes).max().unwrap_or(0);
        let stored = median(self.ours.iter().map(|r| r.stored_bytes as f64));
        let _ = writeln!(
            out,
            "\nMemory: {:.0} MiB at most, allowed {:.0}: {}",
            mebibytes(peak),
            mebibytes(MEMORY_MAX),
            verdict(peak <= MEMORY_MAX)
        );
        let _ = write!(out, "Repository: {:.3} of the files", stored / self.bytes as f64);
        if !self.theirs.is_empty() {
            let stored = median(self.theirs.iter().map(|r| r.stored_bytes as f64));
            let _ = write!(out, " (restic {:.3})", stored / self.bytes as f64);
        }
        out.push('\n');
        if let Some(round) = self.ours.last() {
            let _ = writeln!(out, "The last restore by Lifeboat's own clock: {}", own_stages(&round.restore));
        }
        if let Some(stages) = &self.stages {
            self.pipeline(&mut out, stages, cpus);
        }
        out
    }

    fn phase(&self, out: &mut String, name: &str, of: fn(&Round) -> Cost, target: Option<f64>) {
        let ours = medians(self.ours.iter().map(of));
        let Some(theirs) = (!self.theirs.is_empty()).then(|| medians(self.theirs.iter().map(of))) else {
            return row(out, name, "lifeboat", &ours, "", "");
        };
        let ratio = ours.wall / theirs.wall;
        let told = target.map_or(String::new(), |t| format!("at most {t}: {}", verdict(ratio <= t)));
        row(out, name, "lifeboat", &ours, &format!("{ratio:.2}"), &told);
        row(out, "", "restic", &theirs, "", "");
    }

    fn pipeline(&self, out: &mut String, stages: &Stages, cpus: usize) {
        out.push_str("\n| stage, alone on one thread | CPU s | MB/s |\n|---|---:|---:|\n");
        for (name, seconds) in stages.rows() {
            let rate = self.bytes as f64 / 1e6 / seconds;
            let _ = writeln!(out, "| {name} | {seconds:.2} | {rate:.0} |");
        }
        let composed = medians(self.ours.iter().map(|r| r.first.clone()));
        let (by_clock, by_cpu) = stages::reached(stages, &composed, cpus);
        let _ = writeln!(
            out,
            "| all | {:.2} | |\n\nThe stages allow {:.2} s on {cpus} CPUs (the disk alone takes {:.2} s); \
             the first backup takes {:.2} s wall and {:.2} s CPU.\n\
             Reached by the clock: {by_clock:.2}, target at least {PIPELINE_TARGET}: {}; by CPU time: {by_cpu:.2}",
            stages.cpu(),
            stages.least_wall(cpus),
            stages.write_wall,
            composed.wall,
            composed.cpu,
            verdict(by_clock >= PIPELINE_TARGET),
        );
    }
}

/// What the result of a restore says about its stages.
fn own_stages(restore: &Cost) -> String {
    let told: serde_json::Value = serde_json::from_str(&restore.stdout).unwrap_or_default();
    let stages = told["stages"].as_array().into_iter().flatten();
    let told = stages.map(|stage| {
        let name = stage["name"].as_str().unwrap_or("?");
        format!("{name} {:.2} s", stage["seconds"].as_f64().unwrap_or(f64::NAN))
    });
    told.collect::<Vec<_>>().join(", ")
}

fn row(out: &mut String, phase: &str, program: &str, cost: &Cost, ratio: &str, target: &str) {
    let Cost { wall, cpu, peak_bytes, .. } = cost;
    let peak = mebibytes(*peak_bytes);
    let _ = writeln!(out, "| {phase} | {program} | {wall:.2} | {cpu:.2} | {peak:.0} | {ratio} | {target} |");
}

/// Middle wall and CPU time; of the memory the largest.
fn medians(costs: impl Iterator<Item = Cost>) -> Cost {
    let costs: Vec<Cost> = costs.collect();
    Cost {
        wall: median(costs.iter().map(|c| c.wall)),
        cpu: median(costs.iter().map(|c| c.cpu)),
        peak_bytes: costs.iter().map(|c| c.peak_bytes).max().unwrap_or(0),
        stdout: String::new(),
    }
}

fn verdict(met: bool) -> &'static str {
    if met { "met" } else { "MISSED" }
}

fn mebibytes(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

fn cpus() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}
