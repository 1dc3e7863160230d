//! A real Kubernetes (`TEST_KUBE` names the folder that starts one): captured, compared, restored, and taken
//! by its server again. Without it these tests are skipped, and counted as that.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use lifeboat_tests::kube::Kube;
use lifeboat_tests::site::words;
use lifeboat_tests::skip;

use crate::{OTHER_SECRET, SECRET, World, no_secret};

/// The name of the Secret with the token of a service account.
fn token(kube: &Kube, name: &str) -> String {
    let ask = || kube.kubectl(&["-n", "prod", "get", "sa", name, "-o", "jsonpath={.secrets[0].name}"], "");
    let mut secrets = ask();
    for _ in 0..100 {
        if !secrets.is_empty() {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(100)); // the server makes it a moment later
        secrets = ask();
    }
    secrets
}

/// What the Secret of a service account has under this key.
fn of_account(kube: &Kube, secret: &str, key: &str) -> String {
    let template = format!("go-template={{{{index .data {key:?} | base64decode}}}}");
    kube.kubectl(&["-n", "prod", "get", "secret", secret, "-o", &template], "")
}

/// A kubeconfig of a service account with this role.
fn account(kube: &Kube, name: &str, to: &Path) {
    let token = of_account(kube, &token(kube, name), "token");
    let text = fs::read_to_string(kube.kubeconfig()).unwrap();
    let cluster = text.split("users:").next().unwrap().split("contexts:").next().unwrap();
    let own = format!(
        "{cluster}\nusers: [{{name: lifeboat, user: {{token: {token}}}}}]\n\
         contexts: [{{name: lifeboat, context: {{cluster: test, user: lifeboat}}}}]\ncurrent-context: lifeboat\n"
    );
    fs::write(to, own).unwrap();
}

const OBJECTS: &str = include_str!("objects.yaml");

/// The role that docs/least-privilege.md shows.
fn role() -> String {
    let page = fs::read_to_string(lifeboat_tests::program::workspace_root().join("docs/least-privilege.md"))
        .unwrap();
    let (_, after) = page.split_once("```yaml\n").expect("the page shows the role");
    after.split("```").next().unwrap().replace("NAMESPACE", "prod")
}

/// A release as Helm stores it.
fn helm_release(revision: u32, password: &str) -> String {
    let json = format!(
        r#"{{"name":"shop","config":{{"auth":{{"password":"{password}"}},"workers":{revision}}},"chart":{{"metadata":{{"name":"odoo","version":"1.2.3"}}}}}}"#
    );
    let script = "printf %s \"$1\" | gzip -c | base64 -w0 | base64 -w0";
    let done = Command::new("sh").args(["-c", script, "sh", &json]).output().unwrap();
    format!(
        "apiVersion: v1\nkind: Secret\ntype: helm.sh/release.v1\nmetadata:\n  name: sh.helm.release.v1.shop.v{revision}\n  \
         namespace: prod\n  labels: {{name: shop, owner: helm, version: \"{revision}\"}}\ndata:\n  release: {}\n",
        String::from_utf8(done.stdout).unwrap()
    )
}

#[test]
fn a_namespace_is_captured_compared_and_taken_again() {
    let Some(kube) = Kube::start() else {
        skip!("TEST_KUBE does not name a folder that starts a Kubernetes")
    };
    let mut world = World::start();
    kube.kubectl(&["create", "namespace", "prod"], "");
    kube.kubectl(&["apply", "-f", "-"], &route_definition());
    kube.kubectl(
        &["wait", "--for=condition=Established", "crd/ingressroutes.traefik.io", "--timeout=60s"],
        "",
    );
    kube.kubectl(&["apply", "-n", "prod", "-f", "-"], &OBJECTS.replace("SECRET", SECRET));
    for revision in [1, 2] {
        kube.kubectl(&["apply", "-f", "-"], &helm_release(revision, SECRET));
    }
    kube.kubectl(&["apply", "-f", "-"], &role());
    let kubeconfig = world.site.path("kubeconfig");
    account(&kube, "lifeboat", &kubeconfig);
    world.site.set("LIFEBOAT_CONFIGURATION_NAMESPACES", "prod");
    world.site.set("LIFEBOAT_CONFIGURATION_KUBECTL", kube.program().display());
    world.site.set("LIFEBOAT_CONFIGURATION_KUBECONFIG", kubeconfig.display());

    let first = world.capture(&["--release", "1"]);
    let paths: Vec<&str> =
        first["config"]["entries"].as_array().unwrap().iter().map(|e| e["path"].as_str().unwrap()).collect();
    for path in [
        "helm/prod/shop/chart.json",
        "helm/prod/shop/values.json",
        "kubernetes/prod/configmap-odoo.json",
        "kubernetes/prod/cronjob-vacuum.json",
        "kubernetes/prod/deployment-odoo.json",
        "kubernetes/prod/horizontalpodautoscaler-odoo.json",
        "kubernetes/prod/ingress-odoo.json",
        "kubernetes/prod/ingressroute-odoo.json",
        "kubernetes/prod/job-migrate.json",
        "kubernetes/prod/persistentvolumeclaim-filestore.json",
        "kubernetes/prod/poddisruptionbudget-odoo.json",
        "kubernetes/prod/service-odoo.json",
        "kubernetes/prod/serviceaccount-odoo.json",
        "kubernetes/prod/statefulset-cache.json",
        "secrets/prod/odoo.json",
    ] {
        assert!(paths.contains(&path), "{path} is not in {paths:?}");
    }
    let odd = paths.iter().find(|path| path.contains("kube-root-ca") || path.contains("-token-"));
    assert_eq!(odd, None, "made by the cluster itself");
    let second = world.capture(&["--release", "2"]);
    assert_eq!(first["config"]["sha256"], second["config"]["sha256"], "an unchanged namespace");

    // A status changes all the time; it is no change of the configuration. A secret and a scale are.
    kube.kubectl(&["-n", "prod", "scale", "deployment/odoo", "--replicas=3"], "");
    let patch = format!(r#"{{"stringData": {{"password": "{OTHER_SECRET}"}}}}"#);
    kube.kubectl(&["-n", "prod", "patch", "secret", "odoo", "-p", &patch], "");
    kube.kubectl(&["apply", "-f", "-"], &helm_release(3, OTHER_SECRET));
    let patch = r#"{"data": {"odoo.conf": "[options]\ndb_host = db2\n"}}"#;
    kube.kubectl(&["-n", "prod", "patch", "configmap", "odoo", "-p", patch], "");
    let told = world.config(&["diff", "2", "now", "--json"]).exits(3).json();
    let changed = [
        "helm/prod/shop/values.json",
        "kubernetes/prod/configmap-odoo.json",
        "kubernetes/prod/deployment-odoo.json",
        "secrets/prod/odoo.json",
    ];
    assert_eq!(told["differences"]["changed"], serde_json::json!(changed));
    let identity = world.identity();
    let told = world.config(&["diff", "2", "now", "--content", "--identity", &identity]).exits(3);
    assert!(
        told.stdout.contains("-    \"replicas\": 2") && told.stdout.contains("+    \"replicas\": 3"),
        "{told}"
    );

    assert!(
        told.stdout.contains("\n-db_host = db\n") && told.stdout.contains("\n+db_host = db2\n"),
        "{told}"
    );

    let (target, dir) = (world.site.path("restored"), world.site.path("restored").display().to_string());
    let told = world.config(&["restore", "--release", "1", &dir, "--identity", &identity]).ok();
    assert!(
        told.stdout.contains("Secret odoo of namespace prod, type Opaque: keys password, user"),
        "{told}"
    );
    let objects = target.join("kubernetes/prod").display().to_string();
    let taken = kube.kubectl(&["apply", "--dry-run=server", "-f", &objects], "");
    assert_eq!(taken.lines().count(), fs::read_dir(&objects).unwrap().count(), "{taken}");
    // As a new cluster takes them: the namespace is empty.
    kube.kubectl(&["delete", "namespace", "prod", "--timeout=120s"], "");
    kube.kubectl(&["create", "namespace", "prod"], "");
    let taken = kube.kubectl(&["apply", "-f", &objects], "");
    assert!(taken.lines().all(|line| line.ends_with(" created") || line.ends_with(" configured")), "{taken}");
    let values = fs::read_to_string(target.join("helm/prod/shop/values.json")).unwrap();
    assert!(values.contains("\"workers\": 2") && values.contains("lifeboat-hmac-sha256:"), "{values}");
    world.nothing_leaked();
}

#[test]
fn what_may_not_be_listed_is_an_error_and_never_an_empty_capture() {
    let Some(kube) = Kube::start() else {
        skip!("TEST_KUBE does not name a folder that starts a Kubernetes")
    };
    let mut world = World::start();
    kube.kubectl(&["create", "namespace", "prod"], "");
    world.site.set("LIFEBOAT_CONFIGURATION_KUBECTL", kube.program().display());
    world.site.set("LIFEBOAT_CONFIGURATION_KUBECONFIG", kube.kubeconfig().display());
    let capture = |namespace: &str| {
        let backup =
            world.site.backup(&["--kind", "config"]).env("LIFEBOAT_CONFIGURATION_NAMESPACES", namespace);
        backup.run()
    };
    capture("prod").ok();
    capture("absent").exits(5).says("namespaces \"absent\" not found");
    kube.kubectl(&["apply", "-f", "-"], &role());
    kube.kubectl(&["-n", "prod", "delete", "role", "lifeboat"], "");
    let kubeconfig = world.site.path("kubeconfig");
    account(&kube, "lifeboat", &kubeconfig);
    let backup = world.site.backup(&["--kind", "config"]).env("LIFEBOAT_CONFIGURATION_NAMESPACES", "prod");
    let told = backup.env("LIFEBOAT_CONFIGURATION_KUBECONFIG", &kubeconfig).run().exits(6);
    assert!(words(&told).contains("docs/least-privilege.md"), "{told}");
    no_secret(&words(&told));

    // Doctor says the same beforehand, and names what is missing.
    let found = |status: &str| {
        let doctor = world.site.run(&["doctor", "--json"]).env("LIFEBOAT_CONFIGURATION_NAMESPACES", "prod");
        let told = doctor.env("LIFEBOAT_CONFIGURATION_KUBECONFIG", &kubeconfig).run();
        let report = told.json();
        let checks = report["checks"].as_array().unwrap().clone();
        let check = |name: &str| checks.iter().find(|check| check["name"] == name).unwrap().clone();
        assert_eq!(check("kubectl")["status"], "ok", "{told}");
        assert_eq!(check("kubernetes")["status"], status, "{told}");
        check("kubernetes")["text"].as_str().unwrap().to_owned()
    };
    let text = found("fail");
    for right in [
        "in namespace prod: get namespaces/prod, secrets",
        "list configmaps",
        "deployments.apps",
        "poddisruptionbudgets.policy, secrets",
    ] {
        assert!(text.contains(right), "{right:?} is not in {text}");
    }
    kube.kubectl(&["apply", "-f", "-"], &role().replace("statefulsets, ", ""));
    let text = found("fail");
    assert!(text.ends_with("in namespace prod: list statefulsets.apps"), "{text}");
    kube.kubectl(&["apply", "-f", "-"], &role());
    let text = found("ok");
    assert!(text.contains("13 kinds of objects can be read in prod"), "{text}");
}

#[test]
fn in_a_pod_the_account_of_the_pod_is_used() {
    let Some(kube) = Kube::start() else {
        skip!("TEST_KUBE does not name a folder that starts a Kubernetes")
    };
    let mut world = World::start();
    kube.kubectl(&["create", "namespace", "prod"], "");
    kube.kubectl(&["apply", "-f", "-"], &role());
    // A pod finds its account in this folder; it has no kubeconfig.
    let folder = world.site.path("account");
    fs::create_dir(&folder).unwrap();
    let secret = token(&kube, "lifeboat");
    for key in ["token", "ca.crt", "namespace"] {
        fs::write(folder.join(key), of_account(&kube, &secret, key)).unwrap();
    }
    let wrapper = world.site.path("kubectl");
    let mounted = "/run/secrets/kubernetes.io/serviceaccount";
    let script = format!(
        "mount -t tmpfs none /run && mkdir -p {mounted} && cp {}/* {mounted} && exec {} \"$@\"",
        folder.display(),
        kube.program().display()
    );
    fs::write(&wrapper, format!("#!/bin/sh\nexec unshare --mount sh -c '{script}' sh \"$@\"\n")).unwrap();
    fs::set_permissions(&wrapper, fs::Permissions::from_mode(0o755)).unwrap();
    world.site.set("LIFEBOAT_CONFIGURATION_NAMESPACES", "prod");
    world.site.set("LIFEBOAT_CONFIGURATION_KUBECTL", wrapper.display());
    let text = fs::read_to_string(kube.kubeconfig()).unwrap();
    let (_, server) = text.split_once("https://").unwrap();
    let (host, port) = server.split_once(':').unwrap();
    let port = port.split(|c: char| !c.is_ascii_digit()).next().unwrap();
    let backup = world.site.backup(&["--kind", "config", "--json"]);
    backup.env("KUBERNETES_SERVICE_HOST", host).env("KUBERNETES_SERVICE_PORT", port).run().ok();
}

#[test]
fn kubectl_writes_in_the_state_directory_and_nowhere_else() {
    let Some(kube) = Kube::start() else {
        skip!("TEST_KUBE does not name a folder that starts a Kubernetes")
    };
    let mut world = World::start();
    kube.kubectl(&["create", "namespace", "prod"], "");
    world.site.set("LIFEBOAT_CONFIGURATION_NAMESPACES", "prod");
    world.site.set("LIFEBOAT_CONFIGURATION_KUBECTL", kube.program().display());
    world.site.set("LIFEBOAT_CONFIGURATION_KUBECONFIG", kube.kubeconfig().display());
    // A place that can be written: nothing may appear in it. And one that does not exist, as in a unit.
    let home = world.site.path("home");
    fs::create_dir(&home).unwrap();
    for home in [home.clone(), world.site.path("none")] {
        world.site.backup(&["--kind", "config"]).env("HOME", home).run().ok();
    }
    assert_eq!(fs::read_dir(&home).unwrap().count(), 0, "kubectl wrote below HOME");
    assert!(!world.site.path("none").exists(), "kubectl made HOME");
    let cache = world.site.path("lifeboat-state/prod/kubectl");
    assert_eq!(fs::metadata(&cache).unwrap().permissions().mode() & 0o777, 0o700);
    let mut files = 0;
    lifeboat_tests::compare::walk(&cache, &mut |_| files += 1);
    assert!(files > 0, "what kubectl knows of the server is kept for its next call");
}

/// A definition of Traefik's routes, without their schema.
fn route_definition() -> String {
    "apiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\nmetadata: {name: ingressroutes.traefik.io}\n\
     spec:\n  group: traefik.io\n  names: {kind: IngressRoute, plural: ingressroutes, singular: ingressroute}\n  \
     scope: Namespaced\n  versions:\n  - name: v1alpha1\n    served: true\n    storage: true\n    \
     schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}\n"
        .to_owned()
}
