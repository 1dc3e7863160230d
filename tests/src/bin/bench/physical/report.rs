//! What was measured, as a table.

use std::fmt::Write as _;

use crate::measured::{Cost, median};
use crate::stages::Stages;

/// At most this much memory, at any time.
const MEMORY_MAX: u64 = 256 << 20;

/// One thing that was measured with each program, round by round.
pub struct Phase {
    /// In the table.
    pub name: &'static str,
    target: f64,
    ours: Vec<(Cost, u64)>,
    theirs: Vec<(Cost, u64)>,
    show_stored: bool,
    no_more: bool,
}

impl Phase {
    /// Nothing measured yet; Lifeboat's time should be at most `target` of pgBackRest's.
    pub fn new(name: &'static str, target: f64) -> Phase {
        Phase { name, target, ours: Vec::new(), theirs: Vec::new(), show_stored: false, no_more: false }
    }

    /// What was stored is shown.
    pub fn stored(self) -> Phase {
        Phase { show_stored: true, ..self }
    }

    /// Lifeboat should store no more.
    pub fn stored_no_more(self) -> Phase {
        Phase { no_more: true, ..self.stored() }
    }

    /// One measurement.
    pub fn add(&mut self, contender: &str, cost: Cost, stored: u64) {
        let list = if contender == "lifeboat" { &mut self.ours } else { &mut self.theirs };
        list.push((cost, stored));
    }

    fn rows(&self, out: &mut String) {
        let row = |out: &mut String, name: &str, program: &str, of: &[(Cost, u64)], told: &str| {
            let middle = |value: fn(&(Cost, u64)) -> f64| median(of.iter().map(value));
            let peak = of.iter().map(|(cost, _)| cost.peak_bytes).max().unwrap_or(0);
            let stored = match self.show_stored {
                true => format!("{:.1}", middle(|(_, stored)| *stored as f64) / 1e6),
                false => String::new(),
            };
            let _ = writeln!(
                out,
                "| {name} | {program} | {:.2} | {:.2} | {:.0} | {stored} | {told} |",
                middle(|(cost, _)| cost.wall),
                middle(|(cost, _)| cost.cpu),
                peak as f64 / f64::from(1 << 20),
            );
        };
        if self.ours.is_empty() {
            return;
        }
        let Some(ratio) = self.ratio(|cost| cost.wall) else {
            return row(out, self.name, "lifeboat", &self.ours, "| |");
        };
        let of_cpu = self.ratio(|cost| cost.cpu).unwrap_or(f64::NAN);
        let mut told =
            format!("{ratio:.2} | {of_cpu:.2} | at most {}: {}", self.target, verdict(ratio <= self.target));
        if self.no_more {
            let stored = |of: &[(Cost, u64)]| median(of.iter().map(|(_, stored)| *stored as f64));
            let met = verdict(stored(&self.ours) <= stored(&self.theirs));
            let _ = write!(told, "; stores no more: {met}");
        }
        row(out, self.name, "lifeboat", &self.ours, &told);
        row(out, "", "pgBackRest", &self.theirs, "| |");
    }

    /// The middle of the rounds' ratios: both programs of a round had the same neighbours.
    fn ratio(&self, of: fn(&Cost) -> f64) -> Option<f64> {
        let ratios: Vec<f64> =
            self.ours.iter().zip(&self.theirs).map(|((a, _), (b, _))| of(a) / of(b)).collect();
        (!ratios.is_empty()).then(|| median(ratios))
    }
}

/// A table with notes below it.
pub struct Report {
    title: String,
    phases: Vec<Phase>,
    notes: Vec<String>,
}

impl Report {
    /// Nothing in it yet.
    pub fn new(title: String) -> Report {
        Report { title, phases: Vec::new(), notes: Vec::new() }
    }

    /// One more phase.
    pub fn add(&mut self, phase: Phase) {
        self.phases.push(phase);
    }

    /// One more line below the table.
    pub fn note(&mut self, note: String) {
        self.notes.push(note);
    }

    /// How near a full backup comes to what compression alone takes.
    pub fn floor(&mut self, stages: &Stages, bytes: u64) {
        let Some(full) = self.phases.iter().find(|phase| phase.name == "full base backup") else { return };
        let cpus = std::thread::available_parallelism().map_or(1, usize::from) as f64;
        let wall = median(full.ours.iter().map(|(cost, _)| cost.wall));
        let cpu = median(full.ours.iter().map(|(cost, _)| cost.cpu));
        let sum =
            stages.read + stages.blake3 + stages.zstd + stages.age + stages.stored_sha256 + stages.write;
        self.notes.push(format!(
            "Stages alone, CPU s: read {:.2}, BLAKE3 {:.2}, zstd {:.2} ({:.0} MB/s), age {:.2}, SHA-256 as stored {:.2}, write {:.2}. \
             Compression alone on {cpus} CPUs: {:.2} s, {:.0} % of the full backup's wall time; all stages {:.2} CPU s, {:.0} % of its CPU time",
            stages.read,
            stages.blake3,
            stages.zstd,
            bytes as f64 / 1e6 / stages.zstd,
            stages.age,
            stages.stored_sha256,
            stages.write,
            stages.zstd / cpus,
            100.0 * stages.zstd / cpus / wall,
            sum,
            100.0 * sum / cpu,
        ));
    }

    /// In Markdown.
    pub fn text(&self) -> String {
        let mut out = format!("{}\n\n", self.title);
        out.push_str("| phase | program | wall s | CPU s | peak MiB | stored MB | wall, Lifeboat/pgBackRest | CPU | target |\n");
        out.push_str("|---|---|---:|---:|---:|---:|---:|---:|---|\n");
        self.phases.iter().for_each(|phase| phase.rows(&mut out));
        let costs = self.phases.iter().flat_map(|phase| &phase.ours);
        let peak = costs.map(|(cost, _)| cost.peak_bytes).max().unwrap_or(0);
        if peak > 0 {
            let _ = writeln!(
                out,
                "\nMemory: {:.0} MiB at most, allowed {:.0}: {}",
                peak as f64 / f64::from(1 << 20),
                MEMORY_MAX as f64 / f64::from(1 << 20),
                verdict(peak <= MEMORY_MAX)
            );
        }
        for note in &self.notes {
            let _ = writeln!(out, "\n{note}");
        }
        out
    }
}

/// In a word.
pub fn verdict(met: bool) -> &'static str {
    if met { "met" } else { "MISSED" }
}
