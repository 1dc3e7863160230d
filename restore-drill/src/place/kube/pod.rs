//! The Job of a part of the drill: created, watched until its pod has ended, and its report read. What keeps
//! a pod from starting is an error within seconds, not at the deadline.

use std::time::{Duration, Instant};

use lifeboat::clock;
use lifeboat::error::{Error, Kind, Result};
use serde_json::Value;

use super::api::Api;
use super::objects::Part;
use super::order;
use crate::report::Report;
use crate::report::finding::shortened;

const POLL: Duration = Duration::from_millis(500);
const SHORT: Duration = Duration::from_secs(120);
const POLL_LONG: Duration = Duration::from_secs(5);
/// The quota of the drill itself still counts a pod that has just ended.
const OWN_QUOTA: (&str, Duration) = ("exceeded quota: drill,", Duration::from_secs(60));
/// After this time without a pod, the events are asked why.
const POD_EXPECTED: Duration = Duration::from_secs(3);
/// How long it may take until a pod exists, has a node, and its image and volume: nodes may have to be
/// started first.
const START_MAX: Duration = Duration::from_secs(15 * 60);
const WORDS_CHARS_MAX: usize = 400;

/// Reasons for which a container that waits never starts.
const HOPELESS: [(&str, &str); 6] = [
    ("ErrImageNeverPull", "the image is missing on the node"),
    ("ImagePullBackOff", "the image is missing: it cannot be pulled"),
    ("InvalidImageName", "the name of the image is wrong"),
    ("CreateContainerConfigError", "the container cannot be made"),
    ("CreateContainerError", "the container cannot be made"),
    ("RunContainerError", "the container cannot be started: is restore-drill in the image?"),
];

/// A pod that has ended.
#[derive(Debug)]
pub struct Ended {
    /// What it reported.
    pub report: Report,
    /// Its name, node and image.
    pub facts: String,
    /// Whether a process in it was killed for want of memory.
    pub out_of_memory: bool,
}

/// Waits for the pod of a Job that was created, and reads its report.
///
/// # Errors
/// `Refused` if the pod cannot run, is gone, or did not report; `Unreachable` if the API server is away.
pub async fn ended(api: &Api, namespace: &str, part: Part, drill: &str) -> Result<Ended> {
    let began = clock::instant();
    let mut seen = Seen { uid: None };
    loop {
        match look(api, namespace, part, began, &mut seen).await {
            Ok(Some(pod)) => return read(api, namespace, &pod, drill).await,
            Ok(None) => {}
            Err(e) => return Err(e),
        }
        // Each look is a program, which may have to ask a cloud for its credentials.
        clock::sleep(if began.elapsed() < SHORT { POLL } else { POLL_LONG }).await;
    }
}

/// What is known of the pod so far.
struct Seen {
    uid: Option<String>,
}

/// The pod, if it has ended.
async fn look(
    api: &Api,
    namespace: &str,
    part: Part,
    began: Instant,
    seen: &mut Seen,
) -> Result<Option<Value>> {
    let name = part.name();
    let path = format!("/api/v1/namespaces/{namespace}/pods?labelSelector=job-name%3D{name}");
    let mut pods = api.get(&path).await?;
    let mut pods = pods["items"].as_array_mut().map(std::mem::take).unwrap_or_default();
    let is_ours = |pod: &Value| seen.uid.as_deref().is_none_or(|uid| pod["metadata"]["uid"] == uid);
    let pod = pods.iter().position(is_ours).map(|at| pods.swap_remove(at));
    let waited = began.elapsed();
    let Some(pod) = pod else {
        if seen.uid.is_some() {
            return Err(gone(api, namespace, part).await);
        }
        if waited > POD_EXPECTED
            && let Some(why) = refused(api, namespace, part, waited).await?
        {
            return Err(why);
        }
        return not_too_long(waited, "no pod was made for it").map(|()| None);
    };
    seen.uid = pod["metadata"]["uid"].as_str().map(str::to_owned);
    match state(&pod) {
        State::Ended => Ok(Some(pod)),
        State::Broken(why) => Err(Error::new(Kind::Refused, format!("pod {name}: {why}"))),
        State::Gone => Err(gone(api, namespace, part).await),
        State::Runs => Ok(None),
        State::Waits(why) => not_too_long(waited, &why).map(|()| None),
    }
}

fn not_too_long(waited: Duration, why: &str) -> Result<()> {
    match waited > START_MAX {
        true => {
            Err(Error::new(Kind::Refused, format!("no pod started within {}", clock::span_text(START_MAX)))
                .because(why))
        }
        false => Ok(()),
    }
}

/// How it is with a pod.
#[derive(Debug, PartialEq, Eq)]
enum State {
    Waits(String),
    Runs,
    Ended,
    Broken(String),
    Gone,
}

fn state(pod: &Value) -> State {
    let text = |value: &Value| shortened(value.as_str().unwrap_or_default(), WORDS_CHARS_MAX);
    let status = &pod["status"];
    let container = &status["containerStatuses"][0]["state"];
    if !container["terminated"].is_null() {
        return State::Ended;
    }
    if status["reason"] == "Evicted" {
        return State::Broken(format!("it was evicted: {}", text(&status["message"])));
    }
    if status["phase"] == "Failed" {
        return State::Broken(format!("it failed: {} {}", text(&status["reason"]), text(&status["message"])));
    }
    if !pod["metadata"]["deletionTimestamp"].is_null() {
        return State::Gone;
    }
    if !container["running"].is_null() {
        return State::Runs;
    }
    let waiting = &container["waiting"];
    if let Some((_, what)) = HOPELESS.iter().find(|(reason, _)| waiting["reason"] == *reason) {
        return State::Broken(format!("{what}: {}", text(&waiting["message"])));
    }
    let unscheduled = status["conditions"]
        .as_array()
        .into_iter()
        .flatten()
        .find(|condition| condition["type"] == "PodScheduled" && condition["status"] == "False");
    State::Waits(
        unscheduled.map_or_else(|| text(&waiting["reason"]), |condition| text(&condition["message"])),
    )
}

/// Why a pod of ours is not there any more.
async fn gone(api: &Api, namespace: &str, part: Part) -> Error {
    let job = api.get(&format!("/apis/batch/v1/namespaces/{namespace}/jobs/{}", part.name())).await;
    let failed = job.ok().and_then(|job| {
        let conditions = job["status"]["conditions"].as_array()?.clone();
        conditions.into_iter().find(|condition| condition["type"] == "Failed")
    });
    let why = match failed {
        Some(why) if why["reason"] == "DeadlineExceeded" => {
            "the drill took longer than kubernetes.time_to_live of the plan"
        }
        _ => "somebody deleted it, or its node was drained",
    };
    Error::new(Kind::Refused, format!("pod {} was deleted before it had ended", part.name())).because(why)
}

/// Why the Job cannot make its pod.
async fn refused(api: &Api, namespace: &str, part: Part, waited: Duration) -> Result<Option<Error>> {
    let path = format!("/api/v1/namespaces/{namespace}/events?fieldSelector=reason%3DFailedCreate");
    let events = api.get(&path).await?;
    let of_job = |event: &&Value| event["involvedObject"]["name"] == part.name();
    let all = events["items"].as_array().into_iter().flatten().filter(of_job);
    let mut said = all.filter_map(|event| event["message"].as_str());
    // The account of a new namespace appears a moment after it.
    let Some(said) = said.rfind(|said| !said.contains("serviceaccount")) else {
        return Ok(None);
    };
    if said.contains(OWN_QUOTA.0) && waited < OWN_QUOTA.1 {
        return Ok(None);
    }
    let (kind, what) = match said.contains("exceeded quota") {
        true => (Kind::NoSpace, "a quota is too small for the pod"),
        false => (Kind::Refused, "the cluster does not allow the pod"),
    };
    Ok(Some(Error::new(kind, what).because(shortened(said, WORDS_CHARS_MAX))))
}

async fn read(api: &Api, namespace: &str, pod: &Value, drill: &str) -> Result<Ended> {
    let name = pod["metadata"]["name"].as_str().unwrap_or_default();
    let status = &pod["status"]["containerStatuses"][0];
    let terminated = &status["state"]["terminated"];
    let out_of_memory = terminated["reason"] == "OOMKilled";
    let log = api.text(&format!("/api/v1/namespaces/{namespace}/pods/{name}/log?container=drill")).await?;
    let report = order::report_in(&log, drill).map_err(|e| match out_of_memory {
        true => {
            Error::new(Kind::Refused, format!("pod {name} used more memory than kubernetes.memory allows"))
                .next("set kubernetes.memory in the plan higher")
        }
        false => e.context(format!("pod {name}, exit code {}", terminated["exitCode"])),
    })?;
    let text = |value: &Value| value.as_str().unwrap_or("?").to_owned();
    let (node, image) = (text(&pod["spec"]["nodeName"]), text(&status["imageID"]));
    Ok(Ended { report, facts: format!("pod {name} on node {node}, image {image}"), out_of_memory })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_keeps_a_pod_from_starting_is_seen_at_once() {
        let waiting = |reason: &str| {
            json!({"status": {"phase": "Pending", "containerStatuses": [
                {"state": {"waiting": {"reason": reason, "message": "words"}}}]}})
        };
        for (reason, _) in HOPELESS {
            assert!(matches!(state(&waiting(reason)), State::Broken(_)), "{reason}");
        }
        assert_eq!(state(&waiting("ContainerCreating")), State::Waits("ContainerCreating".into()));
        let no_node = json!({"status": {"phase": "Pending", "conditions": [
            {"type": "PodScheduled", "status": "False", "message": "0/3 nodes"}]}});
        assert_eq!(state(&no_node), State::Waits("0/3 nodes".into()));
        let evicted = json!({"status": {"phase": "Failed", "reason": "Evicted", "message": "disk"}});
        assert_eq!(state(&evicted), State::Broken("it was evicted: disk".into()));
        let deleted = json!({"metadata": {"deletionTimestamp": "x"}, "status": {"phase": "Running",
            "containerStatuses": [{"state": {"running": {}}}]}});
        assert_eq!(state(&deleted), State::Gone);
        let done = json!({"status": {"containerStatuses": [{"state": {"terminated": {"exitCode": 0}}}]}});
        assert_eq!(state(&done), State::Ended);
    }
}
