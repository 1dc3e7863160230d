//! The files of deploy/ for Kubernetes, applied as they are shipped to a real one (`TEST_KUBE` names the
//! folder that starts it), with real pods. Only what their pages tell the reader to replace is replaced.
//! Without it these tests are skipped, and counted as that.

mod expire;
mod helm;
mod hooks;
mod image;
mod odoo;
mod production;
mod restore_host;

use lifeboat_tests::kube::Kube;
use lifeboat_tests::skip;

use production::{PASSWORD, Production, commands, deploy, replaced};

/// The whole story in one cluster: it takes half a minute to start, and the agent as long to be ready.
#[test]
fn what_is_shipped_for_kubernetes_works_as_it_stands() {
    if !rustix::process::geteuid().is_root() {
        skip!("only root can start a Kubernetes with a node")
    }
    let Some(kube) = Kube::with_node() else {
        skip!("TEST_KUBE does not name a folder that starts a Kubernetes")
    };
    let production = Production::start(kube);
    the_agent_streams(&production);
    releases_are_set_up(&production);
    restore_host::drills(&production);
    hooks::the_jobs_pass_and_block(&production);
    helm::an_upgrade_is_stopped(&production);
    odoo::pods_start_with_evidence_only(&production);
    expire::announces_under_its_own_identity(&production);
}

/// deploy/kubernetes/README.md from the keys to the first backups.
fn the_agent_streams(production: &Production) {
    production.write("postgres-password", PASSWORD);
    production.write_credentials("s3-credentials");
    production.sh(&commands("1. Make the keys on your own machine"));
    restore_host::makes_keys(production);
    production.write("lifeboat.yaml", edited(production));
    let told = production.sh(&commands("3. Start and check")).stdout;
    assert!(told.contains("deployment \"lifeboat\" successfully rolled out"), "{told}");
    for words in ["ok    replication", "ok    signing key", "ok    pg_dump", "ok    overwriting"] {
        assert!(told.contains(words), "{words:?} is not in {told}");
    }
    assert!(!told.contains("FAIL"), "{told}");
    production.streams();
}

/// What the page says about releases: the evidence key, in the Secret and in the ConfigMap.
fn releases_are_set_up(production: &Production) {
    production.write_credentials("odoo-s3-credentials");
    let begins = "  LIFEBOAT_AGENT_LISTEN:";
    let text = production.read("lifeboat.yaml");
    let trusted = production.public("signing-key");
    let both = format!("{trusted},{}", production.public("drill-key"));
    let text = replaced(&text, &trusted, &both);
    production.write("lifeboat.yaml", replaced(&text, begins, &format!("{}{begins}", added_line())));
    production.sh(&commands("Releases"));
    production.streams(); // again: the page restarts it
}

/// The line that the page tells to add to the ConfigMap.
fn added_line() -> String {
    production::blocks("Releases", "yaml")
}

/// What section 2 of the page tells to edit.
fn edited(production: &Production) -> String {
    let text = production.with_repository(&deploy("kubernetes/lifeboat.yaml"));
    let recipients = [production.recipient("identity.txt"), production.recipient("escrow.txt")].join(",");
    let text = replaced(&text, "REPLACE: age1... of operations, age1... of escrow", &recipients);
    let trusted = production.public("signing-key");
    let text = replaced(&text, "REPLACE: the line of signing-key.pub", &trusted);
    // There is no DNS in this Kubernetes: the address of the service postgres.
    let address = ["get", "service", "postgres", "-o", "jsonpath={.spec.clusterIP}"];
    let host = "LIFEBOAT_POSTGRES_HOST: \"{}\"";
    let address = production.kube.kubectl(&address, "");
    replaced(&text, &host.replace("{}", "postgres"), &host.replace("{}", &address))
}

impl Production {
    /// The public half of an identity.
    fn recipient(&self, identity: &str) -> String {
        let text = self.read(identity);
        text.lines().find_map(|line| line.strip_prefix("# public key: ")).unwrap().to_owned()
    }

    /// The public half of an SSH key.
    fn public(&self, key: &str) -> String {
        self.read(&format!("{key}.pub"))
    }
}
