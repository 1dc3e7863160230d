//! `lifeboat hold`: what must stay, whatever the recovery classes say.

use std::fmt::Write;

use clap::Subcommand;
use serde_json::{Value, json};

use super::commands::runnable;
use super::{App, Done};
use crate::archive::hold::Held;
use crate::clock;
use crate::error::{Error, Kind, Result};
use crate::inventory::target::ZonedTime;
use crate::names::{HoldName, ReleaseId, SnapshotId, TenantName, counted};
use crate::repository::holds::{HoldLook, Removal, StoredHold};
use crate::retention::holding::{HoldDone, HoldRequest, Holds, RemovalRequest};

/// Keep what lawyers or auditors need, whatever the classes say
///
/// A hold keeps a snapshot, a release, a tenant or a span of time, with everything that is needed to restore
/// it, until the hold is removed. Holds and their removals are signed records in the repository, each with
/// reason and person. They are never deleted. See docs/retention.md.
#[derive(clap::Args, Debug)]
#[command(after_long_help = "\
Examples:
  lifeboat hold add case-114 --release 2026.11.20 --reason 'tax audit' --by anna
  lifeboat hold list
  lifeboat hold remove case-114 --reason 'audit closed' --by anna")]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    Add(AddArgs),
    List(ListArgs),
    Remove(RemoveArgs),
}

/// Hold a snapshot, a release, a tenant or a span of time
///
/// What is held must exist. The same hold again changes nothing, and completes one that was interrupted.
/// Needs the signing key. A name can be used only once, even after its hold was removed.
#[derive(clap::Args, Debug)]
#[command(override_usage = "lifeboat hold add <NAME> --release <ID> --reason <TEXT> --by <NAME>
       lifeboat hold add <NAME> --snapshot <ID> ...
       lifeboat hold add <NAME> --tenant <TENANT> ...
       lifeboat hold add <NAME> --from <TIME> --to <TIME> ...")]
#[command(after_long_help = "\
Examples:
  lifeboat hold add case-114 --release 2026.11.20 --reason 'tax audit' --by anna
  lifeboat hold add case-115 --tenant retail_north --reason 'lawsuit' --by anna
  lifeboat hold add case-116 --from 2026-11-01T00:00:00Z \\
      --to 2026-12-01T00:00:00Z --reason 'tax audit' --by anna")]
struct AddArgs {
    /// A new name: 1 to 64 of a-z 0-9 . _ -
    #[arg(value_name = "NAME")]
    name: HoldName,
    #[command(flatten)]
    what: What,
    /// The end of the span
    #[arg(long, value_name = "TIME", requires = "from")]
    to: Option<ZonedTime>,
    #[command(flatten)]
    said: Said,
}

/// What is held.
#[derive(clap::Args, Debug)]
#[group(required = true, multiple = false)]
struct What {
    /// Hold this snapshot
    #[arg(long, value_name = "ID")]
    snapshot: Option<SnapshotId>,
    /// Hold what it takes to go back to this release
    #[arg(long, value_name = "ID")]
    release: Option<ReleaseId>,
    /// Hold all dumps and filestores of this tenant, also those to come
    #[arg(long, value_name = "TENANT")]
    tenant: Option<TenantName>,
    /// Hold what is stored from this time to --to: base backups, WAL, dumps and files
    #[arg(long, value_name = "TIME", requires = "to")]
    from: Option<ZonedTime>,
}

/// Who says it, and why.
#[derive(clap::Args, Debug)]
struct Said {
    /// Why; recorded for ever
    #[arg(long, value_name = "TEXT")]
    reason: String,
    /// The person who asks for it; recorded for ever
    #[arg(long, value_name = "NAME")]
    by: String,
}

/// List the holds, and those that cannot be verified
///
/// If a hold is not believed or could not be read, nobody knows what it holds. Then `lifeboat expire` deletes
/// nothing.
///
/// Exit code 3: a hold or a removal is not believed, or could not be read.
#[derive(clap::Args, Debug)]
struct ListArgs {
    /// Also list holds that were removed
    #[arg(long)]
    all: bool,
}

/// Remove a hold
///
/// Its record stays, and so do reason and person. What it held is deleted later, if nothing else keeps it,
/// and not before one more expire.grace: `lifeboat expire --dry-run` shows that. Needs the signing key.
#[derive(clap::Args, Debug)]
struct RemoveArgs {
    /// The hold
    #[arg(value_name = "NAME")]
    name: HoldName,
    #[command(flatten)]
    said: Said,
}

/// Runs the command.
pub async fn run(args: Args, app: &App) -> Result<Done> {
    match args.command {
        Command::Add(args) => add(args, app).await,
        Command::List(args) => app.looking(list(args, app)).await,
        Command::Remove(args) => remove(args, app).await,
    }
}

async fn add(args: AddArgs, app: &App) -> Result<Done> {
    let AddArgs { name, what, to, said: Said { reason, by } } = args;
    let held = match (what, to) {
        (What { snapshot: Some(id), .. }, None) => Held::Snapshot(id),
        (What { release: Some(release), .. }, None) => Held::Release(release),
        (What { tenant: Some(tenant), .. }, None) => Held::Tenant(tenant),
        (What { from: Some(from), .. }, Some(to)) => Held::Span(from.0, to.0),
        _ => return Err(Error::new(Kind::Usage, "a span needs --from and --to, and nothing else")),
    };
    let config = app.config()?;
    let holds = Holds::open(&config).await?;
    let done = holds.add(&config, HoldRequest { name, held, reason, by }).await?;
    app.print(&done_json(&holds, &done, "set"), || {
        let StoredHold { record, since, .. } = &done.hold;
        let what = match done.existed {
            true => "exists already: nothing was changed",
            false => "is stored",
        };
        let end = runnable(&format!("lifeboat hold remove {} --reason TEXT --by NAME", record.name));
        let lock = lock_text(&holds, &done, "the next lifeboat expire sets the store's legal hold on it");
        format!(
            "hold {} ({}) {what}\n  since {}, by {}: {}\n{lock}  to end it: {end}\n",
            record.name,
            record.held,
            clock::text(*since),
            record.by,
            record.reason
        )
    })?;
    Ok(Done::Complete)
}

async fn remove(args: RemoveArgs, app: &App) -> Result<Done> {
    let RemoveArgs { name, said: Said { reason, by } } = args;
    let config = app.config()?;
    let holds = Holds::open(&config).await?;
    let done = holds.remove(&config, RemovalRequest { name, reason, by }).await?;
    app.print(&done_json(&holds, &done, "lift"), || {
        let record = &done.hold.record;
        let what = match done.existed {
            true => "was already removed, for the same reason: nothing was changed",
            false => "is removed",
        };
        let next = runnable("lifeboat expire --dry-run");
        let does = "one expire.grace from now, lifeboat expire lifts the store's legal hold, if no other hold \
                    keeps it";
        let lock = lock_text(&holds, &done, does);
        format!("hold {} ({}) {what}\n{lock}  what is kept now: {next}\n", record.name, record.held)
    })?;
    Ok(Done::Complete)
}

async fn list(args: ListArgs, app: &App) -> Result<Done> {
    let config = app.config()?;
    let holds = Holds::open(&config).await?;
    let (mut stored, mut problems) = (Vec::new(), Vec::new());
    for (name, look) in holds.all().await? {
        match look {
            HoldLook::Stored(hold) => stored.push(*hold),
            look => problems.extend(look.why_unknown(&name).map(|e| (name, true, e))),
        }
    }
    for hold in &stored {
        if let Removal::InDoubt(e) = &hold.removal {
            problems.push((hold.record.name.clone(), false, e.again()));
        }
    }
    stored.retain(|hold| args.all || !matches!(hold.removal, Removal::Done(..)));
    let mut value = place_json(&holds);
    value["holds"] = stored.iter().map(hold_json).collect();
    let problem_json = |(name, unknown, e): &(HoldName, bool, Error)| {
        json!({ "name": name, "blocks_expire": unknown, "kind": e.kind().slug(), "error": e.what(),
            "causes": e.causes(), "next": e.next_text() })
    };
    value["not_known"] = problems.iter().map(problem_json).collect();
    app.print(&value, || list_text(&holds, &stored, &problems))?;
    Ok(if problems.is_empty() { Done::Complete } else { Done::Incomplete })
}

fn list_text(holds: &Holds, stored: &[StoredHold], problems: &[(HoldName, bool, Error)]) -> String {
    let repository = &holds.repository;
    let mut text = format!(
        "instance {} in {}: {}\n",
        repository.instance(),
        repository.store().url(),
        counted(stored.len(), "hold")
    );
    for hold in stored {
        let record = &hold.record;
        let _ = write!(
            text,
            "\n{}: {}\n    since {}, by {}: {}\n",
            record.name,
            record.held,
            clock::text(hold.since),
            record.by,
            record.reason
        );
        if let Removal::Done(removal, at) = &hold.removal {
            let (at, by) = (clock::text(*at), &removal.by);
            let _ = writeln!(text, "    removed {at}, by {by}: {}", removal.reason);
        }
    }
    if !problems.is_empty() {
        text.push('\n');
    }
    for (_, unknown, error) in problems {
        let effect = match unknown {
            true => "as long as this is so, expire deletes nothing",
            false => "the hold still holds",
        };
        let _ = writeln!(text, "problem: {}; {effect}", error.line());
        if let Some(next) = error.next_text() {
            let _ = writeln!(text, "    next: {}", runnable(next));
        }
    }
    text
}

/// What expire does about the store's legal holds; nothing where nothing is locked, or nothing was changed.
fn lock_text(holds: &Holds, done: &HoldDone, does: &str) -> String {
    match holds.repository.lock_mode() {
        Some(_) if !done.existed => format!("  {does}\n"),
        _ => String::new(),
    }
}

fn place_json(holds: &Holds) -> Value {
    let repository = &holds.repository;
    json!({ "instance": repository.instance(), "repository": repository.store().url() })
}

/// `will` is what expire does with the store's legal hold.
fn done_json(holds: &Holds, done: &HoldDone, will: &str) -> Value {
    let mut value = place_json(holds);
    value["existed"] = json!(done.existed);
    value["hold"] = hold_json(&done.hold);
    value["legal_hold_expire_will"] = json!(holds.repository.lock_mode().map(|_| will));
    value
}

fn hold_json(hold: &StoredHold) -> Value {
    let removed = match &hold.removal {
        Removal::Done(removal, at) => json!({ "at": at, "reason": removal.reason, "by": removal.by }),
        Removal::Never | Removal::InDoubt(_) => Value::Null,
    };
    let record = &hold.record;
    json!({ "name": record.name, "held": record.held, "reason": record.reason, "by": record.by,
        "since": hold.since, "removed": removed })
}
