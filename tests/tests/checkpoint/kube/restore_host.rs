//! The host that holds the identity. Its signed drill report is what gate `drill` asks for.

use std::os::unix::fs::PermissionsExt;

use lifeboat_tests::Program;

use super::production::Production;

/// The second recipient, and the key that signs its reports.
pub fn makes_keys(production: &Production) {
    production.sh("age-keygen -o escrow.txt; ssh-keygen -q -t ed25519 -N '' -f drill-key");
}

/// Restores a tenant and stores the report.
pub fn drills(production: &Production) {
    let at = |name: &str| format!("{:?}", production.path(name).display().to_string());
    let bin_dir = format!("{:?}", production.cluster.bin_dir().display().to_string());
    let config = format!(
        "instance = \"production\"\nstate_dir = {state}\n\
         [repository]\nurl = {url:?}\nendpoint = {endpoint:?}\nallow_http = true\n\
         region = \"us-east-1\"\ncredentials_file = {credentials}\n\
         [seal]\nidentity_files = [{identity}]\n\
         [signing]\nkey_file = {key}\ntrusted_keys = [{agent:?}, {own:?}]\n\
         [postgres]\nbin_dir = {bin_dir}\n",
        state = at("restore-state"),
        url = production.s3.url("odoo"),
        endpoint = production.s3.endpoint(),
        credentials = at("s3-credentials"),
        identity = at("identity.txt"),
        key = at("drill-key"),
        agent = production.public("signing-key"),
        own = production.public("drill-key"),
    );
    production.write("restore.toml", config);
    production.write("drill.toml", "config = \"restore.toml\"\ntenant = \"shop\"\n");
    let secret = production.path("s3-credentials");
    std::fs::set_permissions(secret, PermissionsExt::from_mode(0o600)).unwrap();
    let path = format!("{}:/usr/bin:/bin", production.cluster.bin_dir().display());
    Program::restore_drill()
        .args(["run", "drill.toml"])
        .cwd(production.path(""))
        .env("PATH", path)
        .run()
        .ok();
}
