//! Whole clusters: base backups, restores and WAL beside pgBackRest on the same server.

pub mod archiver;
mod base;
mod clusters;
mod options;
mod programs;
mod report;
mod server;
mod stream;
mod tenant;
mod wal;

use std::process::ExitCode;

use options::Options;
pub use options::USAGE;

use crate::aside;

/// `tests/bench base` and `tests/bench wal`.
pub fn run(what: &str, args: impl Iterator<Item = String>) -> ExitCode {
    let options = match Options::parse(args) {
        Ok(options) => options,
        Err(problem) => {
            eprintln!("bench: {problem}");
            return ExitCode::from(2);
        }
    };
    std::fs::create_dir_all(&options.work).unwrap();
    if what == "base" {
        for kind in &options.clusters {
            println!("{}", base::run(*kind, &options));
        }
    } else {
        for part in ["archive", "stream", "sync"].into_iter().filter(|part| options.wants(part)) {
            eprintln!("{part}");
            let table = match part {
                "archive" => wal::run(&options),
                "stream" => stream::stream(&options),
                _ => stream::synchronous(&options),
            };
            println!("{table}");
        }
    }
    clean(&options);
    ExitCode::SUCCESS
}

fn clean(options: &Options) {
    aside::remove(&options.work, &["lifeboat", "pgbackrest", "received", "restored", "stages"]);
    if !options.keep {
        let _ = std::fs::remove_dir_all(options.work.join("clusters"));
        let _ = std::fs::remove_dir(&options.work);
    }
}
