//! Objects of Kubernetes as they are stored: without what the server adds, so that `kubectl apply` takes
//! them and an unchanged object has the same bytes.

use serde_json::{Map, Value};

/// The kinds that are captured, where the server has them.
pub(super) const KINDS: &[&str] = &[
    "deployments.apps",
    "statefulsets.apps",
    "daemonsets.apps",
    "cronjobs.batch",
    "jobs.batch",
    "services",
    "ingresses.networking.k8s.io",
    "configmaps",
    "persistentvolumeclaims",
    "horizontalpodautoscalers.autoscaling",
    "poddisruptionbudgets.policy",
    "serviceaccounts",
];
/// Traefik's kinds, in the groups of its versions 2 and 3.
pub(super) const TRAEFIK_GROUPS: &[&str] = &["traefik.containo.us", "traefik.io"];
/// Fields of metadata that the server fills in, and those that only count in one cluster.
const OF_THE_SERVER: &[&str] = &[
    "uid",
    "resourceVersion",
    "generation",
    "creationTimestamp",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "selfLink",
    "managedFields",
    "ownerReferences",
    "finalizers",
    "generateName",
];
/// Annotations that controllers write. The first holds the whole object as it was applied, secrets included.
const NOTES_OF_CONTROLLERS: &[&str] = &[
    "kubectl.kubernetes.io/last-applied-configuration",
    "deployment.kubernetes.io/revision",
    "deprecated.daemonset.template.generation",
    "pv.kubernetes.io/bind-completed",
    "pv.kubernetes.io/bound-by-controller",
    "volume.beta.kubernetes.io/storage-provisioner",
    "volume.kubernetes.io/storage-provisioner",
    "volume.kubernetes.io/selected-node",
    "autoscaling.alpha.kubernetes.io/conditions",
    "autoscaling.alpha.kubernetes.io/current-metrics",
    "batch.kubernetes.io/job-tracking",
];
/// An object with this is a lock that its holder renews all the time.
const LOCK: &str = "control-plane.alpha.kubernetes.io/leader";
/// Labels that tie pods to a job that exists.
const LABELS_OF_A_JOB: &[&str] =
    &["controller-uid", "job-name", "batch.kubernetes.io/controller-uid", "batch.kubernetes.io/job-name"];

/// The kind of an object, as `Deployment`.
pub(super) fn kind_of(object: &Value) -> &str {
    object["kind"].as_str().unwrap_or_default()
}

/// The name of an object.
pub(super) fn name_of(object: &Value) -> &str {
    object["metadata"]["name"].as_str().unwrap_or_default()
}

/// Whether the API group is one of Traefik's.
pub(super) fn is_traefik(object: &Value) -> bool {
    let group = object["apiVersion"].as_str().unwrap_or_default().split('/').next().unwrap_or_default();
    TRAEFIK_GROUPS.contains(&group)
}

/// Whether a person or a pipeline made it: not a controller, and not every cluster has it by itself.
pub(super) fn is_made_by_hand(object: &Value) -> bool {
    let metadata = &object["metadata"];
    let owners = metadata["ownerReferences"].as_array().map_or(&[] as &[Value], Vec::as_slice);
    if owners.iter().any(|owner| owner["controller"] == true) || !metadata["annotations"][LOCK].is_null() {
        return false;
    }
    match (kind_of(object), name_of(object)) {
        ("ConfigMap", "kube-root-ca.crt" | "openshift-service-ca.crt") => false,
        ("Service", "kubernetes") => metadata["namespace"] != "default",
        ("ServiceAccount", "default") => {
            !metadata["annotations"].is_null() || !object["imagePullSecrets"].is_null()
        }
        _ => true,
    }
}

/// Removes what the server adds.
pub(super) fn clean(object: &mut Value) {
    let kind = kind_of(object).to_owned();
    let Some(fields) = object.as_object_mut() else { return };
    fields.remove("status");
    templates(fields);
    match kind.as_str() {
        "Service" => service(fields),
        "PersistentVolumeClaim" => remove(fields, &["spec", "volumeName"]),
        "Job" => job(fields),
        "ServiceAccount" => account_tokens(fields),
        _ => {}
    }
}

/// Metadata of the object, and of every template in it.
fn templates(fields: &mut Map<String, Value>) {
    for (name, field) in fields.iter_mut() {
        match (name.as_str(), field) {
            ("metadata", Value::Object(metadata)) => clean_metadata(metadata),
            ("spec" | "template" | "jobTemplate", Value::Object(inner)) => templates(inner),
            ("volumeClaimTemplates", Value::Array(claims)) => {
                for claim in claims.iter_mut().filter_map(Value::as_object_mut) {
                    claim.remove("status");
                    templates(claim);
                }
            }
            _ => {}
        }
    }
}

fn clean_metadata(metadata: &mut Map<String, Value>) {
    for name in OF_THE_SERVER {
        metadata.remove(*name);
    }
    if let Some(Value::Object(notes)) = metadata.get_mut("annotations") {
        for name in NOTES_OF_CONTROLLERS {
            notes.remove(*name);
        }
        if notes.is_empty() {
            metadata.remove("annotations");
        }
    }
}

/// Addresses that the server chose: another cluster has others. `None` is a choice of the person.
fn service(fields: &mut Map<String, Value>) {
    let Some(Value::Object(spec)) = fields.get_mut("spec") else { return };
    if spec.get("clusterIP").is_some_and(|address| address != "None") {
        spec.remove("clusterIP");
        spec.remove("clusterIPs");
    }
    spec.remove("healthCheckNodePort");
}

/// The selector that the server made, and the labels that it selects by.
fn job(fields: &mut Map<String, Value>) {
    let Some(Value::Object(spec)) = fields.get_mut("spec") else { return };
    if spec.get("manualSelector").is_some_and(|manual| manual == true) {
        return;
    }
    spec.remove("selector");
    for label in LABELS_OF_A_JOB {
        remove(spec, &["template", "metadata", "labels", label]);
    }
}

/// Tokens that the server made for the account.
fn account_tokens(fields: &mut Map<String, Value>) {
    let name = fields.get("metadata").and_then(|metadata| metadata["name"].as_str()).unwrap_or_default();
    let begin = format!("{name}-token-");
    let Some(Value::Array(secrets)) = fields.get_mut("secrets") else { return };
    secrets.retain(|secret| !secret["name"].as_str().is_some_and(|name| name.starts_with(&begin)));
    if secrets.is_empty() {
        fields.remove("secrets");
    }
}

/// Removes the field at the end of this path, where it exists.
fn remove(fields: &mut Map<String, Value>, path: &[&str]) {
    match path {
        [] => {}
        [last] => drop(fields.remove(*last)),
        [first, rest @ ..] => {
            if let Some(Value::Object(inner)) = fields.get_mut(*first) {
                remove(inner, rest);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_the_server_adds_goes_and_the_rest_stays() {
        let mut object = json!({ "apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": { "name": "odoo", "namespace": "prod", "uid": "1", "resourceVersion": "9", "generation": 3,
                "creationTimestamp": "2026-01-01T00:00:00Z", "managedFields": [{}], "labels": { "app": "odoo" },
                "annotations": { "kubectl.kubernetes.io/last-applied-configuration": "{s3cr3t}",
                    "deployment.kubernetes.io/revision": "7" } },
            "spec": { "replicas": 2, "template": { "metadata": { "creationTimestamp": null, "labels": { "app": "odoo" } } } },
            "status": { "readyReplicas": 2 } });
        clean(&mut object);
        assert_eq!(
            object,
            json!({ "apiVersion": "apps/v1", "kind": "Deployment",
                "metadata": { "name": "odoo", "namespace": "prod", "labels": { "app": "odoo" } },
                "spec": { "replicas": 2, "template": { "metadata": { "labels": { "app": "odoo" } } } } })
        );
        let text = object.to_string();
        assert!(text.find("apiVersion") < text.find("kind"), "keys are sorted: {text}");
    }

    #[test]
    fn a_service_a_claim_a_job_and_an_account_can_be_made_again() {
        let cleaned = |mut object: Value| {
            clean(&mut object);
            object
        };
        let service = json!({ "kind": "Service", "spec": { "clusterIP": "10.0.0.7", "clusterIPs": ["10.0.0.7"], "ports": [] } });
        assert_eq!(cleaned(service)["spec"], json!({ "ports": [] }));
        let headless = json!({ "kind": "Service", "spec": { "clusterIP": "None" } });
        assert_eq!(cleaned(headless)["spec"]["clusterIP"], "None");
        let claim =
            json!({ "kind": "PersistentVolumeClaim", "spec": { "volumeName": "pv-1", "resources": 1 } });
        assert_eq!(cleaned(claim)["spec"], json!({ "resources": 1 }));
        let job = json!({ "kind": "Job", "spec": { "selector": { "matchLabels": { "controller-uid": "1" } },
            "template": { "metadata": { "labels": { "controller-uid": "1", "job-name": "x", "app": "y" } } } } });
        assert_eq!(cleaned(job)["spec"], json!({ "template": { "metadata": { "labels": { "app": "y" } } } }));
        let account = json!({ "kind": "ServiceAccount", "metadata": { "name": "odoo" },
            "secrets": [{ "name": "odoo-token-x7f2q" }, { "name": "mine" }] });
        assert_eq!(cleaned(account)["secrets"], json!([{ "name": "mine" }]));
    }

    #[test]
    fn what_controllers_and_clusters_make_is_not_captured() {
        let owned = json!({ "kind": "Job", "metadata": { "name": "x", "ownerReferences": [{ "kind": "CronJob", "controller": true }] } });
        let lock = json!({ "kind": "ConfigMap", "metadata": { "name": "x", "annotations": { LOCK: "{}" } } });
        let root = json!({ "kind": "ConfigMap", "metadata": { "name": "kube-root-ca.crt" } });
        let account = json!({ "kind": "ServiceAccount", "metadata": { "name": "default" }, "secrets": [] });
        for object in [owned, lock, root, account] {
            assert!(!is_made_by_hand(&object), "{object}");
        }
        let own = json!({ "kind": "ServiceAccount", "metadata": { "name": "default" }, "imagePullSecrets": [{ "name": "r" }] });
        assert!(is_made_by_hand(&own));
    }
}
