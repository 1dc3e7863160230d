//! `lifeboat rollback salvage`.

use std::path::PathBuf;

use super::released::ReleasedArgs;
use super::screen::{Text, Tone};
use super::trust::TrustArgs;
use super::{App, Done};
use crate::clock;
use crate::error::Result;
use crate::names::{ReleaseId, TenantName, counted};
use crate::odoo::filestore;
use crate::postgres::PostgresOptions;
use crate::release::salvage::attached;
use crate::release::salvage::compare::{SalvageRequest, compare};
use crate::release::salvage::summary::{Head, Summary};
use crate::release::salvage::write::{check_new, write};

/// Export what was written to a tenant after the point of a release
///
/// Compares the tenant with its copy, which was restored to the point beside it, and exports the documents
/// that only the tenant has: sale orders, POS orders, payments, pickings and invoices with their lines, new
/// partners that they need, and attachments with their files. Documents that were changed or deleted are
/// listed with what differs, and so is master data (partners, products, prices, taxes). Both databases are
/// only read.
///
/// The directory gets JSON lines and CSV, readable by its owner alone and not encrypted. The same databases
/// give the same bytes.
///
/// Exit code 3: something is not exported; the output names it.
#[derive(clap::Args, Debug)]
#[command(override_usage = "\
lifeboat rollback salvage --release <ID> --tenant <NAME>
       --against <DATABASE> --to <DIR> [OPTIONS]")]
#[command(after_long_help = "\
Examples:
  # the counts only
  lifeboat rollback salvage --release 2026.11.20 --tenant retail_north \\
      --against retail_north_before_2026.11.20 --to retail_north_after --dry-run
  lifeboat rollback salvage --release 2026.11.20 --tenant retail_north \\
      --against retail_north_before_2026.11.20 --to retail_north_after
  # after promote: the state that was kept, against the tenant
  lifeboat rollback salvage --release 2026.11.20 --tenant retail_north \\
      --from retail_north.replaced-20261128T021500Z --against retail_north \\
      --to retail_north_after")]
pub struct Args {
    /// The release, as its checkpoint was called
    #[arg(long, value_name = "ID")]
    release: ReleaseId,
    /// The tenant
    #[arg(long, value_name = "NAME")]
    tenant: TenantName,
    /// The database with what was written after the point [default: the tenant]
    #[arg(long, value_name = "DATABASE")]
    from: Option<TenantName>,
    /// The copy of the tenant that was restored to the point
    #[arg(long, value_name = "DATABASE")]
    against: TenantName,
    /// The directory to create for the files
    #[arg(long, value_name = "DIR")]
    to: PathBuf,
    /// Compare, print the counts, and write nothing
    #[arg(long)]
    dry_run: bool,
    /// Read the checkpoint.json from this file; without it, from the repository
    #[arg(long, value_name = "FILE")]
    evidence: Option<PathBuf>,
    #[command(flatten)]
    trust: TrustArgs,
}

/// Where values begin.
const VALUE: usize = 14;

/// Compares, writes and prints.
pub async fn run(args: Args, app: &App) -> Result<Done> {
    let config = app.config()?;
    check_new(&args.to)?;
    let released =
        ReleasedArgs::of(args.release.clone(), args.tenant.clone(), args.evidence, args.trust).find(&config);
    let point = app.looking(released).await?.point_time();
    let request = SalvageRequest {
        release: args.release,
        from: args.from.unwrap_or_else(|| args.tenant.clone()),
        tenant: args.tenant,
        against: args.against,
        point,
    };
    let options = PostgresOptions::from(&config.postgres).stopped_by(&app.cancel);
    let mut salvage = app.looking(compare(&options, &request)).await?;
    let filestore = match &config.odoo.data_dir {
        Some(dir) => filestore::open(dir, request.from.as_str()),
        None => Ok(None),
    };
    attached::find(&mut salvage, filestore);
    if !args.dry_run {
        write(&salvage, &args.to)?;
    }
    let summary = &salvage.summary;
    app.print(summary, || {
        let mut text = text(summary);
        let to = args.to.display();
        match args.dry_run {
            true => text.add(format!("nothing was written: run it without --dry-run to write {to}")),
            false => text.add(format!("written to {to}, unencrypted; README.txt there explains the files")),
        }
        text
    })?;
    Ok(if summary.is_complete() { Done::Complete } else { Done::Incomplete })
}

fn text(summary: &Summary) -> Text {
    let mut text = Text::default();
    let Head { release, tenant, from, against, point, .. } = &summary.head;
    text.add(format!("salvage of {tenant} after the point of release {release}"));
    let mut value = |label: &str, said: String| {
        text.line(VALUE).plain(format!("  {label:<12}{said}"));
    };
    value("from", from.to_string());
    value("against", format!("{against}, {}", clock::text(*point)));
    let mut label = "new";
    let mut differ = Vec::new();
    for kind in summary.kinds.values() {
        for (document, counts) in &kind.documents {
            let sums = counts.totals.iter().map(|(currency, sum)| format!(", {sum} {currency}"));
            if counts.new > 0 {
                value(label, format!("{}{}", document.counted(counts.new), sums.collect::<String>()));
                label = "";
            }
            for (count, what) in [(counts.changed, "changed"), (counts.deleted, "deleted")] {
                if count > 0 {
                    differ.push(format!("{} {what}", document.counted(count)));
                }
            }
        }
        let lines: Vec<String> = kind
            .lines
            .iter()
            .filter(|(_, count)| **count > 0)
            .map(|(table, count)| format!("{count} of {table}"))
            .collect();
        if !lines.is_empty() {
            value("", format!("  with {}", lines.join(", ")));
        }
        if kind.changed_not_listed > 0 {
            differ.push(format!("{} more that are not listed", kind.changed_not_listed));
        }
    }
    if summary.partners > 0 {
        value(label, format!("{} that they need", counted(summary.partners, "partner")));
        label = "";
    }
    if summary.files > 0 {
        value(label, format!("{} of attachments", counted(summary.files, "file")));
        label = "";
    }
    if !label.is_empty() {
        value(label, "nothing".to_owned());
    }
    for (name, counts) in &summary.masters {
        let all = [(counts.new, "new"), (counts.changed, "changed"), (counts.deleted, "deleted")];
        let all = all.into_iter().filter(|(count, _)| *count > 0);
        let parts: Vec<String> = all.map(|(count, what)| format!("{count} {what}")).collect();
        if !parts.is_empty() {
            differ.push(format!("{name}: {}", parts.join(", ")));
        }
        if counts.not_listed > 0 {
            differ.push(format!("{name}: {} more that are not listed", counts.not_listed));
        }
    }
    for (at, one) in differ.into_iter().enumerate() {
        value(if at == 0 { "differ" } else { "" }, one);
    }
    for one in &summary.not_exported {
        text.line(VALUE)
            .plain("  ")
            .push(Tone::Bad, "not exported")
            .plain(format!(" {}: {}", one.what, one.why));
    }
    for note in &summary.notes {
        text.line(VALUE).plain(format!("  {:<12}{note}", "note"));
    }
    text
}
