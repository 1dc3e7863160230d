//! What is shown and planned where much is stored: one instance with 10,000 snapshots and 100,000 WAL
//! objects, and 120 instances with 400 days of snapshots, on a local S3 server of its own process.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};

use lifeboat_tests::long_history::LongHistory;
use lifeboat_tests::program::bin_dir;
use lifeboat_tests::site::Site;
use lifeboat_tests::{S3, Versioned};

use crate::measured::{Cost, cost_if};

/// Shown with `--help` and with every mistake.
pub const USAGE: &str = "usage: tests/bench scale [--instances N] [--days N] [--tenants N] [--segments N]

  --instances N  how many instances of one tenant there are besides the large one (120)
  --days N       days of backups of each instance (400)
  --tenants N    tenants of the large instance; with 400 days, 12 make 10,000 snapshots (12)
  --segments N   WAL objects of the large instance (100000)";

/// The first argument of the server's process.
pub const FLAG: &str = "--serve-history";

const PREFIX: &str = "odoo";
/// The large instance.
const LARGE: &str = "prod";
/// WAL objects a day of the other instances.
const SEGMENTS_A_DAY: u64 = 4;
const CLASS: &str = "window = '30d'\ndaily = 60\nweekly = 20\nmonthly = 12";
const SECONDS_MAX: [(&str, f64); 2] = [("cold", 10.0), ("warm", 2.0)];
const MEMORY_MAX: u64 = 256 << 20;
/// Some of these snapshots may be late by the time that they are asked for: exit code 3.
const FINE: [i32; 2] = [0, 3];

const HEAD: &str = "| command | local catalog | wall s | CPU s | peak MiB | requests | target |\n|---|---|---:|---:|---:|---:|---|\n";

const COMMANDS: [&[&str]; 4] =
    [&["list", "--json"], &["status"], &["window"], &["expire", "--dry-run", "--json"]];

#[derive(Clone, Copy)]
struct Sizes {
    instances: u64,
    days: u64,
    tenants: u64,
    segments: u64,
}

impl Sizes {
    fn parse(mut args: impl Iterator<Item = String>) -> Result<Sizes, String> {
        let mut sizes = Sizes { instances: 120, days: 400, tenants: 12, segments: 100_000 };
        while let Some(arg) = args.next() {
            let number = args.next().and_then(|value| value.parse::<u64>().ok());
            match (arg.as_str(), number) {
                ("--instances", Some(number)) => sizes.instances = number,
                ("--days", Some(number @ 1..)) => sizes.days = number,
                ("--tenants", Some(number @ 1..)) => sizes.tenants = number,
                ("--segments", Some(number @ 1..)) => sizes.segments = number,
                _ => return Err(format!("{arg}\n{USAGE}")),
            }
        }
        Ok(sizes)
    }

    fn large(self) -> LongHistory {
        LongHistory { tenants: self.tenants, days: self.days, segments: self.segments }
    }

    fn small(self) -> LongHistory {
        LongHistory { tenants: 1, days: self.days, segments: self.days * SEGMENTS_A_DAY }
    }
}

/// `tests/bench scale`.
pub fn run(args: &[String]) -> ExitCode {
    let sizes = match Sizes::parse(args.iter().cloned()) {
        Ok(sizes) => sizes,
        Err(problem) => {
            eprintln!("bench: {problem}");
            return ExitCode::from(2);
        }
    };
    let mut server = Server::start(args);
    let mut out = String::new();
    out += &large(&mut server, sizes);
    out += &others(&mut server, sizes);
    out += &fleet(&mut server, sizes);
    println!("{out}");
    ExitCode::SUCCESS
}

/// The rows of the large instance.
fn large(server: &mut Server, sizes: Sizes) -> String {
    let config = server.config(LARGE);
    let mut out = format!(
        "{} snapshots, {} WAL objects; at most {} MiB\n\n\
         {HEAD}",
        sizes.large().snapshots(),
        sizes.segments,
        MEMORY_MAX >> 20
    );
    for command in COMMANDS {
        for (state, seconds_max) in SECONDS_MAX {
            if state == "cold" {
                server.forget(LARGE);
            }
            server.requests();
            let mut lifeboat = server.lifeboat(&config);
            lifeboat.args(command);
            let cost = cost_if(&lifeboat, &server.dir, &FINE);
            let verdict = verdict(&cost, seconds_max);
            let row = row(&command.join(" "), state, &cost, server.requests(), &verdict);
            eprint!("{row}");
            out += &row;
        }
    }
    out
}

/// The rows of all other instances, one after the other.
fn others(server: &mut Server, sizes: Sizes) -> String {
    let instances: Vec<String> = (0..sizes.instances).map(name).collect();
    let mut out = format!(
        "\n{} instances with {} snapshots and {} WAL objects each, one process after the other\n\n\
         {HEAD}",
        sizes.instances,
        sizes.small().snapshots(),
        sizes.small().segments
    );
    for command in [COMMANDS[1], COMMANDS[3]] {
        for state in ["cold", "warm"] {
            let (mut all, mut requests) = (Cost::default(), 0);
            server.requests();
            for instance in &instances {
                if state == "cold" {
                    server.forget(instance);
                }
                let mut lifeboat = server.lifeboat(&server.config(instance));
                lifeboat.args(command);
                let cost = cost_if(&lifeboat, &server.dir, &FINE);
                requests += server.requests();
                all.wall += cost.wall;
                all.cpu += cost.cpu;
                all.peak_bytes = all.peak_bytes.max(cost.peak_bytes);
            }
            let row = row(&command.join(" "), state, &all, requests, "");
            eprint!("{row}");
            out += &row;
        }
    }
    out
}

/// The rows of all other instances at once.
fn fleet(server: &mut Server, sizes: Sizes) -> String {
    let instances: Vec<String> = (0..sizes.instances).map(name).collect();
    let mut out = format!("\nthe same {} instances, one process for all\n\n{HEAD}", sizes.instances);
    for command in ["look", "status", "plan"] {
        server.requests();
        let mut lifeboat = Command::new(bin_dir().join("lifeboat"));
        lifeboat.args(["fleet", command, "--json"]);
        lifeboat.args(instances.iter().map(|instance| server.config(instance)));
        let cost = cost_if(&lifeboat, &server.dir, &FINE);
        let verdict = if command == "look" { String::new() } else { verdict(&cost, SECONDS_MAX[1].1) };
        let row = row(&format!("fleet {command} --json"), "warm", &cost, server.requests(), &verdict);
        eprint!("{row}");
        out += &row;
    }
    out
}

fn row(command: &str, state: &str, cost: &Cost, requests: u64, verdict: &str) -> String {
    let mebibytes = cost.peak_bytes >> 20;
    let Cost { wall, cpu, .. } = cost;
    format!("| {command} | {state} | {wall:.2} | {cpu:.2} | {mebibytes} | {requests} | {verdict} |\n")
}

fn verdict(cost: &Cost, seconds_max: f64) -> String {
    let is_met = cost.wall <= seconds_max && cost.peak_bytes <= MEMORY_MAX;
    format!("at most {seconds_max:.0} s: {}", if is_met { "met" } else { "MISSED" })
}

fn name(number: u64) -> String {
    format!("site-{number:03}")
}

/// The S3 server, in a process of its own.
struct Server {
    child: Child,
    answers: BufReader<std::process::ChildStdout>,
    /// Where configurations and state are.
    dir: PathBuf,
}

impl Server {
    fn start(args: &[String]) -> Server {
        let mut server = Command::new(std::env::current_exe().unwrap());
        server.arg(FLAG).args(args).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = server.spawn().unwrap();
        let answers = BufReader::new(child.stdout.take().unwrap());
        let mut server = Server { child, answers, dir: PathBuf::new() };
        server.dir = PathBuf::from(server.answer());
        server
    }

    fn answer(&mut self) -> String {
        let mut line = String::new();
        assert!(self.answers.read_line(&mut line).unwrap() > 0, "the server ended");
        line.trim_end().to_owned()
    }

    /// How many requests it had since the last call.
    fn requests(&mut self) -> u64 {
        self.child.stdin.as_mut().unwrap().write_all(b"\n").unwrap();
        self.answer().parse().unwrap()
    }

    fn config(&self, instance: &str) -> PathBuf {
        self.dir.join(format!("{instance}.toml"))
    }

    fn lifeboat(&self, config: &Path) -> Command {
        let mut lifeboat = Command::new(bin_dir().join("lifeboat"));
        lifeboat.arg("--config").arg(config);
        lifeboat
    }

    /// Removes what this host knows.
    fn forget(&self, instance: &str) {
        let _ = fs::remove_dir_all(self.dir.join("lifeboat-state").join(instance));
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }
}

/// The server's process: says where its configurations are, then, for each line, how many requests it had
/// since the line before.
pub fn serve(args: impl Iterator<Item = String>) -> ExitCode {
    let sizes = Sizes::parse(args).unwrap();
    let bucket = Versioned::default();
    bucket.keep_no_versions();
    let s3 = S3::versioned(&bucket);
    let site = Site::s3_alone(&s3, PREFIX);
    let text = fs::read_to_string(site.config()).unwrap();
    // A server that is busy with pages answers late.
    let text = text.replace("\"2s\"", "\"60s\"").replace("\"4s\"", "\"120s\"");
    let own = [(LARGE.to_owned(), sizes.large())].into_iter();
    for (instance, history) in own.chain((0..sizes.instances).map(|n| (name(n), sizes.small()))) {
        eprint!("\rmaking {instance}   ");
        let text = text.replacen(&format!("instance = \"{LARGE}\""), &format!("instance = {instance:?}"), 1);
        fs::write(site.path(&format!("{instance}.toml")), history.configured(&text, CLASS)).unwrap();
        history.make(&site, &s3, &bucket, PREFIX, &instance);
    }
    eprintln!();
    println!("{}", site.path("").display());
    for _ in std::io::stdin().lines() {
        println!("{}", s3.faults().log().len());
        s3.faults().clear_log();
    }
    ExitCode::SUCCESS
}
