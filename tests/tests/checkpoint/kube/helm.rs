//! A real `helm upgrade` (`TEST_HELM` names the program) of a small chart with our file among its templates.

use std::fs;

use lifeboat_tests::{Outcome, skip};

use super::hooks::{self, IMAGE, Values};
use super::production::Production;

/// What the release deploys, as far as Helm is concerned.
const ODOO: &str = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: odoo}\n\
    data: {release: {{ .Values.release | quote }}}\n";
const CHART: &str = "apiVersion: v2\nname: odoo\nversion: 1.0.0\n";

pub fn an_upgrade_is_stopped(production: &Production) {
    let Some(helm) = std::env::var_os("TEST_HELM") else {
        skip::announce(module_path!(), "TEST_HELM does not name the program helm");
        return;
    };
    let templates = production.path("chart/templates");
    fs::create_dir_all(&templates).unwrap();
    fs::write(production.path("chart/Chart.yaml"), CHART).unwrap();
    fs::write(templates.join("odoo.yaml"), ODOO).unwrap();
    let values = Values {
        release: "{{ .Values.release | quote }}",
        image: "{{ .Values.image | quote }}",
        approved_by: "{{ .Values.approvedBy | quote }}",
    };
    let job = hooks::job("helm/checkpoint-pre-upgrade.yaml", &values);
    fs::write(templates.join("checkpoint.yaml"), without_policy(&job)).unwrap();
    hooks::clear(production);
    let helm = |what: &str, release: &str, approved_by: &str| -> Outcome {
        let run = production.program(helm.to_str().unwrap()).args([what, "odoo", "chart"]);
        let run = run.args(["--set", &format!("release={release},image={IMAGE},approvedBy={approved_by}")]);
        run.args(["--timeout", "200s"]).run()
    };
    let deployed = || {
        let release = ["get", "configmap", "odoo", "-o", "jsonpath={.data.release}"];
        production.kube.kubectl(&release, "")
    };
    // The first installation has nothing to go back to, and Helm runs no hook for it.
    helm("install", "h1", "anna").ok();
    assert_eq!((deployed().as_str(), production.pods("app=lifeboat-checkpoint").len()), ("h1", 0));

    helm("upgrade", "h2", "anna").ok();
    assert_eq!(deployed(), "h2");
    hooks::is_stored(production, "h2");

    let stopped = helm("upgrade", "h3", "");
    assert!(stopped.code != Some(0) && stopped.stderr.contains("pre-upgrade hooks failed"), "{stopped}");
    assert_eq!(deployed(), "h2", "the upgrade went on");
    hooks::is_blocked(production, "h3");
}

/// This Kubernetes does not know `podFailurePolicy`, and Helm validates hooks whatever it is told. So the Job
/// runs twice if it is blocked.
fn without_policy(job: &str) -> String {
    let (before, after) = job.split_once("  podFailurePolicy:\n").unwrap();
    let (_, after) = after.split_once("values: [19]}\n").unwrap();
    format!("{before}{after}")
}
