//! A cluster that does not do what a drill needs.

use lifeboat_tests::children::signal;
use restore_drill::place::kube::api::Api;
use restore_drill::place::kube::namespace::{Namespace, sweep};
use restore_drill::place::kube::objects;
use restore_drill::plan::file;
use rustix::process::Signal;

use crate::room::{LIMIT, Room, stage, until, worst};

pub fn a_missing_image_is_seen_within_seconds(room: &Room) {
    let table = room.table(room.kube.kubeconfig(), "");
    let image = "registry.example.com/lifeboat-drill:1";
    let plan = table.replace(image, "registry.example.com/no-such:1");
    let done = room.site.drill("t1", &plan).arg("--json").limit(LIMIT).run();
    let report = done.exits(4).says("the image is missing").says("no-such:1").json();
    let waited = stage(&report, "restore pod")["ms"].as_u64().unwrap();
    assert!(waited < 60_000, "{waited} ms, and the drill has six hours");
    room.clean();
}

/// Somebody gives every new namespace a quota of their own.
pub fn a_quota_that_is_too_small_is_named(room: &Room) {
    let running = room.drill("", "").spawn();
    let name = room.namespace();
    let quota = "apiVersion: v1\nkind: ResourceQuota\nmetadata: {name: others}\nspec: {hard: {pods: '0'}}\n";
    room.kube.kubectl(&["create", "-n", &name, "--validate=false", "-f", "-"], quota);
    running.finish().exits(4).says("a quota is too small for the pod").says("others");
    room.clean();
}

pub fn a_pod_that_is_deleted_is_told(room: &Room) {
    for part in ["restore", "prove"] {
        let running = room.drill(&room.slow_check(30), "").spawn();
        let name = room.namespace();
        let pod = room.pod(&name, part);
        let eviction = format!(
            "{{\"apiVersion\": \"policy/v1beta1\", \"kind\": \"Eviction\", \"metadata\": {{\"name\": {pod:?}, \
             \"namespace\": {name:?}}}}}"
        );
        let path = format!("/api/v1/namespaces/{name}/pods/{pod}/eviction");
        room.kube.kubectl(&["create", "--raw", &path, "-f", "-"], &eviction);
        running.finish().exits(4).says(&format!("pod {part} was deleted before it had ended"));
        room.clean();
    }
}

pub fn a_pod_without_memory_is_told(room: &Room) {
    let table = room.table(room.kube.kubeconfig(), "").replace("768Mi", "24Mi");
    let done = room.site.drill("t1", &table).limit(LIMIT).run().exits(4);
    assert!(done.stderr.contains("kubernetes.memory"), "{done}");
    room.clean();
}

pub fn a_namespace_that_is_not_ours_stays(room: &Room) {
    let plan = room.path("library.toml");
    let table = room.table(room.kube.kubeconfig(), "");
    std::fs::write(&plan, format!("config = \"lifeboat.toml\"\ntenant = \"t1\"\n{table}")).unwrap();
    let api = Api::of(&file::load(&plan).unwrap().kubernetes.unwrap());
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let drill = "20200101T000000Z-drill-00000001";
    let name = objects::namespace_name(drill);
    room.kube.kubectl(&["create", "namespace", &name], "");
    runtime.block_on(async {
        let object = objects::namespace(drill, 1);
        let error = Namespace::create(&api, &object).await.unwrap_err();
        assert!(error.effect_text().unwrap().contains("was not touched"), "{error:?}");
        // One that was removed and made again by somebody else has another UID.
        let uid = room.json(&["get", "namespace", &name])["metadata"]["uid"].clone();
        let stale = Namespace {
            name: name.clone(),
            uid: "00000000-0000-0000-0000-000000000000".to_owned(),
            created: "2020-01-01T00:00:00Z".parse().unwrap(),
        };
        assert!(stale.remove(&api).await.unwrap_err().to_string().contains("another object"));
        // Also what is old, and what only looks like ours, stays when drills are cleaned up.
        room.kube.kubectl(&["label", "namespace", &name, "app.kubernetes.io/managed-by=restore-drill"], "");
        let later = Namespace { created: "2099-01-01T00:00:00Z".parse().unwrap(), ..stale };
        assert!(sweep(&api, &later).await.unwrap().is_empty());
        assert_eq!(room.json(&["get", "namespace", &name])["metadata"]["uid"], uid);
    });
    assert!(room.json(&["get", "namespace", &name])["metadata"]["deletionTimestamp"].is_null());
    room.kube.kubectl(&["delete", "namespace", &name], "");
}

pub fn a_namespace_that_does_not_go_fails_the_drill(room: &Room) {
    let running = room.drill("", "").spawn();
    let name = room.namespace();
    let held = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: held, finalizers: [example.com/held]}\n";
    room.kube.kubectl(&["create", "-n", &name, "-f", "-"], held);
    let report = running.finish().exits(1).says("does not go").says("example.com/held").json();
    assert_eq!((worst(&report, "tear down"), worst(&report, "hard checks")), ("failed", "done"));
    assert_eq!(stage(&report, "tear down")["state"], "failed");
    let kept = room.json(&["get", "configmap", "held", "-n", &name]);
    assert_eq!(kept["metadata"]["finalizers"][0], "example.com/held", "it is not ours to remove");
    let patch = ["patch", "configmap", "held", "-n", &name, "--type=merge", "-p"];
    room.kube.kubectl(&[&patch[..], &["{\"metadata\": {\"finalizers\": null}}"]].concat(), "");
    until("the namespace is gone", || room.namespaces().is_empty());
}

pub fn an_api_server_that_goes_away_is_told(room: &Room) {
    let running = room.drill(&room.slow_check(60), "").spawn();
    let name = room.namespace();
    room.pod(&name, "prove");
    let state = room.kube.program().parent().unwrap().parent().unwrap().join("state");
    let pid = std::fs::read_to_string(state.join("kube-apiserver.pid")).unwrap();
    signal(pid.trim().parse().unwrap(), Signal::KILL);
    let done = running.finish().exits(4).says("the API server was not reached");
    done.says("the next drill in this cluster removes it").says(&name);
}
