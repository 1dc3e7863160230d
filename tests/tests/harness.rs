//! The test support library against the real things: it must be right before anything leans on it.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::StreamExt;
use lifeboat_tests::children::HANGS;
use lifeboat_tests::compare::{self, assert_same_database, assert_same_tree, database_digest, tree_digest};
use lifeboat_tests::faults::on;
use lifeboat_tests::small_disk::SmallDisk;
use lifeboat_tests::{
    Cluster, Options, Program, S3, available_majors, children, damage, load_real, place, real_tenants, skip,
    small_tenant,
};
use object_store::aws::{AmazonS3, AmazonS3Builder};
use object_store::path::Path as Key;
use object_store::{MultipartUpload, ObjectStore, ObjectStoreExt, PutMode};

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

    let slow = shell().args(["-c", "echo begun; sleep 30"]).limit(Duration::from_secs(2));
    let panic = std::panic::catch_unwind(|| slow.run()).unwrap_err();
    let message = panic.downcast_ref::<String>().unwrap();
    assert!(message.contains("still running after 2s") && message.contains("begun"), "{message}");

    let killed = shell().args(["-c", "exec sleep 30"]).spawn().kill9();
    assert_eq!((killed.code, killed.signal), (None, Some(9)));
    assert!(Program::lifeboat().arg("--no-such-flag").run().code.is_some());
}

/// The client of these tests; the agent's own door has its own.
fn client(s3: &S3) -> AmazonS3 {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let env: std::collections::HashMap<_, _> = s3.env().into_iter().collect();
    let retry = object_store::RetryConfig { max_retries: 0, ..Default::default() };
    AmazonS3Builder::new()
        .with_endpoint(&env["AWS_ENDPOINT_URL"])
        .with_access_key_id(&env["AWS_ACCESS_KEY_ID"])
        .with_secret_access_key(&env["AWS_SECRET_ACCESS_KEY"])
        .with_region(&env["AWS_REGION"])
        .with_bucket_name(lifeboat_tests::s3::BUCKET)
        .with_allow_http(true)
        .with_retry(retry)
        .build()
        .unwrap()
}

/// Speaks HTTP by hand: no signature, nothing hidden.
fn raw(s3: &S3, request: &str) -> String {
    let mut socket = TcpStream::connect(s3.endpoint().strip_prefix("http://").unwrap()).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    write!(socket, "{request} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    let _ = socket.read_to_string(&mut answer);
    answer
}

#[tokio::test]
async fn the_s3_server_stores_refuses_and_logs() {
    let s3 = S3::start();
    let answer = raw(&s3, "GET /lifeboat/a/b");
    assert!(answer.starts_with("HTTP/1.1 403") && answer.contains("AccessDenied"), "{answer}");
    assert_eq!(
        (s3.faults().log()[0].path.as_str(), s3.faults().log()[0].status),
        ("/lifeboat/a/b", Some(403))
    );

    let store = client(&s3);
    let (key, data) = (Key::from("p/x y"), vec![7_u8; 100_000]);
    store.put(&key, data.clone().into()).await.unwrap();
    assert_eq!(store.get(&key).await.unwrap().bytes().await.unwrap(), data);
    assert_eq!(store.get_range(&key, 5..9).await.unwrap().len(), 4);
    let again = store.put_opts(&key, "other".into(), PutMode::Create.into()).await;
    assert!(matches!(again, Err(object_store::Error::AlreadyExists { .. })), "{again:?}");
    let missing = store.get(&Key::from("nothing")).await;
    assert!(matches!(missing, Err(object_store::Error::NotFound { .. })), "{missing:?}");
    assert_eq!(s3.keys("p/"), ["p/x y"]);
    assert_eq!(std::fs::read(s3.object("p/x y")).unwrap(), data);
    assert_eq!(s3.faults().count("PUT", "/p/x y"), 2);

    let mut upload = store.put_multipart(&Key::from("big")).await.unwrap();
    upload.put_part(vec![1; 5 << 20].into()).await.unwrap();
    assert_eq!(s3.open_uploads(), 1);
    upload.abort().await.unwrap();
    assert_eq!(s3.open_uploads(), 0);

    damage::flip_bit(&s3.object("p/x y"), 8 * 50_000);
    let damaged = store.get(&key).await.unwrap().bytes().await.unwrap();
    assert_eq!((damaged[49_999], damaged[50_000]), (7, 6));
    let root = s3.root().to_owned();
    drop(s3);
    assert!(!root.exists());
}

#[tokio::test]
async fn planned_faults_fire_for_the_requests_they_are_for() {
    let s3 = S3::start();
    let store = client(&s3);
    let key = Key::from("manifests/one");
    let put = |body: &'static str| store.put(&key, body.into());

    let slow_down = s3.plan(on("PUT", "manifests/").nth(2).respond(503));
    put("first").await.unwrap();
    assert!(put("second").await.unwrap_err().to_string().contains("503"));
    assert_eq!(std::fs::read(s3.object("manifests/one")).unwrap(), b"first");
    put("third").await.unwrap();
    assert_eq!((slow_down.matched(), slow_down.fired()), (3, 1));
    s3.faults().clear();

    s3.plan(on("PUT", "").first(1).land_and_respond(500));
    assert!(put("landed").await.is_err());
    assert_eq!(std::fs::read(s3.object("manifests/one")).unwrap(), b"landed");

    for status in [403, 507] {
        s3.faults().clear();
        s3.plan(on("*", "").respond(status));
        assert!(put("no").await.unwrap_err().to_string().contains(&status.to_string()));
    }

    s3.faults().clear();
    s3.plan(on("GET", "one").nth(1).hang());
    let hung = tokio::time::timeout(Duration::from_secs(2), store.get(&key)).await;
    assert!(hung.is_err());
    assert_eq!(s3.faults().log().last().unwrap().status, None);
    store.get(&key).await.unwrap();

    s3.faults().clear();
    s3.plan(on("PUT", "two").drop_connection());
    s3.plan(on("PUT", "three").land_and_drop_connection());
    assert!(store.put(&Key::from("two"), "x".into()).await.is_err());
    assert!(store.put(&Key::from("three"), "x".into()).await.is_err());
    assert_eq!(s3.keys("t"), ["three"]);

    let seen = Arc::new(Mutex::new(Vec::new()));
    let sink = seen.clone();
    s3.plan(on("PUT", "four").land_and_call(move |served| sink.lock().unwrap().push(served.target())));
    store.put(&Key::from("four"), "x".into()).await.unwrap();
    assert_eq!(*seen.lock().unwrap(), ["/lifeboat/four"]);
}

#[tokio::test]
async fn bodies_are_cut_flipped_and_slowed_on_their_way() {
    let s3 = S3::start();
    let store = client(&s3);
    let key = Key::from("body");
    store.put(&key, vec![7; 60_000].into()).await.unwrap();

    s3.plan(on("GET", "body").nth(1).cut_answer(40_000));
    let mut stream = store.get(&key).await.unwrap().into_stream();
    let (mut received, mut failed) = (0, false);
    while let Some(piece) = stream.next().await {
        match piece {
            Ok(piece) => received += piece.len(),
            Err(_) => failed = true,
        }
    }
    assert!(failed, "the cut must be an error");
    assert_eq!(received, 40_000);

    s3.plan(on("GET", "body").nth(1).flip(41_234));
    let flipped = store.get(&key).await.unwrap().bytes().await.unwrap();
    assert_eq!((flipped.len(), flipped[41_233], flipped[41_234]), (60_000, 7, 6));

    s3.plan(on("GET", "body").nth(1).slow(200_000));
    let started = std::time::Instant::now();
    assert_eq!(store.get(&key).await.unwrap().bytes().await.unwrap(), vec![7; 60_000]);
    assert!(started.elapsed() > Duration::from_millis(280), "{:?}", started.elapsed());

    s3.plan(on("PUT", "torn").cut_upload(10_000));
    assert!(store.put(&Key::from("torn"), vec![1; 60_000].into()).await.is_err());
    s3.plan(on("PUT", "slow").slow(1_000_000));
    store.put(&Key::from("slow"), vec![1; 60_000].into()).await.unwrap();
    assert_eq!(s3.keys(""), ["body", "slow"]);
}

#[test]
fn a_fault_can_kill_the_program_that_asked() {
    let s3 = S3::start();
    let port = s3.endpoint().rsplit(':').next().unwrap().to_owned();
    let script = format!(
        "exec 3<>/dev/tcp/127.0.0.1/{port}; sleep 0.3; printf 'GET /lifeboat/k HTTP/1.1\\r\\nhost: x\\r\\n\\r\\n' >&3; exec cat <&3"
    );
    let running = Program::at("/bin/bash".into()).args(["-c", &script]).spawn();
    let pid = running.pid();
    s3.plan(on("GET", "/k").call(move |_| children::signal(pid, rustix::process::Signal::KILL)));
    assert_eq!(running.finish().signal, Some(9));
}

#[test]
fn digests_of_databases_and_trees_see_every_change() {
    let cluster = Cluster::start_default();
    for name in ["a", "b"] {
        cluster.create_db(name);
        cluster.psql(name, "create table whole(t int, whole_row_x text, \"Up|per\" bytea); insert into whole select i, repeat('x', i), '\\x00' from generate_series(1, 100) i; create sequence s; create index i on whole(t); create view v as select 1 one; select lo_from_bytea(4711, 'large')");
    }
    let same = || compare::differences(&database_digest(&cluster, "a"), &database_digest(&cluster, "b"));
    assert_same_database((&cluster, "a"), (&cluster, "b"));
    let changes = [
        (
            "update whole set whole_row_x = 'y' where t = 50",
            "update whole set whole_row_x = repeat('x', 50) where t = 50",
            "table public.whole",
        ),
        ("select nextval('s')", "select setval('s', 1, false)", "sequence public.s"),
        ("drop index i", "create index i on whole(t)", "index public.i"),
        (
            "create or replace view v as select 2 one",
            "create or replace view v as select 1 one",
            "view public.v",
        ),
        (
            "alter table whole alter t set default 3",
            "alter table whole alter t drop default",
            "columns public.whole",
        ),
        ("select lo_put(4711, 0, 'L')", "select lo_put(4711, 0, 'l')", "large objects"),
    ];
    for (change, undo, named) in changes {
        cluster.psql("b", change);
        let found = same();
        assert_eq!(found.len(), 1, "{change}: {found:?}");
        assert!(found[0].contains(named), "{found:?}");
        cluster.psql("b", undo);
        assert_eq!(same(), [""; 0], "after {undo}");
    }

    let dir = tempfile::tempdir().unwrap();
    let (a, b) = (dir.path().join("a"), dir.path().join("b"));
    for side in [&a, &b] {
        std::fs::create_dir_all(side.join("deep")).unwrap();
        std::fs::write(side.join("deep/file"), "content").unwrap();
        std::os::unix::fs::symlink("deep/file", side.join("link")).unwrap();
    }
    assert_same_tree(&a, &b);
    damage::flip_bit(&b.join("deep/file"), 3);
    let found = compare::differences(&tree_digest(&a), &tree_digest(&b));
    assert!(found.len() == 1 && found[0].contains("deep/file"), "{found:?}");
    damage::flip_bit(&b.join("deep/file"), 3);
    std::fs::set_permissions(b.join("deep/file"), std::os::unix::fs::PermissionsExt::from_mode(0o600))
        .unwrap();
    assert_eq!(compare::differences(&tree_digest(&a), &tree_digest(&b)).len(), 1);
}

/// Checks of our own kind on the small tenant; each counts what contradicts itself.
const CHECKS: [(&str, &str); 6] = [
    (
        "posted moves balance",
        "select count(*) from (select 1 from account_move_line where parent_state = 'posted' group by move_id having sum(balance) <> 0) x",
    ),
    (
        "orders add up",
        "select count(*) from sale_order o where amount_untaxed <> (select sum(price_subtotal) from sale_order_line l where l.order_id = o.id and display_type is null)",
    ),
    (
        "stock is what moved",
        "select count(*) from stock_quant q where quantity <> (select sum(case when l.location_dest_id = q.location_id then l.quantity else -l.quantity end) from stock_move_line l where l.state = 'done' and l.product_id = q.product_id and q.location_id in (l.location_id, l.location_dest_id))",
    ),
    (
        "numbers are not used up",
        "select count(*) from ir_sequence_001 s where s.last_value < (select max(substr(name, 2)::int) from sale_order)",
    ),
    (
        "attachments are named by content",
        "select count(*) from ir_attachment where store_fname <> left(checksum, 2) || '/' || checksum",
    ),
    (
        "every model is registered",
        "select count(*) from pg_class c where relkind = 'r' and relnamespace = 'public'::regnamespace and relname !~ '_rel$' and not exists (select from ir_model where replace(model, '.', '_') = relname)",
    ),
];

#[test]
fn the_small_tenant_is_sound_and_follows_from_its_seed() {
    let cluster = Cluster::start_default();
    let dir = tempfile::tempdir().unwrap();
    let tenant = small_tenant(&cluster, dir.path(), "shop-1", 1);
    for (what, sql) in CHECKS {
        assert_eq!(cluster.psql("shop-1", sql), "0", "{what}");
    }
    let rows = cluster.psql("shop-1", "analyze; select sum(reltuples)::int from pg_class where relkind = 'r' and relnamespace = 'public'::regnamespace");
    assert!(rows.parse::<u32>().unwrap() > 8_000, "{rows} rows");

    let (files, referenced) = (tenant.filestore().files(), tenant.referenced(&cluster));
    assert_eq!(files.len(), referenced.len() + 3, "three files wait for the collector");
    assert!(referenced.len() > 295 && files.values().sum::<u64>() > 5_000_000);
    assert_eq!(referenced["da/da39a3ee5e6b4b0d3255bfef95601890afd80709"], 0);
    let shared =
        "select count(*) from (select from ir_attachment group by store_fname having count(*) > 1) x";
    assert!(cluster.psql("shop-1", shared).parse::<u32>().unwrap() > 30);
    let before = tenant.state(&cluster);

    let again = small_tenant(&cluster, &dir.path().join("again"), "shop-2", 1);
    compare::assert_same("tenants of one seed", &before.database, &again.state(&cluster).database);
    assert_same_tree(tenant.filestore().dir(), again.filestore().dir());
    let other = small_tenant(&cluster, &dir.path().join("other"), "shop-3", 2);
    let differing = compare::differences(&before.database, &other.state(&cluster).database);
    assert!(
        differing.len() > 20 && differing.iter().any(|line| line.contains("public.sale_order")),
        "{differing:?}"
    );

    // what a dump and its restore keep, and nothing they cannot keep, is in the digest
    let dump = dir.path().join("dump");
    cluster.run("pg_dump", &["-Fc", "-Z0", "-f", dump.to_str().unwrap(), "shop-1"]);
    cluster.create_db("back");
    cluster.run("pg_restore", &["--no-owner", "--exit-on-error", "-d", "back", dump.to_str().unwrap()]);
    assert_same_database((&cluster, "shop-1"), (&cluster, "back"));

    let stored = tenant.upload(&cluster, "new's", b"fresh content");
    assert_eq!(std::fs::read(tenant.filestore().path(&stored)).unwrap(), b"fresh content");
    assert!(tenant.filestore().faults(&tenant.referenced(&cluster)).is_empty());
    damage::flip_bit(&tenant.filestore().path(&stored), 0);
    let faults = tenant.filestore().faults(&tenant.referenced(&cluster));
    assert!(faults.len() == 1 && faults[0].contains(&stored), "{faults:?}");
    std::fs::remove_file(tenant.filestore().path(&stored)).unwrap();
    assert!(tenant.filestore().faults(&tenant.referenced(&cluster))[0].contains("No such file"));
}

#[test]
fn make_tenant_builds_one_on_a_running_server_and_says_what() {
    let cluster = Cluster::with(Options { password: Some("secret".into()), ..Options::default() });
    let dir = tempfile::tempdir().unwrap();
    let (host, port) = (cluster.host(), cluster.port().to_string());
    let args = [
        "--host",
        &host,
        "--port",
        &port,
        "--user",
        "postgres",
        "--database",
        "demo",
        "--seed",
        "5",
        "--data-dir",
    ];
    let make = || {
        Program::at(env!("CARGO_BIN_EXE_make-tenant").into())
            .args(args)
            .arg(dir.path())
            .env("PGPASSWORD", "secret")
    };
    let made = make().run().ok();
    assert!(made.stdout.contains("database demo, 304 files"), "{made}");
    assert_eq!(
        cluster.psql("demo", "select value from ir_config_parameter where key = 'web.base.url'"),
        "https://erp-5.example.com"
    );
    make().run().exits(1).says("already exists");
    make().arg("--wrong").run().exits(2).says("unknown argument --wrong");
}

#[test]
fn real_tenants_load_where_the_machine_has_them() {
    let Some(name) = real_tenants().into_iter().next() else {
        skip!("no dumps of real tenants; TEST_ODOO_TENANTS names their folder");
    };
    let cluster = Cluster::start_default();
    let dir = tempfile::tempdir().unwrap();
    let tenant = load_real(&cluster, dir.path(), &name, "real").unwrap();
    let state = tenant.state(&cluster);
    assert!(
        state.files.len() > 500 && state.database.len() > 2_000,
        "{} {}",
        state.files.len(),
        state.database.len()
    );
}

#[test]
fn a_cluster_dies_with_a_killed_test_and_its_files_with_the_next_program() {
    const VICTIM: &str = "TEST_VICTIM";
    const NEXT: &str = "TEST_NEXT";
    if std::env::var_os(NEXT).is_some() {
        assert!(place::ours().is_dir());
        return;
    }
    if std::env::var_os(VICTIM).is_some() {
        // this is the test that is killed: it never drops its cluster
        let cluster = Cluster::start_default();
        println!("pid {} dir {} .", cluster.pid().unwrap(), cluster.host());
        std::thread::sleep(Duration::from_secs(60));
        return;
    }
    if !std::path::Path::new("/usr/bin/setpriv").exists() {
        skip!("no setpriv on this machine");
    }
    let args =
        ["--exact", "a_cluster_dies_with_a_killed_test_and_its_files_with_the_next_program", "--nocapture"];
    let again = |what: &str| {
        let program = Program::at(std::env::current_exe().unwrap()).args(args);
        program.env("TEST_TMP", place::ours()).env(what, "1")
    };
    let running = again(VICTIM).spawn();
    let deadline = std::time::Instant::now() + HANGS;
    let line = loop {
        let said = running.stdout_so_far();
        match said.lines().find_map(|line| line.split_once("pid ")) {
            Some((_, rest)) if rest.contains(" .") => break rest.to_owned(),
            _ => assert!(std::time::Instant::now() < deadline, "{said}"),
        }
        std::thread::sleep(children::POLL);
    };
    let (pid, dir) = line.trim_end_matches(" .").split_once(" dir ").unwrap();
    // What it leaves the next program removes: not while it lives, however old it is.
    let left = std::path::Path::new(dir).parent().unwrap();
    let next_program = || {
        let a_while_ago = std::time::SystemTime::now() - Duration::from_secs(600);
        std::fs::File::open(left).unwrap().set_modified(a_while_ago).unwrap();
        again(NEXT).run().ok();
    };
    next_program();
    assert!(std::path::Path::new(dir).exists());
    running.kill9();
    while std::fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|words| !words.is_empty()) {
        assert!(std::time::Instant::now() < deadline, "PostgreSQL {pid} outlived its test");
        std::thread::sleep(children::POLL);
    }
    next_program();
    assert!(!left.exists(), "{}", left.display());
}

#[test]
fn a_small_disk_fills_up_and_goes_away() {
    let Some(disk) = SmallDisk::mount(1 << 20) else { skip!("this user may not mount a small disk") };
    let path = disk.path().to_owned();
    std::fs::write(path.join("fits"), vec![0; 500_000]).unwrap();
    let full = std::fs::write(path.join("too much"), vec![0; 1_000_000]).unwrap_err();
    assert_eq!(full.kind(), std::io::ErrorKind::StorageFull);
    disk.resize(4 << 20);
    std::fs::write(path.join("too much"), vec![0; 1_000_000]).unwrap();
    drop(disk);
    assert!(!path.exists());
}
