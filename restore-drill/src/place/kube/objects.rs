//! The objects of a drill in Kubernetes, as the API takes them. Pure.
//!
//! The order in which they are made is a promise: the quota, the limits and the policy that closes the
//! network are there before anything can run. The pod that proves has no secret, and nothing lets it out.

use std::collections::BTreeMap;

use base64ct::{Base64, Encoding};
use serde_json::{Value, json};

use super::order;
use crate::plan::kubernetes::{KubePlan, Way};

/// The label that says that a namespace is of a drill, and its value.
pub const MANAGED: (&str, &str) = ("app.kubernetes.io/managed-by", "restore-drill");
/// The drill of a namespace.
pub const DRILL: &str = "lifeboat.example/drill";
/// How many seconds after its creation a namespace may be removed.
pub const SECONDS: &str = "lifeboat.example/seconds-to-live";
/// Which part of a drill a pod is.
const PART: &str = "lifeboat.example/part";
/// The Secret, and the policy that lets the restore reach the repository.
pub const WAY_IN: &str = "restore";
const ORDER: &str = "order";
const VOLUME: &str = "data";
/// The user and group of all processes in a pod.
const USER: u32 = 10_001;
/// PostgreSQL needs a name for its user, whatever the image has.
const ACCOUNTS: &str = "root:x:0:0:root:/root:/bin/sh\ndrill:x:10001:10001:drill:/tmp:/bin/sh\n";
/// The small files of a pod.
const TMP_BYTES: &str = "1Gi";
/// What a pod is sure to get; it may use more.
const CPU_REQUESTED: &str = "100m";
/// How long a pod may take to end when it is asked to.
const GRACE_SECONDS: u32 = 15;

/// A part of the drill, which a Job carries out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Part {
    /// With the secrets and a way to the repository.
    Restore,
    /// With neither.
    Prove,
}

impl Part {
    /// The name of its Job.
    pub fn name(self) -> &'static str {
        match self {
            Part::Restore => "restore",
            Part::Prove => "prove",
        }
    }
}

/// The name of a drill's namespace.
pub fn namespace_name(drill: &str) -> String {
    let safe = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' };
    format!("restore-drill-{}", drill.chars().map(safe).collect::<String>())
}

/// The namespace.
pub fn namespace(drill: &str, seconds: u64) -> Value {
    json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {
        "name": namespace_name(drill),
        "labels": {
            MANAGED.0: MANAGED.1,
            "pod-security.kubernetes.io/enforce": "restricted",
        },
        "annotations": {DRILL: drill, SECONDS: seconds.to_string()},
    }})
}

/// What is there before anything else: the list of each kind in the namespace, and the object.
pub fn fences(plan: &KubePlan) -> [(&'static str, Value); 3] {
    let (cpu, memory, storage) = (&plan.cpu, &plan.memory, &plan.storage);
    let quota = json!({"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "drill"}, "spec": {
    "hard": {
        "pods": "2", "limits.cpu": cpu, "limits.memory": memory, "requests.storage": storage,
        "persistentvolumeclaims": "1", "services": "0",
    }}});
    let limits = json!({"apiVersion": "v1", "kind": "LimitRange", "metadata": {"name": "drill"}, "spec": {
        "limits": [{"type": "Container", "max": {"cpu": cpu, "memory": memory}}]}});
    let closed = policy("closed", json!({}), &["Ingress", "Egress"], json!([]));
    [
        ("api/v1/namespaces/{}/resourcequotas", quota),
        ("api/v1/namespaces/{}/limitranges", limits),
        ("apis/networking.k8s.io/v1/namespaces/{}/networkpolicies", closed),
    ]
}

fn policy(name: &str, pods: Value, types: &[&str], egress: Value) -> Value {
    json!({"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": {"name": name},
        "spec": {"podSelector": pods, "policyTypes": types, "egress": egress}})
}

/// Lets the pod that restores reach the repository. Port 53 is that of name servers: TCP and UDP.
pub fn way_in(ways: &[Way]) -> Value {
    let rule = |way: &Way| {
        let mut ports = vec![json!({"port": way.port, "protocol": "TCP"})];
        if way.port == 53 {
            ports.push(json!({"port": way.port, "protocol": "UDP"}));
        }
        json!({"to": [{"ipBlock": {"cidr": way.cidr()}}], "ports": ports})
    };
    let pods = json!({"matchLabels": {PART: Part::Restore.name()}});
    policy(WAY_IN, pods, &["Egress"], ways.iter().map(rule).collect())
}

/// The files of the pod that restores, and its variables.
pub fn secret(files: &BTreeMap<String, Vec<u8>>) -> Value {
    let data: BTreeMap<_, _> =
        files.iter().map(|(name, bytes)| (name, Base64::encode_string(bytes))).collect();
    json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": WAY_IN}, "type": "Opaque", "data": data})
}

/// What both pods are told.
pub fn settings(order: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": ORDER},
        "data": {order::FILE: order, "passwd": ACCOUNTS}})
}

/// The volume that both pods share.
pub fn volume(plan: &KubePlan) -> Value {
    let mut spec = json!({"accessModes": ["ReadWriteOnce"],
        "resources": {"requests": {"storage": plan.storage}}});
    if let Some(class) = &plan.storage_class {
        spec["storageClassName"] = json!(class);
    }
    json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": VOLUME}, "spec": spec})
}

/// The Job of a part. `variables` are keys of the Secret that are variables of the environment.
pub fn job(plan: &KubePlan, part: Part, seconds: u64, variables: &[String]) -> Value {
    let mut mounts = vec![
        json!({"name": ORDER, "mountPath": order::DIR, "readOnly": true}),
        json!({"name": ORDER, "mountPath": "/etc/passwd", "subPath": "passwd", "readOnly": true}),
        json!({"name": VOLUME, "mountPath": order::WORK_DIR}),
        json!({"name": "tmp", "mountPath": "/tmp"}),
        json!({"name": "shared-memory", "mountPath": "/dev/shm"}),
    ];
    let mut volumes = vec![
        json!({"name": ORDER, "configMap": {"name": ORDER}}),
        json!({"name": VOLUME, "persistentVolumeClaim": {"claimName": VOLUME}}),
        json!({"name": "tmp", "emptyDir": {"sizeLimit": TMP_BYTES}}),
        json!({"name": "shared-memory", "emptyDir": {"medium": "Memory"}}),
    ];
    let mut environment = vec![json!({"name": "HOME", "value": "/tmp"})];
    if part == Part::Restore {
        mounts.push(json!({"name": WAY_IN, "mountPath": order::SECRET_DIR, "readOnly": true}));
        volumes.push(json!({"name": WAY_IN, "secret": {"secretName": WAY_IN, "defaultMode": 0o440}}));
        environment.extend(
            variables.iter().map(
                |name| json!({"name": name, "valueFrom": {"secretKeyRef": {"name": WAY_IN, "key": name}}}),
            ),
        );
    }
    let (cpu, memory) = (&plan.cpu, &plan.memory);
    let container = json!({
        "name": "drill", "image": plan.image,
        "command": ["restore-drill", "inside", part.name()],
        "workingDir": "/tmp", "env": environment, "volumeMounts": mounts,
        "securityContext": {"allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true,
            "capabilities": {"drop": ["ALL"]}},
        "resources": {"limits": {"cpu": cpu, "memory": memory}, "requests": {"cpu": CPU_REQUESTED, "memory": memory}},
    });
    let pod = json!({
        "restartPolicy": "Never", "automountServiceAccountToken": false, "enableServiceLinks": false,
        "terminationGracePeriodSeconds": GRACE_SECONDS,
        "securityContext": {"runAsNonRoot": true, "runAsUser": USER, "runAsGroup": USER, "fsGroup": USER,
            "fsGroupChangePolicy": "OnRootMismatch", "seccompProfile": {"type": "RuntimeDefault"}},
        "containers": [container], "volumes": volumes,
    });
    json!({"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": part.name()}, "spec": {
        "backoffLimit": 0, "activeDeadlineSeconds": seconds, "ttlSecondsAfterFinished": 3600,
        "template": {"metadata": {"labels": {PART: part.name()}}, "spec": pod},
    }})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_a_namespace_is_safe() {
        let name = namespace_name("20261130T152139Z-drill-4f3a9c1e");
        assert_eq!(name, "restore-drill-20261130t152139z-drill-4f3a9c1e");
        assert!(name.len() <= 63);
    }
}
