//! `lifeboat rollback reenter`.

use std::path::{Path, PathBuf};

use super::confirm::confirm;
use super::reenter_text::text;
use super::{App, Done, print};
use crate::disk::{self, read_secret_text};
use crate::error::{Error, Kind, Result};
use crate::names::ReleaseId;
use crate::odoo::rpc::{OdooClient, OdooLogin, OdooUrl};
use crate::release::reenter::apply::apply;
use crate::release::reenter::plan::plan;
use crate::release::reenter::read::read;
use crate::release::reenter::report::Report;

/// The largest password file.
const PASSWORD_BYTES_MAX: u64 = 64 << 10;
/// The environment variable with the password.
const PASSWORD: &str = "ODOO_PASSWORD";
/// The report in the directory of the export, and the file that keeps a second run away.
const REPORT: &str = "reentered.json";
const LOCK: &str = "reenter.lock";

/// Enter what a salvage exported again, through Odoo
///
/// Works on the restored tenant, through Odoo's JSON-RPC (16 to 18). New partners come first, then sale
/// orders (confirmed if they were), pickings (validated if they were), payments (posted if they were), and
/// POS orders into an open session. Each new document is compared with the old one: total, lines, quantity.
///
/// Nothing is entered twice: after an error or a kill, run it again. The database that was exported is
/// refused. What cannot be entered is named with the reason; reentered.json in the directory has all of it.
///
/// The password is in --password-file or in the environment variable ODOO_PASSWORD.
///
/// Exit code 3: something is not entered or differs; the output names it.
#[derive(clap::Args, Debug)]
#[command(override_usage = "\
lifeboat rollback reenter --release <ID> --from <DIR>
       --database <NAME> --user <LOGIN> [OPTIONS]")]
#[command(after_long_help = "\
Examples:
  # what would be entered, and what not
  lifeboat rollback reenter --release 2026.11.20 --from retail_north_after \\
      --database retail_north --user salvage \\
      --password-file /run/odoo-password --dry-run
  lifeboat rollback reenter --release 2026.11.20 --from retail_north_after \\
      --database retail_north --user salvage \\
      --password-file /run/odoo-password --yes")]
pub struct Args {
    /// The release, as its checkpoint was called
    #[arg(long, value_name = "ID")]
    release: ReleaseId,
    /// The directory that `lifeboat rollback salvage` wrote
    #[arg(long, value_name = "DIR")]
    from: PathBuf,
    /// Where the Odoo of the tenant answers
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:8069")]
    url: String,
    /// The database of the restored tenant
    #[arg(long, value_name = "NAME")]
    database: String,
    /// The login of the Odoo user who enters the documents
    #[arg(long, value_name = "LOGIN")]
    user: String,
    /// A file with the user's password or API key, for nobody else to read
    #[arg(long, value_name = "FILE")]
    password_file: Option<PathBuf>,
    /// Allow http to another host, on a network that you trust
    #[arg(long)]
    allow_http: bool,
    /// Print what would be entered, and write nothing
    #[arg(long, conflicts_with = "yes")]
    dry_run: bool,
    /// Do not ask
    #[arg(long)]
    yes: bool,
}

/// Plans, asks, enters.
pub async fn run(args: Args, app: &App) -> Result<Done> {
    let url = OdooUrl::parse(&args.url, args.allow_http)?;
    let export = read(&args.from, &args.release)?;
    let login = OdooLogin {
        database: args.database.clone(),
        user: args.user.clone(),
        password: password(args.password_file.as_deref())?,
    };
    // held to the end: two runs at once would both find nothing entered
    let _lock = if args.dry_run { None } else { Some(lock(&args.from)?) };
    let client = OdooClient::log_in(url, login, &app.cancel).await?;
    let plan = app.looking(plan(&export, client)).await?;
    let planned = Report::of_plan(&export, &plan);
    if args.dry_run {
        app.print(&planned, || text(&planned))?;
        return Ok(done(&planned));
    }
    if !args.yes {
        print::err_text(&text(&planned));
        confirm()?;
    }
    let (report, stopped) = apply(&export, plan).await;
    let written = write(&report, &args.from);
    if let Some(error) = stopped {
        if !app.json {
            print::err_text(&text(&report));
        }
        written?;
        return Err(error
            .effect(format!("the run stopped before the last document; {REPORT} says what was entered"))
            .safe("run it again: nothing is entered twice"));
    }
    app.print(&report, || text(&report))?;
    written?;
    Ok(done(&report))
}

fn done(report: &Report) -> Done {
    if report.is_complete() { Done::Complete } else { Done::Incomplete }
}

fn password(file: Option<&Path>) -> Result<String> {
    if let Some(file) = file {
        let text = read_secret_text("password file", file, PASSWORD_BYTES_MAX)?;
        return Ok(text.trim_end_matches(['\n', '\r']).to_owned());
    }
    std::env::var(PASSWORD).map_err(|_| {
        Error::new(Kind::Usage, "the password of the Odoo user is missing")
            .effect("nothing was read or written")
            .next(format!("name a file with it (--password-file), or set {PASSWORD}"))
    })
}

fn lock(dir: &Path) -> Result<disk::FileLock> {
    disk::try_lock(&dir.join(LOCK))?.ok_or_else(|| {
        Error::new(Kind::Busy, format!("another run enters the documents of {}", dir.display()))
            .effect("nothing was entered")
            .next("wait until it ends")
    })
}

fn write(report: &Report, dir: &Path) -> Result<()> {
    let json = serde_json::to_string_pretty(report)
        .map_err(|e| Error::new(Kind::Internal, "cannot write the report").because(e))?;
    disk::replace_durable(&dir.join(REPORT), (json + "\n").as_bytes())
}
