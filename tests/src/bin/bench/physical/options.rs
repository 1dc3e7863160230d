//! What the benchmarks of a whole cluster are asked to do.

use std::path::PathBuf;

/// Shown with `--help` and with every mistake.
pub const USAGE: &str =
    "usage: tests/bench base [--cluster pgbench|tenants] [--rounds N] [--quick] [--no-peer] [--no-stages]
                        [--scale N] [--tenants N] [--pgbackrest PROGRAM] [--work DIR] [--keep]
       tests/bench wal  [archive] [stream] [sync] [--rounds N] [--quick] [--no-peer] [--segments N]
                        [--pgbackrest PROGRAM] [--work DIR] [--keep]

  --cluster NAME        one of the two clusters only (both)
  --rounds N            how often everything is measured; the tables show medians (3; wal: 1)
  --quick               small clusters and one round: a look, no measurement
  --scale N             pgbench's scale (200: 3 GB)
  --tenants N           how many copies of the dumped tenants (40)
  --segments N          WAL segments that are pushed and replayed (100)
  --pgbackrest PROGRAM  the one to measure (pgbackrest)
  --no-peer             measure Lifeboat only
  --no-stages           do not measure zstd and the other stages one by one
  --work DIR            where everything is made; servers' user must get there (target/bench)
  --keep                leave the clusters, which take minutes to make, for the next run";

/// One of the two clusters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Few large files that compress well.
    Pgbench,
    /// Many small files of real Odoo databases.
    Tenants,
}

impl Kind {
    /// As it is called on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Pgbench => "pgbench",
            Kind::Tenants => "tenants",
        }
    }
}

/// The choices of one run.
#[derive(Clone, Debug)]
pub struct Options {
    /// The clusters.
    pub clusters: Vec<Kind>,
    /// What of WAL is measured; all where empty.
    pub parts: Vec<String>,
    /// Measurements of which the median counts.
    pub rounds: Option<usize>,
    /// pgbench's scale.
    pub scale: u64,
    /// Databases of the other cluster.
    pub tenants: u64,
    /// WAL segments.
    pub segments: u64,
    /// Seconds of each run under load.
    pub load_seconds: u64,
    /// pgBackRest; none where it is not measured.
    pub pgbackrest: Option<PathBuf>,
    /// Whether the stages are measured one by one.
    pub stages: bool,
    /// Everything happens below it.
    pub work: PathBuf,
    /// Whether the clusters stay.
    pub keep: bool,
}

impl Options {
    /// The options of a command line; otherwise what is wrong with it.
    pub fn parse(mut args: impl Iterator<Item = String>) -> Result<Options, String> {
        let mut options = Options {
            clusters: vec![Kind::Pgbench, Kind::Tenants],
            parts: Vec::new(),
            rounds: None,
            scale: 200,
            tenants: 40,
            segments: 100,
            load_seconds: 20,
            pgbackrest: Some("pgbackrest".into()),
            stages: true,
            work: lifeboat_tests::program::workspace_root().join("target/bench"),
            keep: false,
        };
        while let Some(arg) = args.next() {
            let mut value = || args.next().ok_or_else(|| format!("{arg} needs a value\n{USAGE}"));
            let number = |value: String| {
                value.parse::<u64>().map_err(|_| format!("{arg} {value} is not a number\n{USAGE}"))
            };
            match arg.as_str() {
                "--cluster" => {
                    options.clusters = vec![match value()?.as_str() {
                        "pgbench" => Kind::Pgbench,
                        "tenants" => Kind::Tenants,
                        other => return Err(format!("--cluster {other}: pgbench or tenants\n{USAGE}")),
                    }];
                }
                "--rounds" => options.rounds = Some(number(value()?)?.clamp(1, 99) as usize),
                "--scale" => options.scale = number(value()?)?.max(1),
                "--tenants" => options.tenants = number(value()?)?.max(1),
                "--segments" => options.segments = number(value()?)?.clamp(2, 10_000),
                "--pgbackrest" => options.pgbackrest = Some(value()?.into()),
                "--no-peer" => options.pgbackrest = None,
                "--no-stages" => options.stages = false,
                "--keep" => options.keep = true,
                "--quick" => {
                    (options.rounds, options.scale, options.tenants) = (Some(1), 10, 4);
                    (options.segments, options.load_seconds) = (12, 5);
                }
                "--work" => {
                    let dir = value()?;
                    options.work = std::path::absolute(&dir).map_err(|e| format!("--work {dir}: {e}"))?;
                }
                "archive" | "stream" | "sync" => options.parts.push(arg),
                _ => return Err(format!("unknown argument {arg}\n{USAGE}")),
            }
        }
        Ok(options)
    }

    /// Whether this part of the WAL benchmark is wanted.
    pub fn wants(&self, part: &str) -> bool {
        self.parts.is_empty() || self.parts.iter().any(|wanted| wanted == part)
    }
}
