//! The test support library against the real things: it must be right before anything leans on it.

use lifeboat_tests::{Cluster, Options, Program, available_majors};
use std::time::Duration;

#[test]
fn a_cluster_of_each_installed_major_starts_crashes_recovers_and_leaves_nothing() {
    assert!(!available_majors().is_empty());
    for major in available_majors() {
        let cluster = Cluster::start(major);
        let (dir, pid) = (cluster.host(), cluster.pid().unwrap());
        assert!(cluster.psql("postgres", "show server_version").starts_with(&major.to_string()));
        assert_eq!(cluster.psql("postgres", "show data_checksums"), "on");
        cluster.create_db("one");
        assert!(cluster.has_db("one") && !cluster.has_db("two"));
        assert_eq!(
            cluster.psql("one", "create table t(i int); insert into t values (1),(2); select * from t"),
            "1\n2"
        );
        assert!(
            cluster.try_psql("one", "select nothing").unwrap_err().contains("\"nothing\" does not exist")
        );

        cluster.psql("one", "checkpoint");
        cluster.kill9();
        assert!(cluster.pid().is_none());
        cluster.start_again();
        assert!(cluster.log().contains("was not properly shut down"), "{}", cluster.log());
        cluster.restart();
        assert_eq!(cluster.psql("one", "select count(*) from t"), "2");
        let tcp = format!("host=127.0.0.1 port={} user=postgres dbname=one", cluster.port());
        assert_eq!(cluster.run("psql", &["-XAtc", "select 3", &tcp]).trim(), "3");

        drop(cluster);
        assert!(!std::path::Path::new(&dir).exists());
        assert!(!std::path::Path::new(&format!("/proc/{pid}")).exists());
    }
}

#[test]
fn a_cluster_with_a_password_asks_for_it() {
    let settings = vec![("log_statement".to_owned(), "all".to_owned())];
    let cluster = Cluster::with(Options { password: Some("p'w %".into()), settings, ..Options::default() });
    assert_eq!(cluster.psql("postgres", "show log_statement"), "all");
    let mut psql = cluster.client("psql");
    psql.env("PGPASSWORD", "wrong").args(["-XAtwc", "select 1", "postgres"]);
    let refused = psql.output().unwrap();
    assert!(String::from_utf8_lossy(&refused.stderr).contains("password authentication failed"));
}

#[test]
fn a_program_runs_in_a_clean_environment_and_under_a_deadline() {
    let shell = || Program::at("/bin/sh".into());
    let seen =
        shell().args(["-c", "env; cat; echo oops >&2; exit 5"]).env("PGHOST", "x").input("hello").run();
    let seen = seen.exits(5).says("oops");
    assert!(seen.stdout.ends_with("hello") && seen.stdout.contains("PGHOST=x"));
    assert!(!seen.stdout.contains("CARGO"));
    assert_eq!(shell().args(["-c", "echo '{\"a\": 1}'"]).run().ok().json()["a"], 1);

    let slow = shell().args(["-c", "echo begun; sleep 30"]).limit(Duration::from_millis(300));
    let panic = std::panic::catch_unwind(|| slow.run()).unwrap_err();
    let message = panic.downcast_ref::<String>().unwrap();
    assert!(message.contains("still running after 300ms") && message.contains("begun"), "{message}");

    let killed = shell().args(["-c", "exec sleep 30"]).spawn().kill9();
    assert_eq!((killed.code, killed.signal), (None, Some(9)));
    assert!(Program::lifeboat().arg("--no-such-flag").run().code.is_some());
}
