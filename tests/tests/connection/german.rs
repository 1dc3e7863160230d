//! A server that speaks another language is understood by its codes.

use std::process::Command;

use lifeboat_tests::site::Site;
use lifeboat_tests::{Cluster, Options, skip, small_tenant};

/// A locale made for this test alone, where its sources are here.
fn german() -> Result<tempfile::TempDir, String> {
    let dir = tempfile::Builder::new().prefix("lbl-").tempdir_in(lifeboat_tests::place::ours()).unwrap();
    let to = dir.path().join("de_DE.UTF-8");
    let made = Command::new("localedef").args(["-i", "de_DE", "-f", "UTF-8"]).arg(&to).output();
    match made {
        Ok(_) if to.join("LC_MESSAGES").exists() => {
            std::fs::set_permissions(dir.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755))
                .unwrap();
            Ok(dir)
        }
        Ok(done) => Err(String::from_utf8_lossy(&done.stderr).into_owned()),
        Err(e) => Err(format!("localedef: {e}")),
    }
}

#[test]
fn a_german_server_is_backed_up_by_a_role_that_reads_no_passwords() {
    let locale = match german() {
        Ok(locale) => locale,
        Err(why) => skip!("no locale de_DE.UTF-8 can be made: {why}"),
    };
    let cluster = Cluster::with(Options {
        env: vec![("LOCPATH".into(), locale.path().display().to_string())],
        settings: vec![("lc_messages".into(), "de_DE.UTF-8".into())],
        ..Options::default()
    });
    let said = cluster.try_psql("postgres", "select 1 from gibt_es_nicht").unwrap_err();
    if !said.contains("FEHLER") {
        skip!("this PostgreSQL has no German messages: {said}");
    }
    let site = Site::local(&cluster);
    small_tenant(&cluster, &site.data_dir(), "acme", 13);
    cluster.psql(
        "acme",
        "create role odoo login; grant select on all tables in schema public to odoo; \
         grant select on all sequences in schema public to odoo",
    );
    site.edit("user = \"postgres\"", "user = \"odoo\"");
    let outcome = site.backup(&[]).run().ok();
    assert!(outcome.stdout.contains("stored without their passwords"), "{outcome}");

    // the hints are those of an English server
    cluster.create_db("closed");
    cluster.psql("postgres", "revoke connect on database closed from public");
    let outcome = site.backup(&[]).run().exits(3);
    assert!(outcome.stderr.contains("GRANT CONNECT ON DATABASE \"closed\""), "{outcome}");
    assert!(outcome.stderr.contains("42501"), "{outcome}");

    // pg_dump's failure shows the server's words, in whatever language
    cluster.psql("postgres", "drop database closed");
    cluster.psql("acme", "create table geheim (id int)");
    let outcome = site.backup(&[]).run().says("keine Berechtigung").says("geheim");
    // the count of rows fails, or pg_dump does: whichever is first
    let hints = ["deploy/postgresql/roles.sql", "lifeboat doctor"];
    assert!(hints.iter().any(|hint| outcome.stderr.contains(hint)), "{outcome}");
    assert_ne!(outcome.code, Some(0), "{outcome}");
    let told = super::doctor(&site);
    assert!(told.contains("geheim") && told.contains("GRANT SELECT ON TABLE"), "{told}");
}
