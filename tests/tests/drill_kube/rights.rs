//! deploy/kubernetes/drill-rights.yaml: what is in it is enough, and each right of it is needed, and named
//! where it is missing.

use std::fs;
use std::path::PathBuf;

use lifeboat_tests::program::workspace_root;
use serde_json::{Value, json};

use crate::room::Room;

pub fn the_shipped_rights_are_enough_and_each_is_named(room: &Room) {
    room.kube.kubectl(&["create", "namespace", "restore-drills"], "");
    let shipped = workspace_root().join("deploy/kubernetes/drill-rights.yaml");
    room.kube.kubectl(&["apply", "-f", shipped.to_str().unwrap()], "");
    let kubeconfig = account(room);
    room.drill_as(&kubeconfig, "", "").run().ok();
    room.clean();

    let role = room.json(&["get", "clusterrole", "restore-drill"]);
    for (at, verb, right) in rights(&role) {
        // Only needed where something goes wrong: hostile.rs.
        if ["get jobs.batch", "list events"].contains(&right.as_str()) {
            continue;
        }
        let mut less = role.clone();
        less["metadata"] = json!({"name": "restore-drill"});
        let rule = &mut less["rules"][at];
        let resource = right.split([' ', '.']).nth(1).unwrap();
        rule["resources"].as_array_mut().unwrap().retain(|known| known != resource);
        let mut others = json!({"apiGroups": rule["apiGroups"], "resources": [resource], "verbs": []});
        others["verbs"] =
            role["rules"][at]["verbs"].as_array().unwrap().iter().filter(|v| **v != *verb).cloned().collect();
        let rules = less["rules"].as_array_mut().unwrap();
        rules.push(others);
        rules.retain(|rule| {
            ["resources", "verbs"].iter().all(|key| !rule[key].as_array().unwrap().is_empty())
        });
        room.kube.kubectl(&["replace", "-f", "-"], &less.to_string());
        let done = room.drill_as(&kubeconfig, "", "").run();
        let words = format!("may not {right}");
        assert!(done.code == Some(4) && done.stderr.contains(&words), "{words}: {done}");
        assert!(done.stderr.contains("drill-rights.yaml"), "{done}");
        for left in room.namespaces() {
            assert!(right.ends_with(" namespaces"), "{right} leaves {left}");
            room.kube.kubectl(&["delete", "namespace", &left], "");
        }
    }
    let mut whole = role;
    whole["metadata"] = json!({"name": "restore-drill"});
    room.kube.kubectl(&["replace", "-f", "-"], &whole.to_string());
}

/// Each right: its rule, its verb, and how an error names it.
fn rights(role: &Value) -> Vec<(usize, String, String)> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let mut found = Vec::new();
    for (at, rule) in role["rules"].as_array().unwrap().iter().enumerate() {
        let group = text(&rule["apiGroups"][0]);
        for resource in rule["resources"].as_array().unwrap() {
            for verb in rule["verbs"].as_array().unwrap() {
                let right = format!("{} {}", text(verb), text(resource));
                let right = if group.is_empty() { right } else { format!("{right}.{group}") };
                found.push((at, text(verb), right));
            }
        }
    }
    found
}

/// A kubeconfig of the account that is shipped.
fn account(room: &Room) -> PathBuf {
    let list = room.json(&["get", "secrets", "-n", "restore-drills"]);
    let of = |secret: &&Value| {
        secret["metadata"]["annotations"]["kubernetes.io/service-account.name"] == "restore-drill"
    };
    let secret = list["items"].as_array().unwrap().iter().find(of).expect("the account has a token");
    let token = secret["metadata"]["name"].as_str().unwrap();
    let get =
        ["get", "secret", "-n", "restore-drills", token, "-o", "go-template={{.data.token | base64decode}}"];
    let token = room.kube.kubectl(&get, "");
    let file = room.path("account.kubeconfig");
    fs::copy(room.kube.kubeconfig(), &file).unwrap();
    let kubectl = |args: &[&str]| {
        let file = file.to_str().unwrap();
        room.kube.kubectl(&[args, &["--kubeconfig", file]].concat(), "")
    };
    kubectl(&["config", "set-credentials", "drill", "--token", token.trim()]);
    kubectl(&["config", "set-context", "--current", "--user", "drill"]);
    file
}
