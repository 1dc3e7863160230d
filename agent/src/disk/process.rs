//! What this process may use of the machine: its priority, and how many files it may have open.
#![allow(clippy::disallowed_methods)] // a part of the door

use std::fs;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Lowers the CPU priority of this process and its children, and with it (as no I/O class is set) its I/O
/// priority. A refusal is ignored: this is only a courtesy to production.
///
/// On Linux each thread has its own priority, which new threads inherit; some threads already run.
pub fn lower_priority() {
    use rustix::process::{Pid, getpriority_process, setpriority_process};
    let Ok(now) = getpriority_process(None) else { return };
    let lower = (now + 10).min(19);
    let _ = setpriority_process(None, lower);
    for task in fs::read_dir("/proc/self/task").into_iter().flatten().flatten() {
        let id = task.file_name().to_str().and_then(|id| id.parse().ok()).and_then(Pid::from_raw);
        if id.is_some() {
            let _ = setpriority_process(id, lower);
        }
    }
}

/// Lowers the priority of the calling thread and of threads that it will create, in a process with other
/// threads.
pub fn lower_priority_of_thread() {
    let _ = rustix::process::nice(10); // on Linux only of this thread
}

/// How many files this process may have open, at most `wanted`: raises the limit as far as the system allows.
/// Programs that it starts inherit the limit and none of the files.
pub fn may_open(wanted: u64) -> u64 {
    let limit = getrlimit(Resource::Nofile);
    let now = limit.current.unwrap_or(u64::MAX);
    let most = limit.maximum.unwrap_or(u64::MAX).min(wanted);
    if now >= most {
        return now.min(wanted);
    }
    match setrlimit(Resource::Nofile, Rlimit { current: Some(most), maximum: limit.maximum }) {
        Ok(()) => most,
        Err(_) => now,
    }
}
