//! `restore-drill inside`: a part of a drill, in a pod that `restore-drill run` started. It reads what to do
//! from a file, and prints its report at the end of its log ([`order`]).

use std::path::{Path, PathBuf};
use std::time::Duration;

use lifeboat::error::{Error, Kind, Result};
use lifeboat::postgres::{PostgresOptions, Tools};
use lifeboat::{clock, disk};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::catalogue;
use crate::drill::stage::{Drill, Stage, Stop};
use crate::place::kube::objects::Part;
use crate::place::kube::order::{self, Order};
use crate::place::local::server::Scratch;
use crate::plan::Plan;
use crate::report::Report;
use crate::report::finding::{Finding, State};
use crate::setup::{Chosen, Setup};
use crate::stages;

/// The part of a drill that shows that its network is closed.
pub const CLOSED: &str = "closed";
const ORDER_BYTES_MAX: u64 = 16 << 20;
/// How long a connection is tried. A closed network often does not answer at all.
const CONNECT_MAX: Duration = Duration::from_secs(3);
/// How long it may take until the network of a new pod is closed.
const CLOSED_WITHIN: Duration = Duration::from_secs(15);
/// Where clouds give a machine its credentials: not every network closes it with a policy.
const METADATA: &str = "169.254.169.254:80";

/// What the pod was told.
///
/// # Errors
/// Those of the file; `Config` if it is of another version.
pub fn read_order() -> Result<Order> {
    let file = Path::new(order::DIR).join(order::FILE);
    serde_json::from_slice(&disk::read(&file, ORDER_BYTES_MAX)?).map_err(|e| {
        Error::new(Kind::Config, format!("{} is of another version of restore-drill", file.display()))
            .because(e)
    })
}

/// The input of its stages.
///
/// # Errors
/// `Config` for a check that is wrong.
pub fn setup(order: &Order, program: PathBuf) -> Result<Setup> {
    let config = Path::new(order::SECRET_DIR).join(order::CONFIG);
    let plan = Plan {
        accepted: order.accepted.clone(),
        check_timeout: order.check_timeout,
        postgres_bin_dir: order.postgres_bin_dir.clone(),
        scratch_dir: order::WORK_DIR.into(),
        odoo: order.odoo.clone(),
        ..Plan::of(config, order.tenant.clone().into())
    };
    Ok(Setup {
        plan,
        tenant: Some(order.tenant.clone()),
        identities: Vec::new(),
        counters: None,
        catalogue: catalogue::with(order.checks.clone())?,
        program,
    })
}

/// Runs a part; the last line of its log.
///
/// # Errors
/// `Internal` if the report cannot be written as JSON.
pub async fn run(part: Part, order: &Order, setup: &Setup, cancel: &CancellationToken) -> Result<String> {
    let mut drill = Drill::named(setup, cancel, clock::now(), order.drill.clone());
    let chosen = order.chosen();
    match part {
        Part::Restore => restore(&mut drill, &chosen).await,
        Part::Prove => prove(&mut drill, &chosen, &order.closed_to).await,
    }
    order::answer(&drill.report)
}

async fn restore(drill: &mut Drill<'_>, chosen: &Chosen) {
    let Some(scratch) =
        drill.stage(Server::<true> { chosen, bin_dir: drill.setup.plan.postgres_bin_dir.as_deref() }).await
    else {
        return;
    };
    if stages::restored(drill, scratch.room(), chosen).await {
        stages::compared(drill, scratch.room(), chosen).await;
    }
    drill.stage(ServerStopped { scratch, keep: true }).await;
}

async fn prove(drill: &mut Drill<'_>, chosen: &Chosen, closed_to: &[String]) {
    if drill.stage(Closed { to: closed_to }).await.is_none() {
        return; // here code of the tenant's owner would run with a way out
    }
    let Some(scratch) =
        drill.stage(Server::<false> { chosen, bin_dir: drill.setup.plan.postgres_bin_dir.as_deref() }).await
    else {
        return;
    };
    stages::validated(drill, scratch.room(), chosen).await;
    stages::traded(drill, scratch.room()).await;
    drill.stage(ServerStopped { scratch, keep: false }).await;
}

/// Starts the server: a new one, or the one that the pod before left.
struct Server<'a, const NEW: bool> {
    chosen: &'a Chosen,
    bin_dir: Option<&'a Path>,
}

impl<const NEW: bool> Stage for Server<'_, NEW> {
    const NAME: &'static str = if NEW { "server" } else { "server again" };
    const STOP: Stop = Stop::ByItself;
    type Output = Scratch;

    async fn run(self, _: &mut Report) -> Result<(Scratch, String)> {
        let major = self.chosen.snapshot.postgres_major;
        let bin_dir = self.bin_dir.map(Path::to_owned);
        let tools = Tools::server(&PostgresOptions { bin_dir, ..PostgresOptions::default() }, major).await?;
        let dir = Path::new(order::WORK_DIR).join("copy");
        let scratch = match NEW {
            true => Scratch::start(&dir, &tools.dir, &[]).await?,
            false => Scratch::again(&dir, &tools.dir).await?,
        };
        Ok((scratch, format!("PostgreSQL {major} in {}", dir.display())))
    }
}

/// Stops the server; the copy stays for the next pod, or is removed from the volume.
struct ServerStopped {
    scratch: Scratch,
    keep: bool,
}

impl Stage for ServerStopped {
    const NAME: &'static str = "server stop";
    const STOP: Stop = Stop::Never;
    const IN_RTO: bool = false;
    type Output = ();

    async fn run(self, _: &mut Report) -> Result<((), String)> {
        self.scratch.tear_down(self.keep).await?;
        let kept = if self.keep { "stays for the next pod" } else { "is removed from the volume" };
        Ok(((), format!("server stopped; the copy {kept}")))
    }
}

/// Tries to reach the API server, the repository and the cloud's credentials: none may answer.
struct Closed<'a> {
    to: &'a [String],
}

impl Stage for Closed<'_> {
    const NAME: &'static str = CLOSED;
    type Output = ();

    async fn run(self, report: &mut Report) -> Result<((), String)> {
        let variable = |name| std::env::var(name).ok();
        let server = variable("KUBERNETES_SERVICE_HOST").zip(variable("KUBERNETES_SERVICE_PORT"));
        let server = server.map(|(host, port)| match host.contains(':') {
            true => format!("[{host}]:{port}"),
            false => format!("{host}:{port}"),
        });
        let cloud = METADATA.to_owned();
        let all: Vec<&String> = server.iter().chain(self.to).chain([&cloud]).collect();
        // A network may learn of a new pod a moment after it has started.
        let (began, mut open) = (clock::instant(), Vec::new());
        loop {
            let tried = all.iter().map(|to| timeout(CONNECT_MAX, TcpStream::connect(to.as_str())));
            let answers = futures::future::join_all(tried).await;
            open.clear();
            let answered = all.iter().zip(&answers).filter(|(_, answer)| matches!(answer, Ok(Ok(_))));
            open.extend(answered.map(|(to, _)| to.as_str()));
            if open.is_empty() || began.elapsed() > CLOSED_WITHIN {
                break;
            }
            clock::sleep(Duration::from_secs(1)).await;
        }
        if !open.is_empty() {
            let what = format!("the pod reaches {}: its network is not closed", open.join(", "));
            return Err(Error::new(Kind::Refused, what)
                .effect("nothing was proved: code of the tenant's owner would run with a way out")
                .next("use a cluster whose network enforces NetworkPolicy"));
        }
        let names: Vec<&str> = all.iter().map(|to| to.as_str()).collect();
        let what = format!("the pod does not reach {}", names.join(", "));
        report.findings.push(Finding::new(CLOSED, State::Done, what.clone()));
        Ok(((), what))
    }
}
