//! `lifeboat checkpoint` while pgbench writes, beside `pg_dump` of the same database: an instance of 3 GB and
//! one of a tenth of it, each with three tenants and a running agent.

use std::fs;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use lifeboat_tests::cluster::{Cluster, Options as ClusterOptions};
use lifeboat_tests::real::load_all_real;
use lifeboat_tests::site::Site;
use lifeboat_tests::tenant::small_tenant;
use lifeboat_tests::{Program, Running};

use crate::measured::median;

/// Shown with `--help` and with every mistake.
pub const USAGE: &str = "usage: tests/bench checkpoint [--rounds N] [--scale N]

  --rounds N  how many checkpoints of the larger instance (50); of the smaller one, a fifth of it
  --scale N   pgbench's scale of the larger instance (200: 3 GB)";

const TENANTS: usize = 3;
const CLIENTS: &str = "4";
/// The smaller instance has this part of the scale.
const SMALLER: u64 = 10;
/// Of releases, checkpoints come minutes apart at least; here, so that load goes on in between.
const PAUSE: Duration = Duration::from_secs(1);
const MEDIAN_MAX: f64 = 5.0;
const LAST_MAX: f64 = 15.0;
const RATIO_MAX: f64 = 1.2;
/// What a release needs here: drills and approvals of migrations have no time of their own.
const TIERS: &str = "\n[tier.standard]\nnot_required = [\"drill\", \"migration\"]\n";

/// What one instance showed.
struct Instance {
    bytes: f64,
    /// Seconds of each checkpoint but the first, sorted.
    seconds: Vec<f64>,
    /// Of the first one, which reads everything that a restore needs.
    first: f64,
    /// Of `pg_dump` of the largest database.
    dump: f64,
    tps: f64,
}

/// `tests/bench checkpoint`.
pub fn run(mut args: impl Iterator<Item = String>) -> ExitCode {
    let (mut rounds, mut scale) = (50, 200);
    while let Some(arg) = args.next() {
        let number = args.next().and_then(|value| value.parse::<u64>().ok()).filter(|number| *number > 0);
        match (arg.as_str(), number) {
            ("--rounds", Some(number)) => rounds = number,
            ("--scale", Some(number)) => scale = number,
            _ => {
                eprintln!("bench: {arg}\n{USAGE}");
                return ExitCode::from(2);
            }
        }
    }
    let large = measure(scale, rounds);
    let small = measure((scale / SMALLER).max(1), (rounds / 5).max(3));
    println!("{}", report(&large, &small));
    ExitCode::SUCCESS
}

fn measure(scale: u64, rounds: u64) -> Instance {
    eprintln!("making an instance of scale {scale}");
    let settings = [("wal_level", "replica"), ("max_wal_senders", "5"), ("max_wal_size", "8GB")];
    let settings = settings.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
    let cluster = Cluster::with(ClusterOptions { durable: true, settings, ..ClusterOptions::default() });
    let site = Site::local(&cluster);
    let text = fs::read_to_string(site.config()).unwrap();
    fs::write(site.config(), format!("{text}{TIERS}")).unwrap();
    let real = load_all_real(&cluster, &site.data_dir());
    for seed in real.len()..TENANTS {
        small_tenant(&cluster, &site.data_dir(), &format!("shop_{seed}"), seed as u64);
    }
    cluster.create_db("bench");
    client(&cluster, "pgbench", &["-i", "-q", "-s", &scale.to_string(), "bench"]).run().ok();
    let bytes = cluster.psql("postgres", "select sum(pg_database_size(oid)) from pg_database");
    site.back_up(&["--kind", "base"]);
    let _agent = agent(&cluster, &site);
    let mut took = Vec::new();
    let seconds = (rounds * 15).to_string();
    let load =
        client(&cluster, "pgbench", &["-n", "-c", CLIENTS, "-j", "2", "-T", &seconds, "bench"]).spawn();
    let begun = Instant::now();
    let commits =
        || cluster.psql("postgres", "select xact_commit from pg_stat_database where datname = 'bench'");
    let before: f64 = commits().parse().unwrap();
    for round in 0..=rounds {
        let release = format!("2026.11.29-{round}");
        let begun = Instant::now();
        site.run(&["checkpoint", "--release", &release, "--approved-by", "anna", "--json", "--quiet"])
            .run()
            .ok();
        took.push(begun.elapsed().as_secs_f64());
        eprintln!("  {:.2} s", took[took.len() - 1]);
        std::thread::sleep(PAUSE);
    }
    let tps = (commits().parse::<f64>().unwrap() - before) / begun.elapsed().as_secs_f64();
    let dump = Instant::now();
    client(&cluster, "pg_dump", &["-Fc", "-Z1", "--no-sync", "-f", "/dev/null", "bench"]).run().ok();
    let dump = dump.elapsed().as_secs_f64();
    load.kill9();
    let first = took.remove(0);
    took.sort_by(f64::total_cmp);
    Instance { bytes: bytes.parse().unwrap(), seconds: took, first, dump, tps }
}

fn client(cluster: &Cluster, name: &str, args: &[&str]) -> Program {
    let port = cluster.port().to_string();
    let program = Program::at(cluster.bin_dir().join(name)).limit(Duration::from_secs(3600));
    let program = program.args(["-h", &cluster.host(), "-p", &port, "-U", cluster.user()].map(str::to_owned));
    program.args(args.iter().map(|arg| (*arg).to_owned()))
}

/// An agent that streams.
pub fn agent(cluster: &Cluster, site: &Site) -> Running {
    let agent = site.run(&["agent", "--no-progress"]).limit(Duration::from_secs(4 * 3600)).spawn();
    let streams = "select count(*) from pg_replication_slots where slot_name = 'lifeboat' and active";
    let deadline = Instant::now() + Duration::from_secs(60);
    while cluster.psql("postgres", streams) != "1" {
        assert!(Instant::now() < deadline, "the agent does not stream: {}", agent.stderr_so_far());
        std::thread::sleep(Duration::from_millis(50));
    }
    agent
}

fn report(large: &Instance, small: &Instance) -> String {
    let verdict = |met: bool| if met { "met" } else { "MISSED" };
    let middle = |of: &Instance| median(of.seconds.iter().copied());
    let last = |of: &Instance| of.seconds[(of.seconds.len() * 99).div_ceil(100) - 1];
    let mut out = format!(
        "`lifeboat checkpoint` with {TENANTS} tenants while pgbench writes ({CLIENTS} clients), {} and {} of them\n\n\
         | instance | commits/s | first, s | median, s | 99th percentile, s | pg_dump, s |\n|---|---:|---:|---:|---:|---:|\n",
        large.seconds.len(),
        small.seconds.len(),
    );
    for one in [large, small] {
        out += &format!(
            "| {:.1} GB | {:.0} | {:.2} | {:.2} | {:.2} | {:.1} |\n",
            one.bytes / 1e9,
            one.tps,
            one.first,
            middle(one),
            last(one),
            one.dump
        );
    }
    let ratio = middle(large) / middle(small);
    out += &format!(
        "\nMedian at most {MEDIAN_MAX} s: {}; 99th percentile at most {LAST_MAX} s: {}; the larger one takes {ratio:.2} \
         of the smaller one's time, at most {RATIO_MAX}: {}\n",
        verdict(middle(large) <= MEDIAN_MAX),
        verdict(last(large) <= LAST_MAX),
        verdict(ratio <= RATIO_MAX),
    );
    out
}
