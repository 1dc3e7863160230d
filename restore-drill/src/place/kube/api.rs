//! The API of Kubernetes, through the program `kubectl`: it knows kubeconfigs, the accounts of pods, and the
//! ways in which clouds log in. Requests are raw: one call is one request with one verb, so that a right that
//! is missing is the one that the error names.

use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use lifeboat::child::{Asked, Stopped, Supervised, Tail, status_text};
use lifeboat::error::{Error, Kind, Result};
use lifeboat::{clock, environment};
use rustix::process::Signal;
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use crate::plan::kubernetes::KubePlan;
use crate::report::finding::shortened;

/// How long one call may take. Not told to kubectl: with `--request-timeout` it does not find the account of
/// its own pod.
const CALL_LIMIT: Duration = Duration::from_secs(30);
/// The largest answer; of a longer one the end is kept, which is no JSON.
const ANSWER_BYTES_MAX: usize = 32 << 20;
/// How long the API server may be away, and how long it is left alone meanwhile.
const AWAY_MAX: Duration = Duration::from_secs(60);
const BETWEEN: Duration = Duration::from_secs(2);
const SAID_BYTES_MAX: usize = 16 << 10;
const SAID_CHARS_MAX: usize = 600;
/// How long kubectl may take to end when it is asked to.
const PATIENCE: Duration = Duration::from_secs(5);
/// What gives an account the rights of a drill.
const RIGHTS: &str = "deploy/kubernetes/drill-rights.yaml";

/// How the API is reached.
#[derive(Clone, Debug)]
pub struct Api {
    kubectl: String,
    kubeconfig: Option<PathBuf>,
    context: Option<String>,
}

impl Api {
    /// As the plan says.
    pub fn of(plan: &KubePlan) -> Api {
        Api {
            kubectl: plan.kubectl.clone(),
            kubeconfig: plan.kubeconfig.clone(),
            context: plan.context.clone(),
        }
    }

    /// The object or list at a path.
    ///
    /// # Errors
    /// `NotFound`, `Denied`; `Unreachable` if a retry may help.
    pub async fn get(&self, path: &str) -> Result<Value> {
        json_of(&self.call_again("get", path, None).await?)
    }

    /// The text at a path: the log of a pod.
    ///
    /// # Errors
    /// Those of [`Api::get`].
    pub async fn text(&self, path: &str) -> Result<String> {
        self.call_again("get", path, None).await
    }

    /// Creates an object in a list; the object as it is stored.
    ///
    /// # Errors
    /// `AlreadyExists`; `NoSpace` if a quota is used up; `Refused` if the cluster's rules forbid it; those of
    /// [`Api::get`].
    pub async fn create(&self, list: &str, object: &Value) -> Result<Value> {
        json_of(&self.call("create", list, Some(object)).await?)
    }

    /// Deletes the object at a path; with a UID only if it has that one.
    ///
    /// # Errors
    /// `Conflict` if it has another UID; those of [`Api::get`].
    pub async fn delete(&self, path: &str, uid: Option<&str>) -> Result<()> {
        let mut options = json!({"apiVersion": "v1", "kind": "DeleteOptions"});
        if let Some(uid) = uid {
            options["preconditions"] = json!({"uid": uid});
        }
        self.call_again("delete", path, Some(&options)).await.map(drop)
    }

    /// A call that can be repeated: for a while the API server may be away.
    async fn call_again(&self, verb: &str, path: &str, input: Option<&Value>) -> Result<String> {
        let began = clock::instant();
        loop {
            match self.call(verb, path, input).await {
                Err(e) if e.kind() == Kind::Unreachable && began.elapsed() < AWAY_MAX => {
                    clock::sleep(BETWEEN).await;
                }
                done => return done,
            }
        }
    }

    async fn call(&self, verb: &str, path: &str, input: Option<&Value>) -> Result<String> {
        let label = format!("{} {verb} {}", self.kubectl, path.split('?').next().unwrap_or(path));
        let mut command = Command::new(&self.kubectl);
        if let Some(file) = &self.kubeconfig {
            command.arg("--kubeconfig").arg(file);
        }
        if let Some(context) = &self.context {
            command.args(["--context", context]);
        }
        command.args([verb, "--raw", path]);
        if input.is_some() {
            command.args(["--filename", "-"]); // a Secret does not go on a command line or to the disk
        }
        environment::clean(command.as_std_mut(), environment::Child::Kubectl);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = Supervised::start(&mut command).map_err(|e| {
            Error::new(Kind::Config, format!("cannot start {}", self.kubectl))
                .because(e)
                .next("install kubectl, or set kubernetes.kubectl in the plan to its path")
        })?;
        let (stdin, out, err) = (child.stdin(), child.stdout(), child.stderr());
        let (answer, said) = (Tail::of(ANSWER_BYTES_MAX), Tail::of(SAID_BYTES_MAX));
        let input = input.map(Value::to_string).unwrap_or_default();
        let writing = async {
            if let Some(mut stdin) = stdin {
                // Where kubectl ends without reading it, its own words say why.
                let _ = stdin.write_all(input.as_bytes()).await;
            }
        };
        let listening = async {
            tokio::join!(writing, answer.listen(out, |_| {}), said.listen(err, |_| {}));
        };
        let asked = (Asked::Group(Signal::TERM), PATIENCE);
        let end = child.end(CALL_LIMIT, std::future::pending(), asked, listening).await;
        let end = end.map_err(|e| Error::new(Kind::Io, format!("cannot wait for {label}")).because(e))?;
        match end.stopped {
            Some(Stopped::TooLate | Stopped::Cancelled) => {
                let what = format!("{label} did not end within {} s", CALL_LIMIT.as_secs());
                Err(Error::new(Kind::Unreachable, what))
            }
            None if end.status.success() => Ok(answer.text()),
            None => Err(failed(&label, &status_text(end.status), &said.text())),
        }
    }
}

fn json_of(text: &str) -> Result<Value> {
    serde_json::from_str(text)
        .map_err(|e| Error::new(Kind::Unreachable, "the answer of the API server is not JSON").because(e))
}

/// What went wrong, by the words of the API server, which kubectl repeats: its exit code is always 1.
fn failed(label: &str, status: &str, said: &str) -> Error {
    let lines: Vec<&str> = said.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let last = shortened(&lines[lines.len().saturating_sub(5)..].join("; "), SAID_CHARS_MAX);
    if let Some(right) = missing_right(&last) {
        let what = format!("the account of the drill may not {right}");
        return Error::new(Kind::Denied, what).because(last).next(format!("give it the rights of {RIGHTS}"));
    }
    let has = |word: &str| last.contains(word);
    let (kind, what) = match () {
        () if has("exceeded quota") => (Kind::NoSpace, "a quota of the cluster is too small"),
        () if has("(Unauthorized)") || has("must be logged in") => {
            (Kind::Denied, "the API server does not accept the account of the drill")
        }
        () if has("(AlreadyExists)") => (Kind::AlreadyExists, "it exists"),
        () if has("(NotFound)") => (Kind::NotFound, "it does not exist"),
        () if has("(Conflict)") => (Kind::Conflict, "another object has its name now"),
        () if has("(Forbidden)") || has("admission webhook") || has("(Invalid)") || has("(BadRequest)") => {
            (Kind::Refused, "a rule of the cluster forbids it")
        }
        () => (Kind::Unreachable, "the API server was not reached"),
    };
    Error::new(kind, format!("{label} failed ({status}): {what}")).because(last)
}

/// `create jobs.batch` of `User "x" cannot create resource "jobs" in API group "batch" in the namespace "n"`.
fn missing_right(said: &str) -> Option<String> {
    let (verb, rest) = said.split_once("\" cannot ")?.1.split_once(" resource \"")?;
    let (resource, rest) = rest.split_once('"')?;
    let group = rest.split_once("API group \"").and_then(|(_, rest)| rest.split_once('"'));
    Some(match group {
        Some((group, _)) if !group.is_empty() => format!("{verb} {resource}.{group}"),
        _ => format!("{verb} {resource}"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_of_the_api_server_say_what_went_wrong() {
        let of = |said: &str| failed("kubectl create /x", "exit code 1", said);
        let denied =
            of("Error from server (Forbidden): jobs.batch is forbidden: User \"drill\" cannot create \
                         resource \"jobs\" in API group \"batch\" in the namespace \"n\"");
        assert_eq!(denied.kind(), Kind::Denied);
        assert_eq!(denied.what(), "the account of the drill may not create jobs.batch");
        let core = "User \"x\" cannot list resource \"namespaces\" in API group \"\" at the cluster scope";
        assert_eq!(missing_right(core).unwrap(), "list namespaces");
        for (said, kind) in [
            (
                "Error from server (Forbidden): pods \"x\" is forbidden: exceeded quota: q, requested: 1",
                Kind::NoSpace,
            ),
            ("Error from server (Forbidden): pods \"x\" is forbidden: violates PodSecurity", Kind::Refused),
            ("error: You must be logged in to the server (Unauthorized)", Kind::Denied),
            ("Error from server (AlreadyExists): namespaces \"x\" already exists", Kind::AlreadyExists),
            ("Error from server (NotFound): namespaces \"x\" not found", Kind::NotFound),
            ("Error from server (Conflict): Precondition failed: UID in precondition: a", Kind::Conflict),
            ("The connection to the server 127.0.0.1:1 was refused", Kind::Unreachable),
            ("", Kind::Unreachable),
        ] {
            assert_eq!(of(said).kind(), kind, "{said}");
        }
    }
}
