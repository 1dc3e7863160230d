//! The agent streaming under load: how soon commits are in the repository, what it costs the
//! server, and commits that wait for it, beside a local pg_receivewal.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant, SystemTime};

use lifeboat_tests::S3;

use super::clusters;
use super::options::Options;
use super::programs::{Contender, Lifeboat};
use super::report::verdict;
use super::server::{Server, as_server_user, init, make_own_dir};
use crate::aside::set_aside;
use crate::measured::median;

/// pgbench's scale.
const SCALE: u64 = 50;
const CLIENTS: &str = "8";
/// A commit should be in the repository within this time.
const WITHIN: f64 = 2.0;
/// So many of them.
const SHARE: f64 = 0.99;
/// What pgbench should keep of its throughput.
const KEPT: f64 = 0.9;
/// Where the server was is written down this often.
const SAMPLE: Duration = Duration::from_millis(50);
const LIMIT: Duration = Duration::from_secs(60);

/// What pgbench said of one run.
struct Load {
    tps: f64,
    latency_ms: f64,
}

/// Where the server was at a moment, and how many commits it had made.
struct Sample {
    at: SystemTime,
    lsn: u64,
    commits: f64,
}

fn cluster(options: &Options) -> Server {
    let data = options.work.join("clusters/stream");
    let _ = fs::remove_dir_all(&data);
    init(&data);
    let server = Server::start(&data, &[]);
    clusters::pgbench(&server, SCALE.min(options.scale));
    server.settle();
    server
}

/// Throughput with and without the agent, and how soon commits are stored on a local S3 server.
pub fn stream(options: &Options) -> String {
    let server = cluster(options);
    let s3 = S3::start();
    let mut ours = Lifeboat::new(&options.work);
    let rounds = options.rounds.unwrap_or(2);
    let (mut without, mut with, mut received) = (Vec::new(), Vec::new(), Vec::new());
    let (mut shares, mut worst) = (Vec::new(), Vec::new());
    let (mut peak, mut costs) = (0, Vec::new());
    for round in 0..rounds {
        for turn in 0..3 {
            server.settle();
            let turn = (round + turn) % 3; // who begins changes
            if turn == 0 {
                let (load, _) = watched(&server, options.load_seconds);
                eprintln!("  without the agent: {:.0} tps", load.tps);
                without.push(load);
                continue;
            }
            if turn == 1 {
                let running = receive(&server, &options.work, &[]);
                let (load, _) = watched(&server, options.load_seconds);
                eprintln!("  pg_receivewal: {:.0} tps; its CPU {:.2} s", load.tps, running.cpu_seconds());
                received.push(load);
                continue;
            }
            ours.begin_in(&server, Some(&s3));
            let running = Agent::start(&ours, &server);
            let (cpu, lsn) = ([running.cpu_seconds(), process_cpu(Path::new("/proc/self"))], lsn(&server));
            let (load, samples) = watched(&server, options.load_seconds);
            let spent = [running.cpu_seconds() - cpu[0], process_cpu(Path::new("/proc/self")) - cpu[1]];
            let written = (self::lsn(&server) - lsn) / 1e6;
            std::thread::sleep(Duration::from_secs(3)); // the last ones arrive
            peak = peak.max(running.peak_bytes());
            drop(running);
            drop_slot(&server, "lifeboat");
            let pieces = pieces(&s3.object(&ours.prefix()));
            let (share, longest) = stored_within(&samples, &pieces);
            eprintln!(
                "  with the agent: {:.0} tps, {:.2} % stored within {WITHIN} s, the last after {longest:.2} s; {written:.0} MB of WAL; \
                 CPU: agent {:.2} s, S3 server and this program {:.2} s; {} objects",
                load.tps,
                share * 100.0,
                spent[0],
                spent[1],
                pieces.len()
            );
            costs.push((written, spent[0], spent[1]));
            with.push(load);
            shares.push(share);
            worst.push(longest);
        }
    }
    let middle = |of: &[Load], value: fn(&Load) -> f64| median(of.iter().map(value));
    let kept = median(with.iter().zip(&without).map(|(with, without)| with.tps / without.tps));
    let kept_by_receiver =
        median(received.iter().zip(&without).map(|(with, without)| with.tps / without.tps));
    let share = median(shares);
    let mut out = format!(
        "Streaming under pgbench ({CLIENTS} clients, {} s each, median of {rounds}) into an S3 server on the same CPUs\n\n\
         | | tps | latency ms |\n|---|---:|---:|\n",
        options.load_seconds
    );
    for (name, of) in [
        ("without the agent", &without),
        ("with the agent", &with),
        ("with pg_receivewal in its place", &received),
    ] {
        out += &format!("| {name} | {:.0} | {:.2} |\n", middle(of, |l| l.tps), middle(of, |l| l.latency_ms));
    }
    out += &format!(
        "\n{:.2} % of the commits were in the repository within {WITHIN} s (target {:.0} %: {}), the slowest after {:.2} s; \
         pgbench keeps {:.2} of its throughput (target {KEPT}: {}; beside a plain pg_receivewal it keeps {:.2}); memory of the agent {:.0} MiB; a run writes {:.0} MB of WAL, \
         for which the agent takes {:.2} CPU s and the S3 server {:.2}\n",
        share * 100.0,
        SHARE * 100.0,
        verdict(share >= SHARE),
        worst.iter().copied().fold(0.0, f64::max),
        kept,
        verdict(kept >= KEPT),
        kept_by_receiver,
        peak as f64 / f64::from(1 << 20),
        median(costs.iter().map(|cost| cost.0)),
        median(costs.iter().map(|cost| cost.1)),
        median(costs.iter().map(|cost| cost.2)),
    );
    out
}

/// Where the server is.
fn lsn(server: &Server) -> f64 {
    server.psql("postgres", "select pg_current_wal_insert_lsn() - '0/0'::pg_lsn").parse().unwrap()
}

/// CPU seconds of the process of this directory of `/proc`, without its children.
fn process_cpu(process: &Path) -> f64 {
    let stat = fs::read_to_string(process.join("stat")).unwrap_or_default();
    // behind the name in brackets; the kernel counts hundredths
    let fields = stat.rsplit_once(')').map_or("", |(_, rest)| rest).split_whitespace().skip(11).take(2);
    fields.filter_map(|field| field.parse::<f64>().ok()).sum::<f64>() / 100.0
}

/// Commits that wait for the repository, beside a local pg_receivewal.
pub fn synchronous(options: &Options) -> String {
    let server = cluster(options);
    let s3 = S3::start();
    let mut ours = Lifeboat::new(&options.work);
    let mut out = format!(
        "RPO 0: commits wait for the standby ({CLIENTS} clients, {} s each)\n\n| standby | commits/s | latency ms |\n|---|---:|---:|\n",
        options.load_seconds / 2
    );
    let mut row = |name: &str, load: Load| {
        out += &format!("| {name} | {:.0} | {:.2} |\n", load.tps, load.latency_ms);
    };
    server.settle();
    row("none", load(&server, options.load_seconds / 2));
    for (name, store) in
        [("lifeboat agent, local directory", None), ("lifeboat agent, local S3 server", Some(&s3))]
    {
        ours.begin_in(&server, store);
        let running = Agent::start_with(&ours, &server, &[("LIFEBOAT_WAL_PIECE_INTERVAL", "0s")]);
        server.settle();
        row(name, waiting_for(&server, "lifeboat", options.load_seconds / 2));
        drop(running);
        drop_slot(&server, "lifeboat");
    }
    let running = receive(&server, &options.work, &["--synchronous"]);
    server.settle();
    row("pg_receivewal --synchronous", waiting_for(&server, "receiver", options.load_seconds / 2));
    drop(running);
    out
}

/// A pg_receivewal that streams into a new directory.
fn receive(server: &Server, work: &Path, options: &[&str]) -> Agent {
    let dir = work.join("received");
    set_aside(&dir);
    make_own_dir(&dir);
    let mut receive = as_server_user(&server.bin("pg_receivewal"));
    receive.args(["-h", &server.host(), "-p", &server.port.to_string(), "-U", "postgres", "--no-loop", "-D"]);
    receive.arg(&dir).args(options).env("PGAPPNAME", "receiver").stdout(Stdio::null()).stderr(Stdio::null());
    let running = Agent(receive.spawn().unwrap());
    wait_until_streaming(server, "receiver");
    running
}

/// Load with this standby in `synchronous_standby_names`.
fn waiting_for(server: &Server, standby: &str, seconds: u64) -> Load {
    let set = |value: &str| {
        server.psql("postgres", &format!("alter system set synchronous_standby_names = '{value}'"));
        server.psql("postgres", "select pg_reload_conf()");
    };
    set(standby);
    let done = load(server, seconds);
    set("");
    done
}

fn load(server: &Server, seconds: u64) -> Load {
    let text = server.run(
        "pgbench",
        &["-n", "-c", CLIENTS, "-j", "2", "-M", "prepared", "-T", &seconds.to_string(), "bench"],
    );
    let number = |before: &str| {
        let rest = text.split_once(before).unwrap_or_else(|| panic!("{before} in {text}")).1;
        rest.split_whitespace().next().unwrap().parse::<f64>().unwrap()
    };
    Load { tps: number("tps = "), latency_ms: number("latency average = ") }
}

/// Load, and where the server was meanwhile. By one connection: one a sample would take more of the CPUs than
/// the agent.
fn watched(server: &Server, seconds: u64) -> (Load, Vec<Sample>) {
    let sample = "select extract(epoch from clock_timestamp()), pg_current_wal_insert_lsn() - '0/0'::pg_lsn, \
                  xact_commit from pg_stat_database where datname = 'bench'";
    let pause = format!("select pg_sleep({})", SAMPLE.as_secs_f64());
    let count = seconds as usize * 1000 / SAMPLE.as_millis() as usize;
    let mut args = vec!["-XAtq", "-v", "ON_ERROR_STOP=1", "-d", "bench"];
    args.extend([["-c", sample], ["-c", &pause]].concat().repeat(count));
    let (load, told) = std::thread::scope(|scope| {
        let load = scope.spawn(|| load(server, seconds));
        let told = server.run("psql", &args);
        (load.join().unwrap(), told)
    });
    let samples = told.lines().filter(|line| line.contains('|')).map(|line| {
        let mut fields = line.split('|').map(|field| field.parse::<f64>().unwrap());
        let mut next = || fields.next().unwrap();
        let at = SystemTime::UNIX_EPOCH + Duration::from_secs_f64(next());
        Sample { at, lsn: next() as u64, commits: next() }
    });
    (load, samples.collect())
}

/// A stored piece: its range of positions, and when it was there.
struct Piece {
    begin: u64,
    end: u64,
    at: SystemTime,
}

fn pieces(repository: &Path) -> Vec<Piece> {
    let mut pieces = Vec::new();
    lifeboat_tests::compare::walk(&repository.join("instances/bench/wal"), &mut |path| {
        if let Some(piece) = piece(path) {
            pieces.push(piece);
        }
    });
    assert!(!pieces.is_empty(), "no WAL below {}", repository.display());
    pieces.sort_by_key(|piece| piece.begin);
    pieces
}

/// `…/<segment>/<begin>-<end>-…`
fn piece(path: &Path) -> Option<Piece> {
    let segment = path.parent()?.file_name()?.to_str()?;
    let (log, number) = (segment.get(8..16)?, segment.get(16..24)?);
    let hex = |text: &str| u64::from_str_radix(text, 16).ok();
    let base = (hex(log)? << 32) + (hex(number)? << 24);
    let mut parts = path.file_name()?.to_str()?.split('-');
    let (begin, end) = (hex(parts.next()?)?, hex(parts.next()?)?);
    Some(Piece { begin: base + begin, end: base + end, at: path.metadata().ok()?.modified().ok()? })
}

/// Of the commits, the share that was stored within [`WITHIN`]; and the longest time, in seconds.
fn stored_within(samples: &[Sample], pieces: &[Piece]) -> (f64, f64) {
    let (mut soon, mut all, mut longest) = (0.0, 0.0, 0.0f64);
    for two in samples.windows(2) {
        // everything up to the later sample's position, committed at the earlier one's time at best
        let (from, to) = (&two[0], &two[1]);
        let commits = to.commits - from.commits;
        let stored = stored_at(pieces, from.lsn, to.lsn);
        let took =
            stored.map_or(f64::INFINITY, |at| at.duration_since(from.at).map_or(0.0, |d| d.as_secs_f64()));
        longest = longest.max(took);
        all += commits;
        soon += if took <= WITHIN { commits } else { 0.0 };
    }
    (soon / f64::max(all, 1.0), longest)
}

/// When all of `from..to` was stored.
fn stored_at(pieces: &[Piece], from: u64, to: u64) -> Option<SystemTime> {
    let mut position = from;
    let mut at = SystemTime::UNIX_EPOCH;
    while position < to {
        let covering = pieces.iter().filter(|piece| piece.begin <= position && piece.end > position);
        let first = covering.min_by_key(|piece| piece.at)?;
        at = at.max(first.at);
        position = first.end;
    }
    Some(at)
}

/// The agent, or another receiver; stopped when dropped.
struct Agent(Child);

impl Agent {
    fn start(ours: &Lifeboat, server: &Server) -> Agent {
        Agent::start_with(ours, server, &[])
    }

    fn start_with(ours: &Lifeboat, server: &Server, env: &[(&str, &str)]) -> Agent {
        let mut command: Command = ours.command(&["agent"]);
        command.envs(env.iter().copied()).current_dir(ours.dir());
        let agent = Agent(command.stdin(Stdio::null()).stdout(Stdio::null()).spawn().unwrap());
        wait_until_streaming(server, "lifeboat");
        agent
    }

    fn cpu_seconds(&self) -> f64 {
        process_cpu(Path::new(&format!("/proc/{}", self.0.id())))
    }

    /// The largest it has been.
    fn peak_bytes(&self) -> u64 {
        super::wal::peak_of(Path::new(&format!("/proc/{}", self.0.id())))
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        lifeboat_tests::children::signal(self.0.id(), rustix::process::Signal::TERM);
        if lifeboat_tests::children::wait(&mut self.0, LIMIT).is_none() {
            let _ = self.0.kill();
            let _ = self.0.wait();
        }
    }
}

fn wait_until_streaming(server: &Server, name: &str) {
    let sql = format!(
        "select count(*) from pg_stat_replication where application_name = '{name}' and state = 'streaming'"
    );
    let deadline = Instant::now() + LIMIT;
    while server.psql("postgres", &sql) != "1" {
        assert!(Instant::now() < deadline, "{name} does not stream:\n{}", server.log());
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn drop_slot(server: &Server, slot: &str) {
    let sql = format!(
        "select pg_drop_replication_slot(slot_name) from pg_replication_slots where slot_name = '{slot}' and not active"
    );
    let deadline = Instant::now() + LIMIT;
    while server
        .psql("postgres", &format!("select count(*) from pg_replication_slots where slot_name = '{slot}'"))
        != "0"
    {
        assert!(Instant::now() < deadline, "the slot {slot} stays in use");
        server.psql("postgres", &sql);
        std::thread::sleep(Duration::from_millis(50));
    }
}
