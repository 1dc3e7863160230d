//! `lifeboat expire` as a CronJob, with an identity of its own.

use lifeboat_tests::Program;

use super::production::{Production, commands, deploy, replaced};

/// The section of the page, as it stands. This Kubernetes knows CronJobs of an older version only.
pub fn announces_under_its_own_identity(production: &Production) {
    let garbage = old_garbage(production);
    production.write_credentials("expire-s3-credentials");
    let page = commands("Expiry");
    let (makes_the_key, applies) = page.split_at(page.find("kubectl apply").unwrap());
    // Checkpoints are made here.
    let with_evidence = "--from-file=expire-key --from-file=evidence.pub.pem";
    production.sh(&replaced(makes_the_key, "--from-file=expire-key", with_evidence));
    let begins = "  LIFEBOAT_AGENT_LISTEN:";
    let line = format!("  LIFEBOAT_EXPIRE_TRUSTED_KEYS: {:?}\n", production.public("expire-key"));
    let text = production.read("lifeboat.yaml");
    production.write("lifeboat.yaml", replaced(&text, begins, &format!("{line}{begins}")));
    production.write("expire.yaml", edited(production));
    let told = production.sh(applies).stdout;
    assert!(told.contains("to announce now: 1 piece of garbage"), "{told}");
    let runs = production.s3.keys("odoo/instances/production/expiry/");
    let tombstone = runs.iter().find(|key| key.ends_with("tombstone.json")).unwrap();
    let tombstone = std::fs::read_to_string(production.s3.object(tombstone)).unwrap();
    assert!(tombstone.contains(&garbage), "{tombstone}");
    production.streams();
    // The restore host believes it as little as any other until its key is trusted there.
    let verify = |more: &str| {
        let text = production.read("restore.toml") + more;
        production.write("restore-expire.toml", text);
        let mut program = Program::lifeboat().cwd(production.path(""));
        program = program.args(["--config", "restore-expire.toml", "verify", "--quick"]);
        program.run()
    };
    let told = verify("");
    assert!(told.stdout.contains("production/expiry"), "no trusted key signed it: {told}");
    let trusted = format!("\n[expire]\ntrusted_keys = [{:?}]\n", production.public("expire-key"));
    let told = verify(&trusted);
    assert!(told.stdout.contains("snapshots: manifests, signatures, names and sizes compared"), "{told}");
    assert!(!told.stdout.contains("production/expiry"), "{told}");
}

/// An object that no manifest names, three days old; its key in the repository.
fn old_garbage(production: &Production) -> String {
    let keys = production.s3.keys("odoo/instances/production/snapshots/");
    let manifest = keys.iter().find(|key| key.contains("-dump-") && key.ends_with("/manifest.json")).unwrap();
    let key = manifest.replace("manifest.json", "packs/000099.tar.zst.age");
    let file = production.s3.object(&key);
    std::fs::copy(production.s3.object(manifest), &file).unwrap();
    Program::at("/usr/bin/touch".into()).args(["-d", "3 days ago"]).arg(file).run().ok();
    key.strip_prefix("odoo/").unwrap().to_owned()
}

/// What the page tells to edit.
fn edited(production: &Production) -> String {
    let text =
        replaced(&deploy("kubernetes/expire.yaml"), "s3://acme-backups/odoo", &production.s3.url("odoo"));
    let own = format!(
        "region = \"us-east-1\"\n    endpoint = {:?}\n    allow_http = true",
        production.s3.endpoint()
    );
    let text = replaced(&text, "region = \"eu-central-1\"", &own);
    let text = replaced(&text, "tenants = [\"REPLACE\"]", "tenants = [\"shop\"]");
    let text = replaced(&text, "REPLACE: the line of signing-key.pub", &production.public("signing-key"));
    let checkpoints =
        "[checkpoint]\n    trusted_key_files = [\"/etc/lifeboat/secret/evidence.pub.pem\"]\n\n    ";
    let text = replaced(&text, "[class.standard]", &format!("{checkpoints}[class.standard]"));
    replaced(&text, "apiVersion: batch/v1\n", "apiVersion: batch/v1beta1\n")
}
