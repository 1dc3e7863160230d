//! Odoo's pods, with the init container of deploy/kubernetes/evidence-init-container.yaml.

use serde_json::Value;

use super::hooks::IMAGE;
use super::production::{LIFEBOAT, Production, deploy, replaced};
use crate::world::until;

/// A Deployment that stands for Odoo's: nothing of it matters but whether its pods start.
const ODOO: &str = "
apiVersion: apps/v1
kind: Deployment
metadata: {name: odoo}
spec:
  selector: {matchLabels: {app: odoo}}
  template:
    metadata: {labels: {app: odoo}}
    spec:
      terminationGracePeriodSeconds: 0
      containers:
        - name: odoo
          image: LIFEBOAT
          command: [sleep, infinity]
          securityContext: {runAsNonRoot: true, runAsUser: 100, allowPrivilegeEscalation: false,
            capabilities: {drop: [ALL]}, seccompProfile: {type: RuntimeDefault}}
";

pub fn pods_start_with_evidence_only(production: &Production) {
    production.kube.kubectl(&["apply", "-f", "-"], &ODOO.replace("LIFEBOAT", LIFEBOAT));
    production.wait("deployment/odoo", "available");
    patch(production, "2026.11.20", IMAGE);
    let status = "kubectl rollout status deployment/odoo --timeout=120s";
    production.sh(status);
    // Odoo's own pod decides who owns the files of the Secret.
    let with_group = r#"{"spec": {"template": {"spec": {"securityContext": {"fsGroup": 1234}}}}}"#;
    production.sh(&format!("kubectl patch deployment odoo -p '{with_group}'; {status}"));
    let pods = production.pods("app=odoo");
    let has_group = |pod: &&Value| pod["spec"]["securityContext"]["fsGroup"] == 1234;
    let verified = pods.iter().find(has_group).unwrap();
    assert_eq!(init(verified)["state"]["terminated"]["exitCode"], 0, "{verified:#}");
    assert_eq!(verified["status"]["containerStatuses"][0]["ready"], true, "{verified:#}");

    let other = IMAGE.replace("ab", "cd");
    for (release, image, code, words) in [
        ("2026.11.20", other.as_str(), 16, ["is for image sha256:abab", "sha256:cdcd"]),
        ("2026.11.21", IMAGE, 5, ["there is no checkpoint of release 2026.11.21", "must not go ahead"]),
    ] {
        patch(production, release, image);
        let is_refused = || {
            let pods = production.pods("app=odoo");
            pods.into_iter().find(|pod| wants(pod, release, image) && ended(pod).is_some())
        };
        let mut found = None;
        until("the init container ends", || {
            found = is_refused();
            found.is_some()
        });
        let pod = found.unwrap();
        assert_eq!(ended(&pod), Some(code), "{pod:#}");
        let main = &pod["status"]["containerStatuses"][0];
        assert_eq!((&main["started"], &main["restartCount"]), (&false.into(), &0.into()), "{pod:#}");
        assert!(main["state"]["waiting"]["reason"] == "PodInitializing", "{pod:#}");
        let name = pod["metadata"]["name"].as_str().unwrap();
        let log = production.kube.kubectl(&["logs", name, "-c", "lifeboat-evidence"], "");
        for words in words {
            assert!(log.contains(words), "{words:?} is not in {log}");
        }
    }
    // The pods of the release before go on.
    let name = verified["metadata"]["name"].as_str().unwrap();
    production.wait(&format!("pod/{name}"), "ready");
}

/// The command that the file's first lines show.
fn patch(production: &Production, release: &str, image: &str) {
    let text = production.with_repository(&deploy("kubernetes/evidence-init-container.yaml"));
    let command = text.lines().find_map(|line| line.strip_prefix("#   kubectl ")).unwrap().to_owned();
    let text = replaced(&text, "\"2026.11.20\"", &format!("{release:?}"));
    production.write("evidence-init-container.yaml", replaced(&text, "sha256:REPLACE", image));
    production.sh(&format!("kubectl {command}"));
}

fn init(pod: &Value) -> &Value {
    &pod["status"]["initContainerStatuses"][0]
}

/// Whether it is a pod of this release and image.
fn wants(pod: &Value, release: &str, image: &str) -> bool {
    let env = pod["spec"]["initContainers"][0]["env"].to_string();
    env.contains(release) && env.contains(image)
}

/// How its init container ended last; kubelet starts it again and again.
fn ended(pod: &Value) -> Option<i64> {
    let states = [&init(pod)["state"], &init(pod)["lastState"]];
    states.iter().find_map(|state| state["terminated"]["exitCode"].as_i64())
}
