//! How the agent gets in: SCRAM over TCP, and TLS as strict as the configuration wants it.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use lifeboat_tests::site::Site;
use lifeboat_tests::{Cluster, Options, skip};
use rustix::process::Signal;

use crate::recovered::{hand_over, wait_for};
use crate::streaming::program;

#[test]
fn scram_and_tls_lead_in_and_a_wrong_authority_or_password_does_not() {
    let cluster = Cluster::with(Options { password: Some("s3cret".to_owned()), ..Options::default() });
    let certificate = |dir: &std::path::Path, name: &str| {
        let (crt, key) = (dir.join(format!("{name}.crt")), dir.join(format!("{name}.key")));
        let made = Command::new("openssl")
            .args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"])
            .args([
                "-addext",
                "subjectAltName=DNS:localhost",
                "-addext",
                "basicConstraints=critical,CA:FALSE",
            ])
            .arg("-keyout")
            .arg(&key)
            .arg("-out")
            .arg(&crt)
            .output()
            .unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        fs::set_permissions(&key, PermissionsExt::from_mode(0o600)).unwrap();
        hand_over(&key);
        hand_over(&crt);
        crt
    };
    let ours = certificate(&cluster.data_dir(), "server");
    let has_tls = match cluster.try_psql("postgres", "alter system set ssl = 'on'") {
        Ok(_) => true,
        Err(e) if e.contains("SSL is not supported by this build") => false,
        Err(e) => panic!("{e}"),
    };
    cluster.restart();
    let mut site = Site::local(&cluster);
    let other = certificate(&site.path(""), "other");
    site.set("LIFEBOAT_POSTGRES_HOST", "localhost");
    site.set("PGPASSWORD", "s3cret");
    let ways = [("disable", None), ("require", None), ("verify-full", Some(&ours))];
    for (tls, authority) in ways.into_iter().take(if has_tls { 3 } else { 1 }) {
        let mut agent = program(&site).env("LIFEBOAT_POSTGRES_TLS", tls);
        if let Some(authority) = authority {
            agent = agent.env("LIFEBOAT_POSTGRES_TLS_CA_FILE", authority);
        }
        let running = agent.spawn();
        let sql = "select s.ssl from pg_stat_replication r join pg_stat_ssl s using (pid) where r.application_name = 'lifeboat' and state = 'streaming'";
        let expected = if tls == "disable" { "f" } else { "t" };
        wait_for(&format!("it streams with {tls}: {}", running.stderr_so_far()), || {
            cluster.psql("postgres", sql) == expected
        });
        running.signal(Signal::TERM);
        running.finish().ok();
    }
    let refused = |agent: lifeboat_tests::Program, words: &str| {
        let running = agent.spawn();
        wait_for(words, || running.stderr_so_far().contains(words));
        running.signal(Signal::TERM);
        running.finish().ok();
    };
    refused(program(&site).env("PGPASSWORD", "wrong"), "the server refused");
    if !has_tls {
        skip!("PostgreSQL {} was built without TLS here: SCRAM alone was tried", cluster.major());
    }
    let wrong = program(&site).env("LIFEBOAT_POSTGRES_TLS", "verify-full");
    refused(wrong.env("LIFEBOAT_POSTGRES_TLS_CA_FILE", &other), "TLS failed");
}
