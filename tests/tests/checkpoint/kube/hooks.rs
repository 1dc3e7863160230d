//! The Jobs of deploy/argo-cd and deploy/helm.

use lifeboat_tests::Program;

use super::production::{Production, deploy, replaced};

pub const IMAGE: &str = "sha256:abababababababababababababababababababababababababababababababab";
const FILES: [&str; 2] = ["argo-cd/checkpoint-presync.yaml", "helm/checkpoint-pre-upgrade.yaml"];

/// What differs from release to release in a file of ours.
pub struct Values<'a> {
    pub release: &'a str,
    pub image: &'a str,
    pub approved_by: &'a str,
}

/// One of the files with these values in place of ours.
pub fn job(file: &str, values: &Values) -> String {
    let text = deploy(file);
    let text = replaced(&text, "value: \"2026.11.20\"", &format!("value: {}", values.release));
    let text = replaced(&text, "value: \"sha256:REPLACE\"", &format!("value: {}", values.image));
    let name = "{name: APPROVED_BY, value: ";
    let text = replaced(&text, &format!("{name}\"REPLACE\""), &format!("{name}{}", values.approved_by));
    let name = "{name: MIGRATION_APPROVED_BY, value: ";
    replaced(&text, &format!("{name}\"REPLACE\""), &format!("{name}{}", values.approved_by))
}

pub fn the_jobs_pass_and_block(production: &Production) {
    for (file, passes, blocked) in [(FILES[0], "2026.11.20", "r1-no"), (FILES[1], "r2", "r2-no")] {
        apply(production, file, passes, "anna");
        production.wait("job/lifeboat-checkpoint", "complete");
        let log = production.kube.kubectl(&["logs", "job/lifeboat-checkpoint"], "");
        assert!(log.contains(&format!("release {passes} may go on")), "{log}");
        is_stored(production, passes);

        apply(production, file, blocked, "\"\"");
        production.wait("job/lifeboat-checkpoint", "failed");
        is_blocked(production, blocked);
    }
}

/// Whoever has the public key says so, offline.
pub fn is_stored(production: &Production, release: &str) {
    let evidence = production.evidence(release);
    let verify = Program::lifeboat().args(["evidence", "verify"]).arg(evidence).arg("--key");
    let told = verify.arg(production.path("evidence.pub.pem")).run().ok().stdout;
    assert!(told.contains(release), "{told}");
}

/// Each pod of the Job ended with 19, and its log says which gate it was.
pub fn is_blocked(production: &Production, release: &str) {
    let pods = production.pods("app=lifeboat-checkpoint");
    assert!(!pods.is_empty());
    for pod in pods {
        let code = &pod["status"]["containerStatuses"][0]["state"]["terminated"]["exitCode"];
        assert_eq!(code, 19, "{pod}");
        let log = production.kube.kubectl(&["logs", pod["metadata"]["name"].as_str().unwrap()], "");
        for words in
            [&format!("BLOCKED release {release}: gates approval, migration"), "no evidence was stored"]
        {
            assert!(log.contains(words), "{words:?} is not in {log}");
        }
    }
    assert!(!production.evidence(release).exists());
}

/// As the hooks do: the Job of the last release goes first.
fn apply(production: &Production, file: &str, release: &str, approved_by: &str) {
    clear(production);
    let text = job(file, &Values { release, image: IMAGE, approved_by });
    // Without validation: this Kubernetes does not know `podFailurePolicy`, which came in 1.25, and leaves it
    // out. So a blocked Job runs twice here (`backoffLimit`).
    production.kube.kubectl(&["apply", "--validate=false", "-f", "-"], &text);
}

pub fn clear(production: &Production) {
    let delete = ["delete", "job", "lifeboat-checkpoint", "--ignore-not-found", "--timeout=100s"];
    production.kube.kubectl(&delete, "");
    let gone = ["wait", "pods", "-l", "app=lifeboat-checkpoint", "--for=delete", "--timeout=100s"];
    production.kube.try_kubectl(&gone, ""); // without pods it says so and fails
}
