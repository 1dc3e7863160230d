//! What the benchmark is asked to do.

use std::path::PathBuf;

/// Shown with `--help` and with every mistake.
pub const USAGE: &str = "usage: tests/bench [--files N] [--mean-bytes N] [--tiny] [--seed N] [--rounds N]
                   [--no-restic] [--no-stages] [--work DIR] [--keep]

  --files N       how many files the filestore has (20000)
  --mean-bytes N  their mean size (60000: with 20,000 files 1.2 GB)
  --tiny          files of some hundred bytes, for the memory of a million files
  --seed N        the same seed makes the same files (1)
  --rounds N      how often everything is measured; the table shows medians (3)
  --no-restic     measure Lifeboat only
  --no-stages     do not measure the stages of the pipeline one by one
  --work DIR      where everything is made; a round needs some four times the filestore (target/bench)
  --keep          leave the work directory, so that the next run need not make the files again";

/// The choices of one run.
#[derive(Clone, Debug)]
pub struct Options {
    /// How many files.
    pub files: u64,
    /// Their mean size.
    pub mean_bytes: u64,
    /// All of some hundred bytes.
    pub tiny: bool,
    /// Where the content comes from.
    pub seed: u64,
    /// Measurements of which the median counts.
    pub rounds: usize,
    /// Whether restic is measured beside.
    pub restic: bool,
    /// Whether the stages are measured one by one.
    pub stages: bool,
    /// Everything happens below it.
    pub work: PathBuf,
    /// Whether it stays.
    pub keep: bool,
}

impl Options {
    /// The options of a command line; otherwise what is wrong with it.
    pub fn parse(args: impl Iterator<Item = String>) -> Result<Options, String> {
        let root = lifeboat_tests::program::workspace_root();
        let mut options = Options {
            files: 20_000,
            mean_bytes: 60_000,
            tiny: false,
            seed: 1,
            rounds: 3,
            restic: true,
            stages: true,
            work: root.join("target/bench"),
            keep: false,
        };
        let mut args = args;
        while let Some(arg) = args.next() {
            let mut number = || -> Result<u64, String> {
                let value = args.next().ok_or_else(|| format!("{arg} needs a number\n{USAGE}"))?;
                value.parse().map_err(|_| format!("{arg} {value} is not a number\n{USAGE}"))
            };
            match arg.as_str() {
                "--files" => options.files = number()?.max(1),
                "--mean-bytes" => options.mean_bytes = number()?.max(1),
                "--seed" => options.seed = number()?,
                "--rounds" => options.rounds = number()?.clamp(1, 99) as usize,
                "--tiny" => options.tiny = true,
                "--no-restic" => options.restic = false,
                "--no-stages" => options.stages = false,
                "--keep" => options.keep = true,
                "--work" => {
                    let dir = args.next().ok_or_else(|| format!("--work needs a directory\n{USAGE}"))?;
                    options.work = std::path::absolute(&dir).map_err(|e| format!("--work {dir}: {e}"))?;
                }
                _ => return Err(format!("unknown argument {arg}\n{USAGE}")),
            }
        }
        Ok(options)
    }
}
