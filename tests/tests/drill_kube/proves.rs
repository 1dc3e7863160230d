//! Drills that come to their end, and what they found.

use std::fs;

use lifeboat_tests::compare::walk;

use crate::room::{Room, stage, states, worst};

pub fn a_dump_passes_in_a_namespace_of_its_own(room: &Room) {
    let mut running = room.drill(&room.slow_check(3), "").spawn();
    let name = room.namespace();
    let namespace = room.json(&["get", "namespace", &name]);
    let meta = &namespace["metadata"];
    assert_eq!(meta["labels"]["pod-security.kubernetes.io/enforce"], "restricted");
    let drill = meta["annotations"]["lifeboat.example/drill"].as_str().unwrap().to_owned();
    assert_eq!(name, format!("restore-drill-{}", drill.to_lowercase()));
    assert_eq!(meta["annotations"]["lifeboat.example/seconds-to-live"], "21600");
    room.pod(&name, "restore");
    for kind in ["resourcequota", "limitrange", "networkpolicy", "persistentvolumeclaim"] {
        let list = room.json(&["get", kind, "-n", &name]);
        assert_ne!(list["items"].as_array().unwrap().len(), 0, "{kind}");
    }
    let privileged = "apiVersion: v1\nkind: Pod\nmetadata: {name: x}\nspec: {containers: [{name: x, image: x, \
                      securityContext: {privileged: true}}]}\n";
    let refused = room.kube.try_kubectl(&["create", "-n", &name, "-f", "-"], privileged);
    assert!(refused.code == Some(1) && refused.stderr.contains("restricted"), "{refused}");
    assert!(running.is_running());

    let done = running.finish().ok();
    let report = done.json();
    assert_eq!(report["verdict"], "passed", "{:#}", report["reasons"]);
    assert_eq!(report["drill"], drill.as_str());
    for part in ["archive", "baseline", "files", "indexes", "hard checks", "base checks", "closed"] {
        assert_eq!(worst(&report, part), "done", "{part}");
    }
    let pod = stage(&report, "prove pod")["note"].as_str().unwrap();
    assert!(pod.contains("on node ") && pod.contains("sha256:"), "{pod}");
    assert!(stage(&report, "provision")["note"].as_str().unwrap().contains(meta["uid"].as_str().unwrap()));
    // What the pods report is in the report, and the time that they took to start is in the RTO.
    let own = |check: &serde_json::Value| check["id"] == "SLOW01" && check["status"] == "passed";
    assert!(report["checks"].as_array().unwrap().iter().any(own), "{:#}", report["checks"]);
    assert_eq!(report["stages"][0]["name"], "choose");
    let of = |name: &str| stage(&report, name)["ms"].as_u64().unwrap();
    let rto = report["rto"]["measured_ms"].as_u64().unwrap();
    assert!(rto >= of("restore pod") + of("restore") + of("prove pod") + of("checks"), "{rto}");
    assert!(rto < done.took.as_millis() as u64, "{rto}");
    room.clean();
}

pub fn points_in_time_pass(room: &Room) {
    for target in ["latest", "random"] {
        let report = room.drill(&format!("target = {target:?}"), "").run().ok().json();
        assert_eq!(report["verdict"], "passed", "{:#}", report["reasons"]);
        assert_eq!(worst(&report, "hard checks"), "done");
        assert_ne!(states(&report, "backup before"), ["not-run"], "{:#}", report["findings"]);
    }
    room.clean();
}

pub fn a_damaged_archive_fails_by_name(room: &Room) {
    let mut packs = Vec::new();
    walk(&room.s3.object("odoo"), &mut |path| {
        let text = path.to_string_lossy();
        if text.contains("-dump-") && text.contains("pack") && text.contains("/snapshots/") {
            packs.push(path.to_owned());
        }
    });
    let whole: Vec<Vec<u8>> = packs.iter().map(|pack| fs::read(pack).unwrap()).collect();
    for (pack, bytes) in packs.iter().zip(&whole) {
        let mut bytes = bytes.clone();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        fs::write(pack, bytes).unwrap();
    }
    let drill = room.drill("", "").run();
    for (pack, bytes) in packs.iter().zip(&whole) {
        fs::write(pack, bytes).unwrap();
    }
    let report = drill.exits(1).json();
    assert_eq!((&report["verdict"], states(&report, "restore")), (&"failed".into(), vec!["failed"]));
    room.clean();
}

pub fn what_proves_has_no_secret_and_no_way_out(room: &Room) {
    let running = room.drill(&room.slow_check(12), "").spawn();
    let name = room.namespace();
    let pod = room.pod(&name, "restore");
    let restore = room.json(&["get", "pod", "-n", &name, &pod]);
    assert!(restore["spec"]["volumes"].to_string().contains("secretName"));
    let pod = room.pod(&name, "prove");
    let spec = room.json(&["get", "pod", "-n", &name, &pod])["spec"].to_string();
    assert!(!spec.contains("secret"), "{spec}");
    let ours = room.kube.kubectl(&["get", "secrets", "-n", &name, "-o", "name"], "");
    assert!(!ours.contains("secret/restore"), "{ours}");
    // From inside, by hand: no file of a secret, no account, and neither store nor API server answers.
    let inside =
        |script: &str| room.kube.try_kubectl(&["exec", "-n", &name, &pod, "--", "sh", "-c", script], "");
    inside("test ! -e /drill/secret && test ! -e /var/run/secrets && test ! -e /run/secrets").ok();
    inside("! (: > /x)").ok();
    let policies = room.kube.kubectl(&["get", "networkpolicy", "-n", &name, "-o", "name"], "");
    assert_eq!(policies.trim(), "networkpolicy.networking.k8s.io/closed");
    running.finish().ok();
    room.clean();
}

/// The pod itself sees that its network is open: here the policy that closes it is gone.
pub fn an_open_network_is_seen(room: &Room) {
    let running = room.drill("", "").spawn();
    let name = room.namespace();
    room.pod(&name, "restore");
    room.kube.kubectl(&["delete", "networkpolicy", "closed", "-n", &name], "");
    let report = running.finish().exits(4).says("its network is not closed").json();
    assert_eq!(states(&report, "hard checks"), ["not-run"]);
    room.clean();
}
