//! The benchmarks: Lifeboat beside restic on the same files, in turns; the memory of each phase;
//! and the pipeline beside its stages. `tests/bench base` and `tests/bench wal`: whole clusters,
//! beside pgBackRest; `tests/bench checkpoint`: the release checkpoint; `tests/bench drill`: restore drills;
//! `tests/bench scale`: ten thousand snapshots. Run them with `tests/bench`.

use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;

use lifeboat_tests::cluster::{Cluster, Options as ClusterOptions};

mod aside;
mod checkpoint;
mod contenders;
mod drill;
mod measured;
mod options;
mod physical;
mod scale;
mod source;
mod stages;
mod table;

use contenders::{Contender, Lifeboat, Restic};
use measured::Cost;
use options::Options;
use source::Source;
use stages::Stages;

/// What one contender did in one round.
#[derive(Default)]
pub struct Round {
    first: Cost,
    unchanged: Cost,
    restore: Cost,
    /// Seconds after the restore until all of it was on disk.
    settling: f64,
    stored_bytes: u64,
}

fn main() -> ExitCode {
    let mut args = std::env::args_os().skip(1).peekable();
    if args.next_if(|arg| arg == measured::FLAG).is_some() {
        return measured::run(args);
    }
    if args.next_if(|arg| arg == physical::archiver::FLAG).is_some() {
        return physical::archiver::run(args);
    }
    let text = |arg: OsString| arg.to_string_lossy().into_owned();
    let args: Vec<String> = args.map(text).collect();
    if args.first().is_some_and(|what| what == scale::FLAG) {
        return scale::serve(args.into_iter().skip(1));
    }
    if args.iter().any(|arg| arg == "--help" || arg == "-h") {
        let usages = [options::USAGE, physical::USAGE, checkpoint::USAGE, drill::USAGE, scale::USAGE];
        println!("{}", usages.join("\n\n"));
        return ExitCode::SUCCESS;
    }
    if args.first().is_some_and(|what| what == "checkpoint") {
        return checkpoint::run(args[1..].iter().cloned());
    }
    if args.first().is_some_and(|what| what == "drill") {
        return drill::run(args[1..].iter().cloned());
    }
    if args.first().is_some_and(|what| what == "scale") {
        return scale::run(&args[1..]);
    }
    if let Some(what) = args.first().filter(|what| ["base", "wal"].contains(&what.as_str())) {
        return physical::run(what, args[1..].iter().cloned());
    }
    match Options::parse(args.into_iter()) {
        Ok(options) => {
            run(&options);
            ExitCode::SUCCESS
        }
        Err(problem) => {
            eprintln!("bench: {problem}");
            ExitCode::from(2)
        }
    }
}

fn run(options: &Options) {
    let work = &options.work;
    std::fs::create_dir_all(work).unwrap();
    let versions = if options.restic { Restic::version() } else { String::new() };
    eprintln!("making {} files below {}", options.files, work.display());
    let source = Source::make(options);
    let cluster = Cluster::with(ClusterOptions::default());
    source.create_database(&cluster);
    let mut ours = Lifeboat::new(work, &source, &cluster);
    let mut theirs = options.restic.then(|| Restic::new(work, &source));
    let (mut our_rounds, mut their_rounds, mut stage_rounds) = (Vec::new(), Vec::new(), Vec::new());
    // Once unmeasured, so that all find the files in the page cache.
    source.check(&source.dir());
    for number in 1..=options.rounds {
        eprintln!("round {number} of {}", options.rounds);
        if options.stages {
            stage_rounds.push(stages::measure(&source.dir(), &work.join("stages")));
        }
        // Who begins changes from round to round.
        let mut contenders: Vec<&mut dyn Contender> = vec![&mut ours];
        contenders.extend(theirs.as_mut().map(|restic| restic as &mut dyn Contender));
        let mut rounds = round(&mut contenders, &source, number % 2 == 0);
        their_rounds.extend((rounds.len() == 2).then(|| rounds.pop()).flatten());
        our_rounds.extend(rounds.pop());
    }
    let both = ours.both.take();
    drop(theirs);
    drop(cluster);
    let report = table::Report {
        options,
        files: source.files,
        bytes: source.bytes,
        restic: versions,
        ours: our_rounds,
        theirs: their_rounds,
        both,
        stages: (!stage_rounds.is_empty()).then(|| Stages::medians(&stage_rounds)),
    };
    println!("{}", report.text());
    clean(work, options.keep);
}

/// All phases of all contenders, phase by phase.
fn round(contenders: &mut [&mut dyn Contender], source: &Source, backwards: bool) -> Vec<Round> {
    let mut order: Vec<usize> = (0..contenders.len()).collect();
    if backwards {
        order.reverse();
    }
    let mut rounds: Vec<Round> = contenders.iter().map(|_| Round::default()).collect();
    for &n in &order {
        contenders[n].begin();
        rounds[n].first = contenders[n].backup();
        rounds[n].stored_bytes = contenders[n].stored_bytes();
    }
    for &n in &order {
        rounds[n].unchanged = contenders[n].backup();
    }
    for &n in &order {
        let (cost, copy) = contenders[n].restore();
        let begun = std::time::Instant::now();
        rustix::fs::sync();
        rounds[n].settling = begun.elapsed().as_secs_f64();
        rounds[n].restore = cost;
        source.check(&copy);
    }
    rounds
}

fn clean(work: &Path, keep: bool) {
    aside::remove(work, &["lifeboat", "restic", "stages"]);
    if keep {
        return;
    }
    for name in ["odoo", "rows", "made"] {
        let path = work.join(name);
        let _ = std::fs::remove_dir_all(&path).or_else(|_| std::fs::remove_file(&path));
    }
    let _ = std::fs::remove_dir(work); // where nothing of others is in it
}
