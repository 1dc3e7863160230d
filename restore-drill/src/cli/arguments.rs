//! What `restore-drill` takes, and what its help says.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use lifeboat::names::wal::TimelineId;
use lifeboat::names::{Lsn, SnapshotId, TenantName};
use lifeboat::program::version::{VERSION, long as version_text};

use super::{completions, reports};
use crate::place::kube::objects::Part;
use crate::plan::target::Moment;

const EXIT_CODES: &str = "\
Exit codes:
  0  passed: restored, validated, and within the objectives
  1  failed: the archive or the restored data is wrong, or data was lost since
     earlier dumps, or Odoo failed on the copy; the report says which
  2  the plan, a check or an argument is wrong; nothing was done
  3  missed objective: the data is right, but too old (RPO) or too late (RTO)
  4  could not run: the snapshot is neither proved nor refuted, or the report
     could not be stored";

const PLAN: &str = "\
Plan, a TOML file (paths are relative to it):
  # the configuration of this restore host, with the identity
  config = \"/etc/lifeboat/restore.toml\"
  tenant = \"shop\"     # or tenants = [\"shop\", \"retail_*\"], or instance = true
  sample = 3             # optional; drills only 3 of them: those whose last
                         # drill is the oldest, or that had none
  parallel = 2           # drills at a time: 1 or 2 [default: 2]
  # optional, one of these; the default is the tenant's newest dump
  snapshot = \"20261120T015812Z-dump-4f3a9c1e\"
  release = \"2026.11.20\" # the newest dump of this release
  target = \"random\"      # any second of the recovery window, from base backup
                         # and WAL; or \"latest\"; or a time with its zone
  seed = 7               # optional, with target = \"random\"
  # optional, for the report: who approved the drill, who acts on findings, and
  # in which time
  approved_by = \"J. Doe, head of operations\"
  owner = \"operations@example.com\"
  due = \"14d\"
  [objective]            # optional; without it RPO and RTO are measured only
  rpo = \"24h\"            # age of the newest state that could be restored
  rto = \"30m\"            # from the start of the drill to the last check
  [checks]
  extra_dir = \"checks\"   # optional; your own checks, <area>/<ID>.sql
  timeout = \"5m\"         # of one check
  # optional, one for each check: known violations that do not fail the drill
  [[accept]]
  check = \"ACC01\"        # a hard check; or \"files\", \"backup before\", \"tenants\"
  max = 3                # more violations fail the drill
  reason = \"three invoices of 2019\"   # is part of the report
  until = \"2027-01-31\"   # after that day, UTC, they fail the drill again
  [postgres]             # optional; the default fits the snapshot's version
  bin_dir = \"/usr/lib/postgresql/17/bin\"
  [scratch]
  dir = \"/var/tmp\"       # for the restored data; other users must be able to
                         # enter it
  keep = false           # whether the restored data stays
  [odoo]                 # optional; without it nothing is traded on the copy
  # of the tenant's release; it must become Odoo itself, with exec
  command = [\"/opt/odoo/odoo-bin\"]
  addons_path = [\"/opt/odoo/addons\", \"/srv/modules\"]   # optional
  boot_timeout = \"3m\"    # until it answers
  transactions = true    # make orders, invoices and payments
  [kubernetes]           # optional; runs the drill in a namespace of a cluster,
                         # with kubectl (docs/drills-kubernetes.md)
  image = \"registry.example.com/lifeboat-drill:0.1.0\"
  repository = [\"203.0.113.7/32:443\"]   # what the restore may connect to
  kubeconfig = \"drill.kubeconfig\"      # optional, as all keys below
  context = \"drills\"
  cpu = \"2\"
  memory = \"4Gi\"
  storage = \"20Gi\"      # of the volume; its class is storage_class
  time_to_live = \"6h\"   # what takes longer is ended, and removed
  [lifeboat]             # optional; the default is the one beside
                         # restore-drill, then the one on the PATH
  program = \"/usr/bin/lifeboat\"";

const EXAMPLES: &str = "\
Examples:
  restore-drill run shop.toml
  restore-drill run shop.toml --snapshot 20261120T015812Z-dump-4f3a9c1e
  # keeps a checked copy of the state before the accident; its server is stopped
  restore-drill run shop.toml --target 2026-11-20T01:58:12Z --keep
  restore-drill run shop.toml --json --report-dir /var/lib/drills";

const REHEARSE: &str = "\
Examples:
  restore-drill rehearse --tenant shop --to-lsn 0/5A001B8 --timeline 1 \\
      --config /etc/lifeboat/restore.toml
  restore-drill rehearse --tenant shop --dump 20261120T015812Z-dump-4f3a9c1e";

/// Prove that a snapshot can be restored: restore it, check it, measure RPO and RTO
///
/// Restores Lifeboat snapshots into a scratch place, checks the business data in them, and reports the
/// measured RPO and RTO.
#[derive(Parser)]
#[command(
    name = "restore-drill",
    version = VERSION,
    long_version = version_text(),
    max_term_width = 100,
    after_help = EXIT_CODES
)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Run the drill of a plan
    ///
    /// Restores a dump, a point in time or a whole instance with `lifeboat restore`, neutralized, into a
    /// private PostgreSQL without network. Compares the copy with the baseline and with earlier dumps, checks
    /// every file, table and index, and runs the business checks. With `[odoo]` in the plan, starts Odoo on
    /// the copy and makes test orders, invoices and payments. Then removes the copy, and stores the report in
    /// the repository, in instances/<instance>/drills/<id>/.
    #[command(after_long_help = format!("{PLAN}\n\n{EXIT_CODES}\n\n{EXAMPLES}"))]
    Run(Run),
    /// Restore and check a tenant for `lifeboat checkpoint --rehearse`
    ///
    /// Restores one tenant to a point in the WAL, or from a dump, checks it like a drill, and removes
    /// everything. Stores no report: prints the result as JSON, for the evidence of the checkpoint.
    #[command(after_long_help = format!("{EXIT_CODES}\n\n{REHEARSE}"))]
    Rehearse(Rehearse),
    /// A part of a drill, in a pod that `run` started
    #[command(hide = true)]
    Inside {
        /// Which part
        part: Part,
    },
    /// List the drills whose reports are stored, the newest first
    ///
    /// A report counts if a trusted key signed it. One that nobody signed is marked; one that is damaged, or
    /// that a stranger signed, is named with the reason.
    #[command(after_long_help = "\
Examples:
  restore-drill list
  restore-drill list --tenant shop --json")]
    List(reports::List),
    /// Show the report of a drill
    ///
    /// Verifies its signature, and that the report before it is still the one that it names.
    #[command(after_long_help = "\
Examples:
  restore-drill show latest
  restore-drill show 20261120T040000Z-drill-4f3a9c1e
  restore-drill show 4f3a9c1e --json")]
    Show(reports::Show),
    /// Show what became better, and what worse, between two drills
    ///
    /// Times that differ by less than a tenth, or less than a second, are called the same.
    #[command(after_long_help = "\
Examples:
  restore-drill compare 4f3a9c1e latest")]
    Compare(reports::Compare),
    /// Print a file of a report: a page, Markdown, test results, or what was signed
    #[command(after_long_help = "\
Examples:
  restore-drill report latest --format html --output drill.html
  restore-drill report 4f3a9c1e --format junit --output junit.xml")]
    Report(reports::Export),
    /// List the business checks
    #[command(after_long_help = "\
Examples:
  restore-drill checks
  restore-drill checks --extra-dir checks --json")]
    Checks(Checks),
    /// Print the completion script of a shell
    #[command(after_long_help = "\
Examples:
  restore-drill completions bash > /etc/bash_completion.d/restore-drill
  # in ~/.zshrc, after compinit
  source <(restore-drill completions zsh)")]
    Completions(completions::Args),
    /// Write the manual pages into a directory, in place of older ones
    #[command(after_long_help = "\
Examples:
  restore-drill man /usr/local/share/man/man1
  man restore-drill-run")]
    Man(Man),
    /// Print version, commit, and supported PostgreSQL versions
    #[command(after_long_help = "\
Examples:
  restore-drill version
  restore-drill version --json")]
    Version(Version),
}

#[derive(Args)]
pub(crate) struct Run {
    /// The plan
    pub plan: PathBuf,
    /// Only this tenant of the plan; may be repeated
    #[arg(long, value_name = "NAME")]
    pub tenant: Vec<TenantName>,
    /// Drill with this snapshot instead of the plan's state
    #[arg(long, value_name = "ID", conflicts_with = "target")]
    pub snapshot: Option<SnapshotId>,
    /// Drill this point in time instead of the plan's state: a time with its zone, random or latest
    #[arg(long, value_name = "POINT")]
    pub target: Option<Moment>,
    /// The seed of a random point. To repeat a drill later, give its second as --target: the same seed gives
    /// the same second only while the recovery window is the same
    #[arg(long, value_name = "N")]
    pub seed: Option<u64>,
    /// Also write the report to DIR/<drill id>/
    #[arg(long, value_name = "DIR")]
    pub report_dir: Option<PathBuf>,
    /// Keep the scratch directory, which holds production data, for someone to look at
    #[arg(long)]
    pub keep: bool,
    /// Print the report as JSON on standard output
    #[arg(long)]
    pub json: bool,
}

#[derive(Args)]
pub(crate) struct Rehearse {
    /// The tenant
    #[arg(long, value_name = "NAME")]
    pub tenant: TenantName,
    /// Restore it to this point in the WAL
    #[arg(long, value_name = "LSN", requires = "timeline", required_unless_present = "dump")]
    pub to_lsn: Option<Lsn>,
    /// The timeline that the point is on, as 2 or 00000002
    #[arg(long, value_name = "ID", value_parser = TimelineId::typed, requires = "to_lsn")]
    pub timeline: Option<TimelineId>,
    /// Restore it from this dump
    #[arg(long, value_name = "ID", conflicts_with = "to_lsn")]
    pub dump: Option<SnapshotId>,
    /// The configuration, with the repository
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// The age identity; may be repeated [default: seal.identity_files]
    #[arg(long, value_name = "FILE")]
    pub identity: Vec<PathBuf>,
    /// A plan, used if it covers the tenant: known violations, own checks, RTO, directories; may be repeated
    #[arg(long, value_name = "FILE")]
    pub plan: Vec<PathBuf>,
    /// Compare tables and sequences with these counters, which a checkpoint recorded
    #[arg(long, value_name = "FILE")]
    pub counters: Option<PathBuf>,
    /// The program that restores [default: as for run]
    #[arg(long, value_name = "FILE")]
    pub lifeboat: Option<PathBuf>,
    /// Stop when standard input ends, because the program that started this is gone
    #[arg(long)]
    pub stop_with_stdin: bool,
}

#[derive(Args)]
pub(crate) struct Checks {
    /// Also list the checks of this directory
    #[arg(long, value_name = "DIR")]
    pub extra_dir: Option<PathBuf>,
    /// As JSON, with the reason and the statement of each check
    #[arg(long)]
    pub json: bool,
}

#[derive(Args)]
pub(crate) struct Man {
    /// The directory; it must exist
    #[arg(value_name = "DIR")]
    pub dir: PathBuf,
}

#[derive(Args)]
pub(crate) struct Version {
    /// As JSON
    #[arg(long)]
    pub json: bool,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;
    use lifeboat::program::help::{Detail, laid_out};

    use super::*;

    #[test]
    fn the_parser_is_sound_and_its_help_fits_80_columns() {
        Cli::command().debug_assert();
        for detail in [Detail::Short, Detail::Long] {
            let program = laid_out(Cli::command().term_width(80), detail);
            let below = program.get_subcommands().cloned().collect::<Vec<_>>();
            for mut command in below.into_iter().chain([program]) {
                let text = command.render_help().to_string();
                let wide = text.lines().find(|line| line.chars().count() > 80);
                assert_eq!(wide, None, "{}", command.get_name());
                let own = command.get_after_long_help().map(ToString::to_string).unwrap_or_default();
                assert!(own.lines().all(|line| line.chars().count() <= 80), "{own}");
            }
        }
        for text in [PLAN, EXIT_CODES, EXAMPLES, REHEARSE] {
            assert!(text.lines().all(|line| line.chars().count() <= 80), "cut where it is shown: {text}");
        }
    }
}
