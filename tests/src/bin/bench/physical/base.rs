//! Base backups and restores of the two clusters, beside pgBackRest, in turns.

use std::path::{Path, PathBuf};

use lifeboat_tests::Program;

use super::clusters::{self, assert_same_files, change, cluster_bytes, cluster_files};
use super::options::{Kind, Options};
use super::programs::{Contender, Lifeboat, PgBackRest, tree_bytes};
use super::report::{Phase, Report};
use super::server::{Server, make_own_dir};
use super::tenant;
use crate::aside::set_aside;
use crate::measured::Cost;
use crate::stages;

/// Measures one cluster; its table.
pub fn run(kind: Kind, options: &Options) -> String {
    let source = clusters::make(kind, options);
    let work = &options.work;
    let mut ours = Lifeboat::new(work);
    let mut theirs = options.pgbackrest.as_ref().map(|program| PgBackRest::new(work, program));
    let rounds = options.rounds.unwrap_or(3);
    let version = theirs.as_ref().map_or(String::new(), |peer| format!("; {}", peer.version()));
    let mut report = Report::new(format!(
        "{}: {} files, {:.1} MB; median of {rounds}{version}",
        kind.name(),
        cluster_files(&source),
        cluster_bytes(&source) as f64 / 1e6
    ));
    let restore_target = if kind == Kind::Pgbench { 0.65 } else { 0.4 };
    let mut full = Phase::new("full base backup", 0.65).stored();
    let mut restore = Phase::new("restore, durable", restore_target);
    let mut unchanged =
        Phase::new("incremental, unchanged", if kind == Kind::Tenants { 0.5 } else { 0.8 }).stored();
    let mut by_content = Phase::new("the same, base_trust = \"content\"", 1.0).stored();
    let mut incremental = Phase::new("incremental, 1 % of pages changed", 0.5).stored_no_more();
    for round in 1..=rounds {
        eprintln!("{}: round {round} of {rounds}", kind.name());
        let server = Server::start(&source, &[]);
        let mut all: Vec<&mut dyn Contender> = vec![&mut ours];
        all.extend(theirs.as_mut().map(|peer| peer as &mut dyn Contender));
        if round % 2 == 0 {
            all.reverse(); // who begins changes
        }
        for contender in &mut all {
            contender.begin(&server);
            back_up(&mut full, &**contender, &server, true);
        }
        for contender in &all {
            let to = new_place(work);
            touch_memory(cluster_bytes(&source));
            let cost = contender.restore(&to, &source);
            eprintln!("  restore {}: {cost}", contender.name());
            restore.add(contender.name(), cost, 0);
            assert_same_files(&source, &to);
            recovers(&to);
        }
        for contender in &all {
            let cost = back_up(&mut unchanged, &**contender, &server, false);
            if let Some(reading_all) = contender.backup_by_content() {
                let read = [&cost, &reading_all].map(|cost| read_megabytes(&cost.stdout));
                report.note(format!(
                    "Round {round}: {:.1} MB read where nothing had changed, its own WAL counted; {:.1} by content",
                    read[0], read[1]
                ));
                by_content.add(contender.name(), reading_all, 0);
            }
        }
        let share = change(kind, &server, round);
        eprintln!("  {:.2} % of the pages changed", share * 100.0);
        report.note(format!("Round {round}: {:.2} % of the pages changed", share * 100.0));
        for contender in &all {
            back_up(&mut incremental, &**contender, &server, false);
        }
        if round == rounds && kind == Kind::Tenants {
            report.note(tenant::measure(&ours, &server, work));
        }
    }
    for phase in [full, restore, unchanged, by_content, incremental] {
        report.add(phase);
    }
    if options.stages {
        let stages = stages::measure(&source.join("base"), &work.join("stages"));
        report.floor(&stages, cluster_bytes(&source));
    }
    report.text()
}

fn back_up(phase: &mut Phase, contender: &dyn Contender, server: &Server, full: bool) -> Cost {
    server.settle();
    read_all(&server.data_dir);
    let before = tree_bytes(&contender.repository());
    let cost = contender.backup(server, full);
    let stored = tree_bytes(&contender.repository()) - before;
    eprintln!("  {} {}: {cost}, {:.1} MB stored", phase.name, contender.name(), stored as f64 / 1e6);
    phase.add(contender.name(), cost.clone(), stored);
    cost
}

/// What a base backup of Lifeboat says that it read.
fn read_megabytes(report: &str) -> f64 {
    let report: serde_json::Value = serde_json::from_str(report).unwrap();
    report["read_bytes"].as_f64().unwrap() / 1e6
}

/// Has a cluster in the page cache, so that whoever comes first does not pay for all.
pub fn read_all(dir: &Path) {
    lifeboat_tests::compare::walk(dir, &mut |path| {
        if path.is_file() {
            let _ = std::io::copy(&mut std::fs::File::open(path).unwrap(), &mut std::io::sink());
        }
    });
}

/// Uses so much memory and gives it back: a virtual machine's host takes away what was long free, and
/// whoever needs it next would pay.
pub fn touch_memory(bytes: u64) {
    std::hint::black_box(vec![1_u8; bytes as usize]);
}

/// Where something is restored to: not there yet, in a directory of the server's user.
pub fn new_place(work: &Path) -> PathBuf {
    let parent = work.join("restored");
    set_aside(&parent);
    make_own_dir(&parent);
    parent.join("data")
}

/// A server comes up on it, and takes writes.
fn recovers(restored: &Path) {
    Program::at("/bin/sync".into()).run();
    let mut server = Server::launch(restored, &[]);
    server.wait_until_writable();
    for database in server.databases().iter().take(2) {
        server.psql(database, "create table written as select count(*) as relations from pg_class");
    }
}
