//! Sessions, the client programs and what goes wrong with them.

use super::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_wrong_with_a_connection_is_told_apart() {
    let cluster = Cluster::with(Options { password: Some("right'one".into()), ..Options::default() });
    let dir = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = dir.path().join(name);
        lifeboat::disk::write_new_durable(&path, text.as_bytes()).unwrap();
        Some(path)
    };
    let right = PostgresOptions { password_file: file("right", "right'one\n"), ..options(&cluster) };
    let info = server_info(&mut Session::connect(&right, "postgres").await.unwrap()).await.unwrap();
    assert_eq!((info.major, info.is_standby, info.is_superuser), (cluster.major(), false, true));
    assert!(info.system_identifier.unwrap().parse::<u64>().unwrap() > 0);

    let passfile = PostgresOptions {
        passfile: file("pgpass", &format!("localhost:{}:*:postgres:right'one\n", cluster.port())),
        ..options(&cluster)
    };
    Session::connect(&passfile, "postgres").await.unwrap();
    GlobalsDump::take(&tools(&cluster).await, &passfile).await.unwrap();
    let over_tcp = PostgresOptions { host: Some("127.0.0.1".into()), ..right.clone() };
    Session::connect(&over_tcp, "postgres").await.unwrap();

    let wrong = PostgresOptions { password_file: file("wrong", "s3cret-wrong"), ..options(&cluster) };
    let error = Session::connect(&wrong, "postgres").await.err().unwrap();
    assert_eq!(error.kind(), Kind::Postgres);
    assert!(error.causes().join(" ").contains("28P01"), "{error:?}");
    assert!(error.what().contains(&format!("{}:{} as postgres", cluster.host(), cluster.port())), "{error}");
    assert!(!format!("{error:?} {:?}", wrong).contains("s3cret"), "the password is nowhere");

    let error = Session::connect(&right, "no such").await.err().unwrap();
    assert_eq!(error.kind(), Kind::NotFound);
    assert!(error.what().contains("\"no such\""), "{error}");

    cluster.stop();
    let error = Session::connect(&right, "postgres").await.err().unwrap();
    assert_eq!(error.kind(), Kind::Postgres);
    assert!(error.next_text().unwrap().contains("running"), "{error:?}");
    let error = GlobalsDump::take(&tools(&cluster).await, &right).await.err().unwrap();
    assert!(error.what().starts_with("pg_dumpall of"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_programs_are_of_the_servers_major_or_refused() {
    let cluster = Cluster::start_default();
    let found = tools(&cluster).await;
    assert_eq!((found.major, found.dir.as_path()), (cluster.major(), cluster.bin_dir()));
    let error = Tools::clients(&options(&cluster), 99).await.unwrap_err();
    assert!(error.what().contains("PostgreSQL 99"), "{error}");
    let cause = error.causes().join(" ");
    assert!(cause.contains(&format!("(PostgreSQL) {}", cluster.major())), "{cause}");
    assert!(cause.contains(&cluster.bin_dir().display().to_string()), "{cause}");
    assert!(error.next_text().unwrap().contains("postgresql-client-99"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn globals_without_superuser_come_without_passwords_and_say_so() {
    let cluster = Cluster::start_default();
    cluster.psql("postgres", "create role backup login; create role shop login password 'x'");
    let tools = tools(&cluster).await;
    let all = GlobalsDump::take(&tools, &options(&cluster)).await.unwrap();
    let text = String::from_utf8(all.text).unwrap();
    assert!(all.role_passwords && text.contains("PASSWORD 'SCRAM"), "{text}");
    let plain = PostgresOptions { user: "backup".into(), ..options(&cluster) };
    let some = GlobalsDump::take(&tools, &plain).await.unwrap();
    let text = String::from_utf8(some.text).unwrap();
    assert!(!some.role_passwords && text.contains("CREATE ROLE shop") && !text.contains("PASSWORD 'SCRAM"));
    assert!(some.notes[0].contains("pg_authid"), "{:?}", some.notes);
}
