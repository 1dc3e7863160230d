//! `restore-drill run`: one drill, or those of several tenants.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::StreamExt;
use lifeboat::clock;
use lifeboat::error::{Error, Kind, Result};
use lifeboat::inventory::Inventory;
use lifeboat::names::{TenantName, counted};
use serde_json::json;
use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;

use super::arguments::Run;
use super::{USAGE, all_acceptable, answer, block_on, lifeboat_program, on_signals};
use crate::place::Place;
use crate::place::kube::Kube;
use crate::place::local::Local;
use crate::plan::target::{Goal, draw};
use crate::plan::{self, Plan};
use crate::report::publish::Files;
use crate::report::verdict::Verdict;
use crate::setup::{Chosen, Setup};
use crate::vault::Vault;
use crate::{catalogue, drill, history, say};

/// How old what is known of the repository may be when a drill begins.
const LOOK_AGAIN: Duration = Duration::from_secs(300);

/// Runs the drills of a plan; the exit code of the worst verdict.
pub(super) fn run(arguments: Run) -> Result<u8, (Error, u8)> {
    let wrong = |e| (e, USAGE);
    let mut plan = plan::file::load(&arguments.plan).map_err(wrong)?;
    plan.keep |= arguments.keep;
    if plan.keep && plan.kubernetes.is_some() {
        let what = "--keep keeps a copy on this machine; with [kubernetes] in the plan there is none here";
        return Err(wrong(Error::new(Kind::Usage, what).effect("no drill was run")));
    }
    plan.seed = arguments.seed.or(plan.seed);
    if let Some(id) = arguments.snapshot {
        plan.goal = Goal::Dump(id);
    }
    if let Some(moment) = arguments.target {
        plan.goal = Goal::Point(moment);
    }
    if plan.instance && !matches!(plan.goal, Goal::Point(_)) {
        let what = "--snapshot names a dump, and the plan drills the whole instance";
        return Err(wrong(Error::new(Kind::Usage, what).effect("no drill was run").next("pass --target")));
    }
    if !arguments.tenant.is_empty() {
        let other = arguments.tenant.iter().find(|tenant| !plan.covers(tenant));
        if let Some(other) = other {
            let what = format!("{other} is no tenant of {}", plan.file.display());
            return Err(wrong(Error::new(Kind::Usage, what).effect("no drill was run")));
        }
        plan.tenants = arguments.tenant.into_iter().map(Into::into).collect();
        plan.sample = None;
    }
    let catalogue = catalogue::load(plan.checks_extra_dir.as_deref()).map_err(wrong)?;
    all_acceptable(&plan, &catalogue).map_err(wrong)?;
    let program = match plan.kubernetes {
        Some(_) => PathBuf::new(), // the image has its own
        None => lifeboat_program(plan.lifeboat.as_deref()).map_err(wrong)?,
    };
    let setup = |tenant| Setup {
        plan: plan.clone(),
        tenant,
        identities: Vec::new(),
        counters: None,
        catalogue: catalogue.clone(),
        program: program.clone(),
    };
    let (dir, json) = (arguments.report_dir.as_deref(), arguments.json);
    let done = block_on(async {
        let cancel = on_signals()?;
        match plan.only_tenant() {
            None if plan.instance => one(&setup(None), dir, json, &cancel).await,
            Some(tenant) => one(&setup(Some(tenant)), dir, json, &cancel).await,
            None => several(&plan, setup, dir, json, &cancel).await,
        }
    });
    done.map(Verdict::exit_code).map_err(|e| (e, Verdict::CouldNotRun.exit_code()))
}

/// Where the drills of a plan run.
fn place(plan: &Plan) -> Box<dyn Place> {
    match &plan.kubernetes {
        Some(kube) => Box::new(Kube(kube.clone())),
        None => Box::new(Local),
    }
}

async fn one(
    setup: &Setup,
    report_dir: Option<&Path>,
    json: bool,
    cancel: &CancellationToken,
) -> Result<Verdict> {
    // Opened within the first stage: its time belongs to the RTO, its failure into a report.
    let mut vault = None;
    let chosen = async {
        let opened = vault.insert(Vault::open(&setup.plan.config).await?);
        let inventory = opened.look(&setup.plan.goal).await?;
        opened.choose_for(&inventory, setup).await
    };
    let chosen: futures::future::BoxFuture<'_, Result<Chosen>> = Box::pin(chosen);
    let mut report = drill::run(setup, place(&setup.plan).as_ref(), chosen, cancel).await;
    let vault = vault.as_ref();
    if let Some(vault) = vault {
        history::complete(&mut report, vault).await;
    }
    let files = Files::of(&mut report, vault.map(Vault::repository), vault.and_then(Vault::key))?;
    let stored = store(&report.drill, &files, vault, report_dir).await;
    if json {
        answer(&format!("{:#}\n", json!(report)))?;
    }
    Ok(judged(report.verdict, stored))
}

/// Evidence that is nowhere does not count, but damage that was seen stays damage.
fn judged(verdict: Verdict, stored: Result<()>) -> Verdict {
    match stored {
        Ok(()) => verdict,
        Err(error) => {
            say::error(&error);
            verdict.worst(Verdict::CouldNotRun)
        }
    }
}

/// Drills several tenants, a few at a time. Each has its own place and report; the repository is opened and
/// listed once.
async fn several(
    plan: &Plan,
    setup: impl Fn(Option<TenantName>) -> Setup,
    report_dir: Option<&Path>,
    json: bool,
    cancel: &CancellationToken,
) -> Result<Verdict> {
    let vault = Vault::open(&plan.config).await?;
    let looked = Mutex::new((clock::instant(), Arc::new(vault.look(&plan.goal).await?)));
    let inventory = looked.lock().await.1.clone();
    let tenants = chosen(plan, &vault, &inventory).await?;
    say::line(&format!("{}, {} at a time", counted(tenants.len(), "drill"), plan.parallel));
    // After a signal, no further drill begins.
    let drills = tenants.into_iter().take_while(|_| !cancel.is_cancelled()).map(|tenant| {
        let (setup, vault, looked) = (setup(Some(tenant)), &vault, &looked);
        async move {
            let chosen: futures::future::BoxFuture<'_, Result<Chosen>> = Box::pin(async {
                let inventory = fresh(vault, plan, looked).await?;
                vault.choose_for(&inventory, &setup).await
            });
            let mut report = drill::run(&setup, place(&setup.plan).as_ref(), chosen, cancel).await;
            history::complete(&mut report, vault).await;
            let files = Files::of(&mut report, Some(vault.repository()), vault.key())?;
            let stored = store(&report.drill, &files, Some(vault), report_dir).await;
            let verdict = judged(report.verdict, stored);
            Ok::<_, Error>((report, verdict))
        }
    });
    let mut running = futures::stream::iter(drills).buffer_unordered(plan.parallel);
    let (mut worst, mut reports, mut lines) = (Verdict::Passed, Vec::new(), Vec::new());
    while let Some(done) = running.next().await {
        let (report, verdict) = match done {
            Ok(done) => done,
            Err(error) => {
                say::error(&error);
                worst = worst.worst(Verdict::CouldNotRun);
                continue;
            }
        };
        worst = worst.worst(verdict);
        lines.push((report.drilled(), format!("{:<20} {}", verdict.words(), report.drill)));
        reports.push(report);
    }
    lines.sort();
    for (tenant, line) in &lines {
        say::line(&format!("  {tenant:<31} {line}"));
    }
    say::line(&format!("{}: the worst is {}", counted(lines.len(), "drill"), worst.words()));
    if json {
        answer(&format!("{:#}\n", json!({ "verdict": worst, "drills": reports })))?;
    }
    Ok(worst)
}

/// What is stored; read again if that was long ago: drills of many tenants take hours.
async fn fresh(
    vault: &Vault,
    plan: &Plan,
    looked: &Mutex<(Instant, Arc<Inventory>)>,
) -> Result<Arc<Inventory>> {
    let mut looked = looked.lock().await;
    if looked.0.elapsed() > LOOK_AGAIN {
        *looked = (clock::instant(), Arc::new(vault.look(&plan.goal).await?));
    }
    Ok(looked.1.clone())
}

/// The tenants of this run. Of a sample, those come first that were not drilled for the longest time, so
/// that every tenant has its turn; among equals, chance decides.
async fn chosen(plan: &Plan, vault: &Vault, inventory: &Inventory) -> Result<Vec<TenantName>> {
    let mut tenants: Vec<TenantName> =
        Vault::tenants(inventory).into_iter().filter(|tenant| plan.covers(tenant)).collect();
    // A tenant that is named and has no backup is drilled all the same: that drill tells what is wrong.
    for pattern in plan.tenants.iter().filter(|pattern| !pattern.as_str().contains('*')) {
        let named: TenantName = pattern.as_str().parse()?;
        if !tenants.contains(&named) {
            tenants.push(named);
        }
    }
    if tenants.is_empty() {
        return Err(Error::new(Kind::NotFound, "no tenant in the repository fits the plan")
            .effect("no drill was run")
            .next("run `lifeboat list`; it shows the tenants that have backups"));
    }
    if let Some(sample) = plan.sample {
        let drilled = vault.drilled(&tenants).await?;
        let seed = plan.seed.unwrap_or_else(crate::vault::drawn);
        tenants.sort_by_key(|tenant| (drilled.get(tenant).copied(), draw(seed, tenant.as_str())));
        tenants.truncate(sample);
    }
    tenants.sort();
    Ok(tenants)
}

/// Tries every place, then tells of the first that failed.
async fn store(
    drill: &str,
    files: &Files<'_>,
    vault: Option<&Vault>,
    report_dir: Option<&Path>,
) -> Result<()> {
    let mut first = Ok(());
    if let Some(dir) = report_dir {
        match files.write_to(dir, drill) {
            Ok(place) => say::line(&format!("report: {}", place.display())),
            Err(e) => first = Err(e.effect("the report of this drill is not in that directory")),
        }
    }
    match vault {
        None if report_dir.is_none() => {
            say::line("report: none, since the repository could not be opened; see --report-dir")
        }
        None => {}
        Some(vault) => match vault.publish(drill, files).await {
            Ok(place) => {
                let signed =
                    if files.key.is_some() { "signed" } else { "not signed: signing.key_file is not set" };
                say::line(&format!("report: {place} ({signed})"));
            }
            Err(e) => first = first.and(Err(e.effect("the report of this drill is not in the repository"))),
        },
    }
    first
}
