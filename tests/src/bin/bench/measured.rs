//! What running a program costs: wall time, CPU time and peak memory of it and its children.
//!
//! The kernel gives a child's peak memory to the one that waits for it, and counts in what the
//! parent held when it forked. So each program is run by a fresh, small copy of this one.

use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use nix::sys::resource::{Usage, UsageWho, getrusage};

/// The first argument of the copy.
pub const FLAG: &str = "--measure-into";

/// What one run cost, and what it printed.
#[derive(Clone, Debug, Default)]
pub struct Cost {
    /// From start to end.
    pub wall: f64,
    /// User and system seconds, with children.
    pub cpu: f64,
    /// Largest resident set of the program or of one of its children.
    pub peak_bytes: u64,
    /// Standard output.
    pub stdout: String,
}

impl std::fmt::Display for Cost {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mebibytes = self.peak_bytes as f64 / f64::from(1 << 20);
        write!(f, "{:.2} s, {:.2} CPU s, {mebibytes:.0} MiB", self.wall, self.cpu)
    }
}

/// Runs a command with everything written before already on disk.
///
/// # Panics
/// When it fails; with what it printed.
pub fn cost(command: &Command, scratch: &Path) -> Cost {
    cost_if(command, scratch, &[0])
}

/// [`cost`] of a command that ends with one of these exit codes.
///
/// # Panics
/// When it ends with another one.
pub fn cost_if(command: &Command, scratch: &Path, fine: &[i32]) -> Cost {
    rustix::fs::sync();
    let facts = scratch.join("measured");
    let mut copy = Command::new(std::env::current_exe().unwrap());
    copy.arg(FLAG).arg(&facts).arg(command.get_program()).args(command.get_args());
    copy.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default()).env("HOME", scratch);
    for (name, value) in command.get_envs() {
        if let Some(value) = value {
            copy.env(name, value);
        }
    }
    let done = copy.stdin(Stdio::null()).output().unwrap();
    let (stdout, stderr) = (String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
    let is_fine = done.status.code().is_some_and(|code| fine.contains(&code));
    assert!(is_fine, "{command:?} failed: {}\n{stdout}\n{stderr}", done.status);
    let facts = std::fs::read_to_string(&facts).unwrap();
    let mut numbers = facts.split_whitespace().map(|n| n.parse::<f64>().unwrap());
    let mut next = || numbers.next().unwrap();
    Cost { wall: next(), cpu: next(), peak_bytes: next() as u64 * 1024, stdout: stdout.into_owned() }
}

/// The copy: runs the rest of the arguments, and writes wall seconds, CPU seconds and KiB.
pub fn run(mut args: impl Iterator<Item = std::ffi::OsString>) -> ExitCode {
    let (Some(facts), Some(program)) = (args.next(), args.next()) else { return ExitCode::from(2) };
    // What it left running in the background is waited for, and its CPU time counts.
    nix::sys::prctl::set_child_subreaper(true).unwrap();
    let begun = Instant::now();
    let status = Command::new(program).args(args).status().unwrap();
    let wall = begun.elapsed().as_secs_f64();
    while rustix::process::wait(rustix::process::WaitOptions::empty()).is_ok() {}
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN).unwrap();
    std::fs::write(facts, format!("{wall} {} {}", seconds(&usage), usage.max_rss())).unwrap();
    ExitCode::from(status.code().unwrap_or(1) as u8)
}

fn seconds(usage: &Usage) -> f64 {
    let (user, system) = (usage.user_time(), usage.system_time());
    let whole = user.tv_sec() + system.tv_sec();
    whole as f64 + (user.tv_usec() + system.tv_usec()) as f64 / 1e6
}

/// CPU time of all children so far that have ended, with theirs.
pub fn children_cpu() -> f64 {
    seconds(&getrusage(UsageWho::RUSAGE_CHILDREN).unwrap())
}

/// CPU time of this thread so far.
pub fn thread_cpu() -> Duration {
    nix::time::clock_gettime(nix::time::ClockId::CLOCK_THREAD_CPUTIME_ID).unwrap().into()
}

/// The middle of some numbers; the lower of the two middle ones.
pub fn median(numbers: impl IntoIterator<Item = f64>) -> f64 {
    let mut numbers: Vec<f64> = numbers.into_iter().collect();
    numbers.sort_by(f64::total_cmp);
    numbers[(numbers.len() - 1) / 2]
}
