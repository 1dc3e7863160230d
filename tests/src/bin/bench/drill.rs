//! Restore drills of a cluster with many tenants: from dumps, to random seconds, and of all tenants; and how
//! far the time that `lifeboat restore` said was from the time that it took.

use std::fs;
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

use lifeboat_tests::Program;
use lifeboat_tests::cluster::{Cluster, Options as ClusterOptions};
use lifeboat_tests::real::load_all_real;
use lifeboat_tests::site::Site;
use lifeboat_tests::tenant::small_tenant;
use serde_json::Value;

use crate::checkpoint::agent;
use crate::measured::median;

/// Shown with `--help` and with every mistake.
pub const USAGE: &str = "usage: tests/bench drill [--rounds N] [--tenants N]

  --rounds N   drills from a dump, and as many to a random second (20)
  --tenants N  tenants of the cluster, two of which are drilled in those rounds (40)";

/// What an estimate has to learn from before it is judged.
const LEARNT: usize = 10;
const DUMP_MAX: f64 = 30.0;
const POINT_MAX: f64 = 60.0;
const ALL_MAX: f64 = 600.0;
const OVERHEAD_MAX: f64 = 0.25;
const MEDIAN_ERROR_MAX: f64 = 0.1;
const P90_ERROR_MAX: f64 = 0.25;
const LIMIT: Duration = Duration::from_secs(7200);

/// One drill.
struct Drilled {
    total: f64,
    restore: f64,
    /// How far the estimate was off, as a part of the time.
    error: f64,
}

/// `tests/bench drill`.
pub fn run(mut args: impl Iterator<Item = String>) -> ExitCode {
    let (mut rounds, mut tenants) = (20, 40);
    while let Some(arg) = args.next() {
        let number = args.next().and_then(|value| value.parse::<usize>().ok()).filter(|number| *number > 0);
        match (arg.as_str(), number) {
            ("--rounds", Some(number)) => rounds = number,
            ("--tenants", Some(number)) => tenants = number,
            _ => {
                eprintln!("bench: {arg}\n{USAGE}");
                return ExitCode::from(2);
            }
        }
    }
    let settings = [("wal_level", "replica"), ("max_wal_senders", "5"), ("max_wal_size", "8GB")];
    let settings = settings.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
    let cluster = Cluster::with(ClusterOptions { durable: true, settings, ..ClusterOptions::default() });
    let site = Site::local(&cluster);
    eprintln!("making {tenants} tenants");
    let names = make(&cluster, &site, tenants);
    cluster.create_db("load");
    cluster.psql("load", "create table t (n bigint, text text)");
    let _agent = agent(&cluster, &site);
    site.backup(&["--kind", "base"]).limit(LIMIT).run().ok();
    site.backup(&[]).limit(LIMIT).run().ok();
    let (mut dumps, mut points) = (Vec::new(), Vec::new());
    for round in 0..rounds {
        let tenant = &names[round % names.len().min(2)];
        let rows = 20_000 * (1 + round * 7 % 5);
        cluster.psql(
            "load",
            &format!("insert into t select n, repeat(n::text, 50) from generate_series(1, {rows}) n"),
        );
        dumps.push(drill(&site, tenant, ""));
        points.push(drill(&site, tenant, "target = \"random\""));
    }
    eprintln!("drilling all tenants");
    let begun = Instant::now();
    let plan = format!("config = {:?}\ntenants = [\"*\"]\n", site.config().display().to_string());
    let all = site.drill(&names[0], "").limit(LIMIT);
    fs::write(site.path("drill.toml"), plan).unwrap();
    let all: Value = all.arg("--json").run().ok().json();
    let all = (all["drills"].as_array().unwrap().len(), begun.elapsed().as_secs_f64());
    println!("{}", report(&dumps, &points, all));
    ExitCode::SUCCESS
}

/// Real tenants where there are some, and copies of them.
fn make(cluster: &Cluster, site: &Site, tenants: usize) -> Vec<String> {
    let data_dir = site.data_dir();
    let mut names = load_all_real(cluster, &data_dir);
    if names.is_empty() {
        names = ["shop_a", "shop_b"].map(str::to_owned).to_vec();
        for (seed, name) in names.iter().enumerate() {
            small_tenant(cluster, &data_dir, name, seed as u64);
        }
    }
    names.truncate(tenants);
    for number in names.len()..tenants {
        let (of, name) = (names[number % 2].clone(), format!("copy_{number}"));
        cluster.psql("postgres", &format!("create database {name} template {of}"));
        cluster.psql(
            &name,
            "update ir_config_parameter set value = gen_random_uuid() where key = 'database.uuid'",
        );
        let dir = data_dir.join("filestore");
        let copied = Command::new("cp").arg("-al").args([dir.join(of), dir.join(&name)]).status().unwrap();
        assert!(copied.success());
        names.push(name);
    }
    names
}

fn drill(site: &Site, tenant: &str, more: &str) -> Drilled {
    let drilled: Program = site.drill(tenant, more).limit(LIMIT);
    let report = drilled.arg("--json").run().ok().json();
    assert_eq!(report["verdict"], "passed", "{:#}", report["reasons"]);
    let ms: Vec<(&str, f64)> = report["stages"]
        .as_array()
        .unwrap()
        .iter()
        .map(|stage| (stage["name"].as_str().unwrap(), stage["ms"].as_f64().unwrap()))
        .collect();
    let answer = &report["restore_answer"];
    let (said, took) =
        (answer["plan"]["estimate"]["seconds"].as_f64().unwrap(), answer["seconds"].as_f64().unwrap());
    let of = |name: &str| ms.iter().filter(|(stage, _)| *stage == name).map(|(_, ms)| ms / 1e3).sum::<f64>();
    let total = ms.iter().map(|(_, ms)| ms / 1e3).sum::<f64>();
    let shown: Vec<String> =
        ms.iter().filter(|(_, ms)| *ms > 50.0).map(|(name, ms)| format!("{name} {ms}")).collect();
    eprintln!("  {tenant} {more}: {total:.1} s; estimated {said}, took {took:.1}; {}", shown.join(", "));
    Drilled { total, restore: of("restore"), error: (said - took).abs() / took }
}

fn report(dumps: &[Drilled], points: &[Drilled], (tenants, all): (usize, f64)) -> String {
    let verdict = |met: bool| if met { "met" } else { "MISSED" };
    let mut out = "| | median, s | of that `lifeboat restore`, s | over it | target | |\n|---|---:|---:|---:|---:|---|\n".to_owned();
    for (name, drilled, max) in [("from a dump", dumps, DUMP_MAX), ("to a random second", points, POINT_MAX)]
    {
        let total = median(drilled.iter().map(|one| one.total));
        let restore = median(drilled.iter().map(|one| one.restore));
        let over = total / restore - 1.0;
        out += &format!(
            "| {name} | {total:.1} | {restore:.1} | {:.0} % | {max} s, {:.0} % | {}, {} |\n",
            over * 100.0,
            OVERHEAD_MAX * 100.0,
            verdict(total <= max),
            verdict(over <= OVERHEAD_MAX),
        );
    }
    out += &format!(
        "| {tenants} tenants, two at a time | {all:.0} | | | {ALL_MAX} s | {} |\n\n",
        verdict(all <= ALL_MAX)
    );
    for (name, drilled) in [("from a dump", dumps), ("to a random second", points)] {
        let mut errors: Vec<f64> = drilled.iter().skip(LEARNT).map(|one| one.error).collect();
        errors.sort_by(f64::total_cmp);
        let Some(p90) = errors.get((errors.len() * 9).div_ceil(10).saturating_sub(1)) else { continue };
        let middle = median(errors.iter().copied());
        out += &format!(
            "Time estimated {name}, after {LEARNT} drills: median error {:.0} % (at most {:.0} %: {}), 90th percentile {:.0} % (at most {:.0} %: {})\n",
            middle * 100.0,
            MEDIAN_ERROR_MAX * 100.0,
            verdict(middle <= MEDIAN_ERROR_MAX),
            p90 * 100.0,
            P90_ERROR_MAX * 100.0,
            verdict(*p90 <= P90_ERROR_MAX),
        );
    }
    out
}
