//! WAL: pushing segments one after the other as the archiver does, and replaying them, beside
//! pgBackRest with its asynchronous archiving.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::options::Options;
use super::programs::{Contender, Lifeboat, PgBackRest, tree_bytes};
use super::report::{Phase, Report};
use super::server::{Server, init};
use super::{archiver, base, clusters};
use crate::measured::{Cost, children_cpu, cost};

/// pgbench's scale here: WAL is what counts.
const SCALE: u64 = 50;
/// How often the memory of processes is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// Transactions of one load before it is seen how many segments there are.
const LOAD: [&str; 8] = ["-n", "-c", "4", "-j", "2", "-M", "prepared", "-T"];

/// Measures pushing and replaying; their table.
pub fn run(options: &Options) -> String {
    let work = &options.work;
    let data = work.join("clusters/wal");
    let _ = fs::remove_dir_all(&data);
    init(&data);
    let server = Server::start(&data, &[("synchronous_commit", "off")]);
    clusters::pgbench(&server, SCALE.min(options.scale));
    let mut ours = Lifeboat::new(work);
    let mut theirs = options.pgbackrest.as_ref().map(|program| PgBackRest::new(work, program));
    let version = theirs.as_ref().map_or(String::new(), |peer| format!("; {}", peer.version()));
    let mut all: Vec<&mut dyn Contender> = vec![&mut ours];
    all.extend(theirs.as_mut().map(|peer| peer as &mut dyn Contender));
    let first = server.psql("postgres", "select pg_walfile_name(pg_current_wal_lsn())");
    for contender in &mut all {
        contender.begin(&server);
        contender.backup(&server, true);
    }
    let truth = load(&server, options.segments);
    let last = server.psql("postgres", "select pg_walfile_name(pg_switch_wal())");
    server.settle();
    // its port and socket stay the same: pgBackRest has them in its configuration
    drop(server);
    let wanted = |name: &str| name >= first.as_str() && name <= last.as_str();
    archiver::mark_ready(&data, wanted);
    let segments = archiver::ready(&data).len();
    let rounds = options.rounds.unwrap_or(1);
    let mut report = Report::new(format!("{segments} WAL segments; median of {rounds}{version}"));
    let mut pushing = Phase::new("push", 0.8).stored();
    let mut replay = Phase::new("restore_command, to the end of recovery", 1.0);
    for round in 1..=rounds {
        if round % 2 == 0 {
            all.reverse();
        }
        for contender in &all {
            if round > 1 {
                forget_wal(&contender.repository());
            }
            archiver::mark_ready(&data, wanted);
            rustix::fs::sync();
            base::read_all(&data.join("pg_wal"));
            let before = tree_bytes(&contender.repository());
            let cost = cost(&archiver::command(&contender.push_command(), &data), contender.dir());
            let stored = tree_bytes(&contender.repository()) - before;
            eprintln!("  push {}: {cost}, {:.1} MB stored", contender.name(), stored as f64 / 1e6);
            pushing.add(contender.name(), cost, stored);
        }
        for contender in &all {
            let (cost, found) = recover(&**contender, &data, work);
            eprintln!("  replay {}: {cost}", contender.name());
            assert_eq!(found, truth, "{} brought another database back", contender.name());
            replay.add(contender.name(), cost, 0);
        }
    }
    report.add(pushing);
    report.add(replay);
    let _ = fs::remove_dir_all(&data);
    report.text()
}

/// Writes until so many segments are full; what the database holds then.
fn load(server: &Server, segments: u64) -> String {
    let bytes = || {
        let sql = "select pg_current_wal_lsn() - '0/0'::pg_lsn";
        server.psql("postgres", sql).parse::<f64>().unwrap() as u64
    };
    let goal = bytes() + segments * (16 << 20);
    while bytes() < goal {
        server.run("pgbench", &[&LOAD[..], &["2", "bench"]].concat());
        server.psql("postgres", "checkpoint"); // the next ones have whole pages again
    }
    digest(server)
}

fn digest(server: &Server) -> String {
    server.psql(
        "bench",
        "select count(*), sum(abalance), (select count(*) from pgbench_history) from pgbench_accounts",
    )
}

/// Takes what was pushed out of a repository.
fn forget_wal(repository: &Path) {
    for place in ["instances/bench/wal", "archive/bench/15-1"] {
        let dir = repository.join(place);
        for entry in fs::read_dir(&dir).into_iter().flatten().flatten() {
            if entry.path().is_dir() {
                fs::remove_dir_all(entry.path()).unwrap();
            }
        }
    }
}

/// Restores, and measures from the start of the server to the end of its recovery.
fn recover(contender: &dyn Contender, data: &Path, work: &Path) -> (Cost, String) {
    let to = base::new_place(work);
    contender.restore(&to, data);
    // what came with the backup itself is fetched, too, and the target is the end of all WAL
    for entry in fs::read_dir(to.join("pg_wal")).unwrap().flatten() {
        if entry.path().is_file() {
            fs::remove_file(entry.path()).unwrap();
        }
    }
    base::touch_memory(tree_bytes(&to));
    let fetch = contender.fetch_command(&to);
    let peak = Peak::watch(contender.name());
    rustix::fs::sync();
    let settings = [
        ("restore_command", fetch.as_str()),
        ("recovery_target", ""),
        ("recovery_target_timeline", "latest"),
        ("hot_standby", "off"), // so it is ready when recovery has ended, and not before
    ];
    let begun = Instant::now();
    let before = children_cpu();
    let mut server = Server::launch(&to, &settings);
    server.wait_for(&["ready"]);
    let wall = begun.elapsed().as_secs_f64();
    let found = digest(&server);
    let log = server.log();
    drop(server);
    let cpu = children_cpu() - before;
    assert!(log.contains("archive recovery complete"), "{log}");
    (Cost { wall, cpu, peak_bytes: peak.bytes(), stdout: String::new() }, found)
}

/// The largest memory of any process of a program, seen by looking now and then: it is the server that runs
/// them.
struct Peak {
    over: Arc<AtomicBool>,
    thread: JoinHandle<u64>,
}

impl Peak {
    fn watch(contender: &str) -> Peak {
        let (over, name) = (Arc::new(AtomicBool::new(false)), contender.to_lowercase());
        let ended = over.clone();
        let thread = std::thread::spawn(move || {
            let mut peak = 0;
            while !ended.load(Ordering::Relaxed) {
                peak = peak.max(largest(&name));
                std::thread::sleep(LOOK_EVERY);
            }
            peak
        });
        Peak { over, thread }
    }

    fn bytes(self) -> u64 {
        self.over.store(true, Ordering::Relaxed);
        self.thread.join().unwrap()
    }
}

/// Of the processes that run now, each at its largest so far.
fn largest(name: &str) -> u64 {
    let all = fs::read_dir("/proc").unwrap().flatten().map(|entry| entry.path());
    let of_program =
        all.filter(|path| fs::read_to_string(path.join("comm")).is_ok_and(|comm| comm.trim() == name));
    of_program.map(|path| peak_of(&path)).max().unwrap_or(0)
}

/// The largest that the process of this directory of `/proc` has been, in bytes.
pub fn peak_of(process: &Path) -> u64 {
    let status = fs::read_to_string(process.join("status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok()).unwrap_or(0) * 1024
}
