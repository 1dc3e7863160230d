//! deploy/kubernetes/drill.yaml as it is shipped: a drill from within the cluster.

use std::fs;

use lifeboat_tests::program::workspace_root;

use crate::room::{IMAGE, Room, until};

/// After rights.rs, which applies the account.
pub fn a_drill_runs_from_within_the_cluster(room: &Room) {
    let of = |name: &str| {
        format!(
            "--from-file={name}={}",
            room.path(match name {
                "identity.txt" => "lifeboat-identity.txt",
                "drill-key" => "lifeboat-signing-key",
                _ => "s3-keys",
            })
            .display()
        )
    };
    let files = ["identity.txt", "drill-key", "s3-credentials"].map(of);
    let files: Vec<&str> = files.iter().map(String::as_str).collect();
    let secret = ["create", "secret", "generic", "restore-drill", "-n", "restore-drills"];
    room.kube.kubectl(&[&secret[..], &files].concat(), "");

    let mut text = fs::read_to_string(workspace_root().join("deploy/kubernetes/drill.yaml")).unwrap();
    let config = fs::read_to_string(room.site.config()).unwrap();
    let key = config.split('"').find(|text| text.starts_with("ssh-ed25519 ")).unwrap();
    let way = format!("{}/32:{}", room.kube.address(), room.port());
    let url = room.s3.url("odoo");
    // 1.20 has no batch/v1 CronJob; no cloud: the reader's own store, without TLS.
    for (from, to) in [
        ("batch/v1\nkind: CronJob", "batch/v1beta1\nkind: CronJob".to_owned()),
        ("REPLACE: the lines of signing-key.pub and drill-key.pub", key.to_owned()),
        ("203.0.113.7/32:443", way),
        ("s3://acme-backups/odoo", url),
        (
            "eu-central-1\"",
            format!("us-east-1\"\n    endpoint = {:?}\n    allow_http = true", room.s3.endpoint()),
        ),
        ("instance = \"production\"", "instance = \"prod\"".to_owned()),
        ("tenants = [\"*\"]\n    sample = 2", "tenant = \"t1\"".to_owned()),
        ("memory = \"4Gi\"", "memory = \"768Mi\"".to_owned()),
        ("storage = \"50Gi\"", "storage = \"1Gi\"".to_owned()),
    ] {
        assert_eq!(text.matches(from).count(), 1, "{from:?} is not once in {text}");
        text = text.replace(from, &to);
    }
    let text = text.replace("registry.example.com/lifeboat-drill:0.1.0", IMAGE);
    room.kube.kubectl(&["apply", "-f", "-"], &text);
    let job = ["create", "job", "first", "--from=cronjob/restore-drill", "-n", "restore-drills"];
    room.kube.kubectl(&job, "");
    let get =
        ["get", "job", "first", "-n", "restore-drills", "-o", "jsonpath={.status.succeeded}{.status.failed}"];
    until("the drill has ended", || !room.kube.kubectl(&get, "").is_empty());
    let log = room.kube.kubectl(&["logs", "-n", "restore-drills", "job/first"], "");
    assert!(log.contains("PASSED") && log.contains("(signed)"), "{log}");
    room.clean();
}
