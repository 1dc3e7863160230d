//! A place in Kubernetes: a namespace of its own, in which two Jobs carry out the stages, one after the
//! other.
//!
//! The Job that restores has the identity and the credentials, and reaches the repository. Then the Secret
//! and its way out are deleted. The Job that proves has the volume and nothing else; it begins by showing
//! that it reaches nothing. So a person's code that a backup contains runs as a check, a function or an index
//! only where there is no secret and no way out; what runs while the dump is loaded is in
//! docs/drills-kubernetes.md.
//!
//! The namespace has a quota, limits and a closed network before anything runs in it. It is removed whatever
//! happens; if the drill is killed, the next one removes it ([`namespace::sweep`]).

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use futures::future::BoxFuture;
use lifeboat::clock;
use lifeboat::error::{Error, Kind, Result};

use crate::catalogue;
use crate::drill::stage::{Drill, PROVISION, Stage, Stop, TEAR_DOWN};
use crate::place::Place;
use crate::plan::kubernetes::{KubePlan, Way};
use crate::report::Report;
use crate::report::finding::{Finding, State, one_line};
use crate::say;
use crate::setup::{Chosen, Setup};
use crate::stages::checks::{Checks, compare_base};

pub mod api;
pub mod namespace;
pub mod objects;
pub mod order;
mod pod;
mod secret;

use api::Api;
use namespace::Namespace;
use objects::Part;
use order::Order;
use secret::Secrets;

/// A finding about the pods of a drill.
const PODS: &str = "pods";

/// A namespace of a cluster.
#[derive(Clone, Debug)]
pub struct Kube(pub KubePlan);

impl Place for Kube {
    fn carry_out<'a>(&'a self, drill: &'a mut Drill<'_>, chosen: &'a Chosen) -> BoxFuture<'a, ()> {
        Box::pin(async move {
            let mut room =
                Room { plan: &self.0, api: Api::of(&self.0), namespace: None, since: clock::instant() };
            let provision = Provision { room: &mut room, setup: drill.setup, chosen };
            if let Some(variables) = drill.stage(provision).await {
                both(drill, &room, &variables).await;
            }
            if let Some(namespace) = room.namespace {
                drill.stage(TearDown { api: &room.api, namespace, time_to_live: self.0.time_to_live }).await;
            }
        })
    }
}

/// The namespace of a drill, if it is there.
struct Room<'a> {
    plan: &'a KubePlan,
    api: Api,
    namespace: Option<Namespace>,
    since: Instant,
}

impl Room<'_> {
    fn namespace(&self) -> Result<&Namespace> {
        self.namespace.as_ref().ok_or_else(|| Error::new(Kind::Internal, "the drill has no namespace"))
    }

    /// Makes an object in a list of the namespace, whose path has `{}` for the name.
    async fn create(&self, list: &str, object: &serde_json::Value) -> Result<()> {
        let name = &self.namespace()?.name;
        let made = self.api.create(&format!("/{}", list.replace("{}", name)), object).await;
        made.map(drop).map_err(|e| {
            e.context(format!("create the {} of the drill", object["kind"].as_str().unwrap_or("?")))
        })
    }

    /// How long what runs in it may still take.
    fn seconds_left(&self) -> u64 {
        self.plan.time_to_live.saturating_sub(self.since.elapsed()).as_secs().max(1)
    }
}

/// Both parts; the second one only if the first one restored.
async fn both(drill: &mut Drill<'_>, room: &Room<'_>, variables: &[String]) {
    let id = drill.report.drill.clone();
    let restore = Run::<true> { room, drill: &id, variables };
    let Some(restored) = drill.stage(restore).await else { return };
    let whole = restored.restore_answer.is_some();
    drill.adopt(restored);
    if !whole || drill.stage(Close { room }).await.is_none() {
        return;
    }
    let prove = Run::<false> { room, drill: &id, variables: &[] };
    let Some(proved) = drill.stage(prove).await else { return };
    let recovered = proved.rto.measured_ms.is_some();
    drill.adopt(proved);
    compare_base(&mut drill.report, &drill.setup.catalogue.checks);
    if recovered {
        drill.recovered_after(Checks::NAME);
    }
}

/// Makes the namespace, its fences, and what the pods need. Returns the variables that are in the Secret.
struct Provision<'a, 'b> {
    room: &'a mut Room<'b>,
    setup: &'a Setup,
    chosen: &'a Chosen,
}

impl Stage for Provision<'_, '_> {
    const NAME: &'static str = PROVISION;
    const STOP: Stop = Stop::ByItself;
    type Output = Vec<String>;

    async fn run(self, report: &mut Report) -> Result<(Vec<String>, String)> {
        let Provision { room, setup, chosen } = self;
        let secrets = Secrets::of(setup)?;
        let order = order(setup, chosen, report, room.plan, &secrets)?;
        room.since = clock::instant();
        let object = objects::namespace(&report.drill, room.plan.time_to_live.as_secs());
        let namespace = room.namespace.insert(Namespace::create(&room.api, &object).await?);
        let note = format!("namespace {}, UID {}", namespace.name, namespace.uid);
        for left in namespace::sweep(&room.api, namespace).await? {
            match left {
                Ok(name) => say::line(&format!("  removed namespace {name}, which a killed drill had left")),
                Err(e) => say::line(&format!("  cannot remove what a killed drill left: {}", one_line(&e))),
            }
        }
        for (list, object) in objects::fences(room.plan) {
            room.create(list, &object).await?;
        }
        let policies = "apis/networking.k8s.io/v1/namespaces/{}/networkpolicies";
        room.create(policies, &objects::way_in(&room.plan.repository)).await?;
        room.create("api/v1/namespaces/{}/configmaps", &objects::settings(&order)).await?;
        room.create("api/v1/namespaces/{}/secrets", &objects::secret(&secrets.files)).await?;
        room.create("api/v1/namespaces/{}/persistentvolumeclaims", &objects::volume(room.plan)).await?;
        Ok((secrets.variables, note))
    }
}

/// What the pods are told.
fn order(
    setup: &Setup,
    chosen: &Chosen,
    report: &Report,
    kube: &KubePlan,
    secrets: &Secrets,
) -> Result<String> {
    let Some(tenant) = &setup.tenant else {
        return Err(Error::new(Kind::Internal, "a whole instance is not drilled in Kubernetes"));
    };
    let plan = &setup.plan;
    let alone = |way: &&Way| way.prefix == if way.network.is_ipv4() { 32 } else { 128 };
    let address = |way: &Way| SocketAddr::new(way.network, way.port).to_string();
    let order = Order {
        drill: report.drill.clone(),
        tenant: tenant.clone(),
        snapshot: chosen.snapshot.clone(),
        older: chosen.older.clone(),
        accepted: plan.accepted.clone(),
        check_timeout: plan.check_timeout,
        postgres_bin_dir: plan.postgres_bin_dir.clone(),
        odoo: plan.odoo.clone(),
        checks: plan.checks_extra_dir.as_deref().map(catalogue::extra_files).transpose()?.unwrap_or_default(),
        closed_to: kube.repository.iter().filter(alone).map(address).chain(secrets.store.clone()).collect(),
    };
    serde_json::to_string(&order)
        .map_err(|e| Error::new(Kind::Internal, "cannot write what the pods are told").because(e))
}

/// Runs a part of the drill in its pod; what the pod reports.
struct Run<'a, const RESTORE: bool> {
    room: &'a Room<'a>,
    drill: &'a str,
    variables: &'a [String],
}

impl<const RESTORE: bool> Stage for Run<'_, RESTORE> {
    const NAME: &'static str = if RESTORE { "restore pod" } else { "prove pod" };
    type Output = Report;

    async fn run(self, report: &mut Report) -> Result<(Report, String)> {
        let Run { room, drill, variables } = self;
        let part = if RESTORE { Part::Restore } else { Part::Prove };
        let job = objects::job(room.plan, part, room.seconds_left(), variables);
        room.create("apis/batch/v1/namespaces/{}/jobs", &job).await?;
        let ended = pod::ended(&room.api, &room.namespace()?.name, part, drill).await?;
        if ended.out_of_memory {
            let what = format!("{}: a process used more memory than kubernetes.memory allows", Self::NAME);
            report.findings.push(Finding::new(PODS, State::Unknown, what));
        }
        Ok((ended.report, ended.facts))
    }
}

/// Deletes the Secret and the way to the repository.
struct Close<'a> {
    room: &'a Room<'a>,
}

impl Stage for Close<'_> {
    const NAME: &'static str = "close";
    type Output = ();

    async fn run(self, _: &mut Report) -> Result<((), String)> {
        let (api, name) = (&self.room.api, &self.room.namespace()?.name);
        let path = |list: &str| format!("/{list}/{}", objects::WAY_IN).replace("{}", name);
        api.delete(&path("api/v1/namespaces/{}/secrets"), None).await?;
        api.delete(&path("apis/networking.k8s.io/v1/namespaces/{}/networkpolicies"), None).await?;
        Ok(((), "the Secret and the way to the repository are deleted".to_owned()))
    }
}

/// Removes the namespace; one that stays holds restored data.
struct TearDown<'a> {
    api: &'a Api,
    namespace: Namespace,
    time_to_live: Duration,
}

impl Stage for TearDown<'_> {
    const NAME: &'static str = TEAR_DOWN;
    const STOP: Stop = Stop::Never;
    const IN_RTO: bool = false;
    type Output = ();

    async fn run(self, report: &mut Report) -> Result<((), String)> {
        let TearDown { api, namespace, time_to_live } = self;
        let removed = namespace.remove(api).await.map_err(|e| {
            let name = &namespace.name;
            e.context(format!("remove namespace {name}, which holds restored data")).next(format!(
                "the next drill in this cluster removes it, {} after this one began; or: kubectl delete namespace {name}",
                clock::span_text(time_to_live)
            ))
        })?;
        match removed {
            Ok(()) => Ok(((), format!("namespace {} is gone", namespace.name))),
            Err(why) => {
                let what = format!("namespace {} does not go: {why}", namespace.name);
                report.findings.push(Finding::new(TEAR_DOWN, State::Failed, what.clone()));
                Ok(((), what))
            }
        }
    }
}
