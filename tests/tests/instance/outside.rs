//! A configuration outside the data directory, as Debian has it: it is in no base backup.

use std::fs;

use lifeboat_tests::Cluster;

use crate::archiving::{Archiving, DIGEST, LIMIT, as_server, hand_over};
use crate::copy::Copied;

/// Moves the configuration out and starts the server with it, as Debian's `pg_ctlcluster` does.
fn move_out(cluster: &Cluster) -> tempfile::TempDir {
    let etc = tempfile::Builder::new().prefix("lbe-").tempdir_in(lifeboat_tests::place::ours()).unwrap();
    cluster.stop();
    let data = cluster.data_dir();
    for name in ["postgresql.conf", "pg_hba.conf", "pg_ident.conf"] {
        fs::rename(data.join(name), etc.path().join(name)).unwrap();
    }
    let conf = etc.path().join("postgresql.conf");
    let (etc_dir, data_dir) = (etc.path().display(), data.display());
    let mut text = fs::read_to_string(&conf).unwrap();
    text += &format!(
        "\ndata_directory = '{data_dir}'\nhba_file = '{etc_dir}/pg_hba.conf'\nident_file = '{etc_dir}/pg_ident.conf'\nmax_connections = 77\nmax_prepared_transactions = 5\n"
    );
    fs::write(&conf, text).unwrap();
    // the harness's own settings are not Debian's
    let auto = fs::read_to_string(data.join("postgresql.auto.conf")).unwrap();
    fs::write(data.join("postgresql.auto.conf"), auto.replace("max_connections = '60'", "")).unwrap();
    hand_over(etc.path());
    let program = as_server(&cluster.bin_dir().join("pg_ctl")).limit(LIMIT);
    let log = etc.path().join("log");
    let done = program.args(["-w", "-D"]).arg(etc.path()).arg("-l").arg(&log).arg("start").run();
    assert!(done.code == Some(0), "{done}\n{}", fs::read_to_string(&log).unwrap_or_default());
    etc
}

#[test]
fn the_plan_says_that_it_is_missing_and_the_restored_one_starts() {
    let archiving = Archiving::start(None);
    let etc = move_out(&archiving.cluster);
    let stop = || {
        as_server(&archiving.cluster.bin_dir().join("pg_ctl"))
            .args(["-m", "fast", "stop", "-D"])
            .arg(etc.path())
            .run()
    };
    let done = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| restored(&archiving)));
    stop();
    done.unwrap_or_else(|e| std::panic::resume_unwind(e));
}

fn restored(archiving: &Archiving) {
    archiving.base();
    let last = archiving.step();
    archiving.archive();
    let copied = Copied::new();
    let plan = archiving.restore_to(copied.data_dir(), &["--dry-run"]).run().ok();
    assert!(plan.stdout.contains("production's configuration is outside the data directory"), "{plan}");
    let (copied, _) = archiving.started(&[]);
    assert_eq!(copied.psql("shop", DIGEST), last.ledger);
    // replay refuses with less than the primary had
    let settings =
        "select current_setting('max_connections') || ' ' || current_setting('max_prepared_transactions')";
    assert_eq!(copied.psql("postgres", settings), "77 5");
    let conf = fs::read_to_string(copied.data_dir().join("postgresql.conf")).unwrap();
    assert!(conf.contains("written by lifeboat restore"), "{conf}");
}
