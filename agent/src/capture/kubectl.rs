//! Runs kubectl, which reads only: what kinds of objects there are, and lists of them.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::Signal;
use serde_json::Value;
use tokio::io::AsyncReadExt;
use tokio::process::Command;
use tokio_util::sync::CancellationToken;

use crate::child::{Asked, Stopped, Supervised, Tail, status_text};
use crate::config::Configuration;
use crate::disk;
use crate::environment;
use crate::error::shown::foreign;
use crate::error::{Error, Kind, Result};

/// How long one call may take.
const CALL_LIMIT: Duration = Duration::from_secs(120);
/// The same, for kubectl itself. In a pod it would not look for the pod's account then, but on this machine.
const REQUEST_TIMEOUT: &str = "--request-timeout=60s";
/// Largest answer: it is held in memory.
const ANSWER_BYTES_MAX: u64 = 64 << 20;
/// How much of standard error is kept.
const TAIL_BYTES_MAX: usize = 16 << 10;
/// How long it may take to end when it is asked to.
const PATIENCE: Duration = Duration::from_secs(5);

/// How kubectl is called.
#[derive(Clone, Debug)]
pub(super) struct Kubectl {
    program: String,
    kubeconfig: Option<PathBuf>,
    cache: Option<PathBuf>,
    cancel: CancellationToken,
}

impl Kubectl {
    /// As the configuration says.
    pub(super) fn new(config: &Configuration, cancel: &CancellationToken) -> Kubectl {
        Kubectl {
            program: config.kubectl.clone(),
            kubeconfig: config.kubeconfig.clone(),
            cache: cache(&config.kubectl_cache),
            cancel: cancel.clone(),
        }
    }

    /// The kinds of objects in namespaces that can be listed, as `deployments.apps`. A group that does not
    /// answer (often that of metrics) is an error only if it is one of `needed`.
    pub(super) async fn kinds(&self, needed: &[&str]) -> Result<Vec<String>> {
        let args = ["api-resources", "--namespaced=true", "--verbs=list", "--output=name"];
        let ended = self.call(&args).await?;
        let silent = silent_groups(&ended.said);
        let others = !silent.is_empty() && silent.iter().all(|group| !needed.contains(&group.as_str()));
        let out = if others { ended.answer } else { ended.answer()? };
        Ok(String::from_utf8_lossy(&out).lines().map(|line| line.trim().to_owned()).collect())
    }

    /// All objects of these kinds in a namespace; `which` is a selector of fields.
    ///
    /// # Errors
    /// `Denied` where the role may not list one of them.
    pub(super) async fn list(&self, namespace: &str, kinds: &[&str], which: &str) -> Result<Vec<Value>> {
        let (kinds, which) = (kinds.join(","), format!("--field-selector={which}"));
        self.objects(&["get", &kinds, "--namespace", namespace, &which, "--output=json"]).await
    }

    /// The names of objects of one kind.
    ///
    /// # Errors
    /// As [`Kubectl::list`].
    pub(super) async fn names(&self, namespace: &str, kind: &str, which: &str) -> Result<Vec<String>> {
        let which = format!("--field-selector={which}");
        let out = self.run(&["get", kind, "--namespace", namespace, &which, "--output=name"]).await?;
        let text = String::from_utf8_lossy(&out);
        Ok(text.lines().filter_map(|line| Some(line.trim().split_once('/')?.1.to_owned())).collect())
    }

    /// These objects.
    ///
    /// # Errors
    /// `NotFound` where one is gone meanwhile; `Denied` where the role may not get them.
    pub(super) async fn get(&self, namespace: &str, kind: &str, names: &[&str]) -> Result<Vec<Value>> {
        let args = ["get", kind, "--namespace", namespace, "--output=json"];
        self.objects(&[&args[..], names].concat()).await
    }

    async fn objects(&self, args: &[&str]) -> Result<Vec<Value>> {
        let out = self.run(args).await?;
        let failed = |e: serde_json::Error| {
            Error::new(Kind::Io, format!("the answer of {} is not JSON", self.program)).because(e)
        };
        let mut list: Value = serde_json::from_slice(&out).map_err(failed)?;
        match list.get_mut("items").map(Value::take) {
            Some(Value::Array(items)) => Ok(items),
            None if list["kind"].is_string() => Ok(vec![list]), // one alone is no list
            _ => Err(Error::new(Kind::Io, format!("the answer of {} is not a list", self.program))),
        }
    }

    /// Whether a namespace exists: a list of a missing one is empty.
    pub(super) async fn check_namespace(&self, namespace: &str) -> Result<()> {
        self.run(&["get", "namespace", namespace, "--output=name"]).await.map(drop).map_err(|e| {
            match e.kind() {
                Kind::NotFound => e.next("correct configuration.namespaces"),
                _ => e,
            }
        })
    }

    /// Which version it is. Asks no server.
    pub(super) async fn version(&self) -> Result<String> {
        let out = self.run(&["version", "--client", "--output=json"]).await?;
        let told: Value = serde_json::from_slice(&out).unwrap_or_default();
        let version = told["clientVersion"]["gitVersion"].as_str();
        Ok(version.map_or("of an unknown version".to_owned(), |version| foreign(version).to_string()))
    }

    /// Whether the account may do this in a namespace.
    pub(super) async fn may(&self, verb: &str, what: &str, namespace: &str) -> Result<bool> {
        let ended = self.call(&["auth", "can-i", verb, what, "--namespace", namespace]).await?;
        // `no`, or `no - why`
        match ended.answer.split(u8::is_ascii_whitespace).next() {
            Some(b"yes") => Ok(true),
            Some(b"no") => Ok(false),
            _ => Err(failed(&ended.label, &status_text(ended.status), &ended.said)),
        }
    }

    /// Runs it to its end; what it printed.
    async fn run(&self, args: &[&str]) -> Result<Vec<u8>> {
        self.call(args).await?.answer()
    }

    async fn call(&self, args: &[&str]) -> Result<Ended> {
        let label = format!("{} {}", self.program, args.join(" "));
        let mut command = Command::new(&self.program);
        if let Some(file) = &self.kubeconfig {
            command.arg("--kubeconfig").arg(file).arg(REQUEST_TIMEOUT);
        }
        if let Some(dir) = &self.cache {
            command.arg("--cache-dir").arg(dir);
        }
        command.args(args);
        environment::clean(command.as_std_mut(), environment::Child::Kubectl);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = Supervised::start(&mut command).map_err(|e| {
            let cause = Error::file("run", self.program.as_ref(), e);
            Error::new(Kind::Config, format!("cannot start {}", self.program))
                .because(cause)
                .effect("the objects of Kubernetes cannot be captured: nothing was stored")
                .next("install kubectl, or set configuration.kubectl to its path; without configuration.namespaces it is not needed")
        })?;
        let (stdout, stderr, tail) = (child.stdout(), child.stderr(), Tail::of(TAIL_BYTES_MAX));
        let mut answer = Vec::new();
        let reading = async {
            if let Some(stdout) = stdout {
                // A read that fails leaves an answer that is cut: its JSON does not parse.
                let _ = stdout.take(ANSWER_BYTES_MAX + 1).read_to_end(&mut answer).await;
            }
        };
        let listening = async {
            tokio::join!(reading, tail.listen(stderr, |_| {}));
        };
        let asked = (Asked::Group(Signal::TERM), PATIENCE);
        let end = child.end(CALL_LIMIT, self.cancel.cancelled(), asked, listening).await;
        let end = end.map_err(|e| Error::new(Kind::Io, format!("cannot wait for {label}")).because(e))?;
        match end.stopped {
            Some(Stopped::Cancelled) => {
                Err(Error::new(Kind::Interrupted, format!("{label} was stopped"))
                    .safe("running again is safe"))
            }
            Some(Stopped::TooLate) => {
                let limit = CALL_LIMIT.as_secs();
                Err(Error::new(Kind::Unreachable, format!("{label} did not end within {limit} s"))
                    .effect("the objects of Kubernetes cannot be captured: nothing was stored")
                    .safe("running again is safe"))
            }
            None if answer.len() as u64 > ANSWER_BYTES_MAX => {
                let most = ANSWER_BYTES_MAX >> 20;
                Err(Error::new(Kind::Io, format!("{label} printed more than {most} MiB")))
            }
            None => Ok(Ended { label, status: end.status, answer, said: tail.text() }),
        }
    }
}

/// The place for what kubectl knows of the server: without one it asks again at each call, or writes below
/// HOME. `None` where the state directory is of another user: a file of ours there would be in his way.
fn cache(dir: &Path) -> Option<PathBuf> {
    let above = dir.ancestors().skip(1).find_map(|dir| disk::metadata(dir).ok().flatten())?;
    let is_ours = above.uid() == rustix::process::geteuid().as_raw();
    (is_ours && disk::create_private_dir(dir).is_ok()).then(|| dir.to_owned())
}

/// A call that came to its end.
struct Ended {
    label: String,
    status: ExitStatus,
    answer: Vec<u8>,
    /// The end of standard error.
    said: String,
}

impl Ended {
    fn answer(self) -> Result<Vec<u8>> {
        match self.status.success() {
            true => Ok(self.answer),
            false => Err(failed(&self.label, &status_text(self.status), &self.said)),
        }
    }
}

/// The groups of which kubectl says that they did not answer: `metrics.k8s.io` of
/// `metrics.k8s.io/v1beta1: …`.
fn silent_groups(said: &str) -> Vec<String> {
    let Some((_, list)) = said.split_once("unable to retrieve the complete list of server APIs:") else {
        return Vec::new();
    };
    let words = list.split([',', ' ', '\n']).filter_map(|word| word.strip_suffix(':'));
    words.filter_map(|word| Some(word.split_once('/')?.0.to_owned())).collect()
}

/// What went wrong, by kubectl's own words: it has one exit code for everything.
fn failed(label: &str, status: &str, said: &str) -> Error {
    let kind = match () {
        () if said.contains("Forbidden") || said.contains("Unauthorized") => Kind::Denied,
        () if said.contains("NotFound") => Kind::NotFound,
        () => Kind::Unreachable,
    };
    let last: Vec<&str> = said.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let last = last[last.len().saturating_sub(5)..].join("; ");
    Error::new(kind, format!("{label} failed ({status})"))
        .because(foreign(&last).to_string())
        .effect("the objects of Kubernetes cannot be captured: nothing was stored")
        .next(match kind {
            Kind::Denied => "give its role the rights that docs/least-privilege.md lists",
            _ => "try the same command by hand, as the user that runs lifeboat",
        })
        .safe("running again is safe")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kubectl(script: &str) -> (tempfile::TempDir, Kubectl) {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let program = dir.path().join("kubectl");
        disk::write_new_durable(&program, format!("#!/bin/sh\n{script}\n").as_bytes()).unwrap();
        std::fs::set_permissions(&program, PermissionsExt::from_mode(0o700)).unwrap();
        let program = program.display().to_string();
        (dir, Kubectl { program, kubeconfig: None, cache: None, cancel: CancellationToken::new() })
    }

    #[tokio::test]
    async fn answers_are_read_and_failures_have_their_kind() {
        let (_dir, good) = kubectl("echo '{\"items\": [1, 2]}'");
        assert_eq!(good.list("prod", &["services"], "").await.unwrap().len(), 2);
        let cases = [
            ("echo 'Error from server (Forbidden): services is forbidden' >&2; exit 1", Kind::Denied),
            ("echo 'Error from server (NotFound): x' >&2; exit 1", Kind::NotFound),
            ("echo 'Unable to connect to the server' >&2; exit 1", Kind::Unreachable),
            ("echo nonsense", Kind::Io),
        ];
        for (script, kind) in cases {
            let (_dir, bad) = kubectl(script);
            assert_eq!(bad.list("prod", &["services"], "").await.unwrap_err().kind(), kind, "{script}");
        }
        let none = Kubectl { program: "/nonexistent/kubectl".into(), ..good.clone() };
        assert_eq!(none.kinds(&[]).await.unwrap_err().kind(), Kind::Config);
        let script = "echo services; echo 'error: unable to retrieve the complete list of server APIs: \
                      metrics.k8s.io/v1beta1: the server is currently unable' >&2; exit 1";
        let (_dir, partial) = kubectl(script);
        assert_eq!(partial.kinds(&["apps"]).await.unwrap(), ["services"]);
        assert!(partial.kinds(&["metrics.k8s.io"]).await.is_err());
        let (_dir, slow) = kubectl("sleep 60");
        slow.cancel.cancel();
        assert_eq!(slow.kinds(&[]).await.unwrap_err().kind(), Kind::Interrupted);
    }
}
