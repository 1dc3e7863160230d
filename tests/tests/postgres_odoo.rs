//! The agent's modules `postgres` and `odoo` over real servers: sessions, dumps and their
//! reader, baseline, fence, discovery, restore helpers, neutralization.
#![allow(clippy::unwrap_used, clippy::disallowed_methods)] // a failing test panics

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use lifeboat::error::Kind;
use lifeboat::odoo::neutralize::{BASE_URL, catalogue};
use lifeboat::odoo::{self, Baseline, Fence, Released};
use lifeboat::postgres::create::{Publication, apply_settings, create_restore_database, publish_database};
use lifeboat::postgres::database::{
    database_comment, database_exists, drop_database_if_marked, missing_roles, role_exists,
};
use lifeboat::postgres::{
    DumpChild, GlobalsDump, PostgresOptions, ReadBack, Restore, RestoreProgress, Session, SnapshotSession,
    Tools, server_info,
};
use lifeboat_tests::{Cluster, Options, compare, skip};
use tokio::io::AsyncReadExt;
use tokio_util::sync::CancellationToken;

/// What Odoo has at the least, with data that a neutralization must find.
const TENANT: &str = "
create table ir_module_module (id serial primary key, name text, state text, latest_version text);
insert into ir_module_module (name, state, latest_version) values ('base','installed','17.0.1.3'),('sale','installed','17.0.1.2'),('crm','uninstalled',null);
create table ir_config_parameter (id serial primary key, key varchar not null unique, value text not null);
insert into ir_config_parameter (key, value) values ('database.uuid','old-uuid'),('database.secret','old-secret'),('web.base.url','https://prod.example'),('web.base.url.freeze','True');
create table ir_attachment (id serial primary key, name text, store_fname varchar, file_size int, write_date timestamp);
insert into ir_attachment (name, store_fname, file_size, write_date)
  select 'a'||i, left(md5(i::text),2)||'/'||md5(i::text)||left(md5(i::text),8), i, '2026-01-01'::timestamp + i * interval '1 second' from generate_series(1,500) i;
insert into ir_attachment (name, store_fname, file_size) select name||' again', store_fname, file_size from ir_attachment where id <= 50;
insert into ir_attachment (name) values ('a link'), ('another link');
create table res_partner (id serial primary key, name text, write_date timestamp);
insert into res_partner (name, write_date) select 'p'||i, '2026-02-01' from generate_series(1,1000) i;
";

fn options(cluster: &Cluster) -> PostgresOptions {
    PostgresOptions {
        host: Some(cluster.host()),
        port: cluster.port(),
        user: cluster.user().into(),
        bin_dir: Some(cluster.bin_dir().into()),
        ..PostgresOptions::default()
    }
}

fn tenant(cluster: &Cluster, name: &str) {
    cluster.create_db(name);
    cluster.psql(name, TENANT);
}

async fn tools(cluster: &Cluster) -> Tools {
    Tools::find(&options(cluster), cluster.major()).await.unwrap()
}

async fn dump(cluster: &Cluster, database: &str) -> Vec<u8> {
    let (options, mut bytes) = (options(cluster), Vec::new());
    let mut child = DumpChild::start(&tools(cluster).await, &options, database, None).unwrap();
    child.take_stdout().unwrap().read_to_end(&mut bytes).await.unwrap();
    child.finish().await.unwrap();
    bytes
}

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
    let error = Tools::find(&options(&cluster), 99).await.unwrap_err();
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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dump_is_what_its_snapshot_saw_and_reads_back() {
    let cluster = Cluster::start_default();
    tenant(&cluster, "shop");
    cluster.psql("postgres", "alter database shop rename to \"it's = \"\"odd\"\"\"");
    let (name, options, tools) = ("it's = \"odd\"", options(&cluster), tools(&cluster).await);
    let mut snapshot = SnapshotSession::begin(&options, name).await.unwrap();
    assert!(snapshot.lsn.0 > 0 && snapshot.time.as_second() > 1_700_000_000);
    let mut meanwhile = Session::connect(&options, name).await.unwrap();
    meanwhile.execute("delete", "delete from res_partner where id > 900").await.unwrap();
    let baseline = Baseline::take(&mut snapshot.session).await.unwrap();
    let mut child = DumpChild::start(&tools, &options, name, Some(&snapshot.snapshot_id)).unwrap();
    let mut reader = ReadBack::start(&tools).unwrap();
    let (mut stdout, mut chunk, mut bytes) = (child.take_stdout().unwrap(), vec![0; 60_000], Vec::new());
    loop {
        let got = stdout.read(&mut chunk).await.unwrap();
        if got == 0 {
            break;
        }
        reader.write(&chunk[..got]).await.unwrap();
        bytes.extend_from_slice(&chunk[..got]);
    }
    assert_eq!(child.finish().await.unwrap().warnings, Vec::<String>::new());
    reader.finish().await.unwrap();
    snapshot.end().await.unwrap();

    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), &bytes).unwrap();
    let mut maintenance = Session::maintenance(&options).await.unwrap();
    create_restore_database(&mut maintenance, "copy", None, &baseline.properties, "marker").await.unwrap();
    let restore =
        Restore { dump: file.path().into(), database: "copy".into(), jobs: 2, no_owner: true, role: None };
    let progress = RestoreProgress::default();
    restore.run(&tools, &options, progress.clone(), &CancellationToken::new()).await.unwrap();
    let (done, total) = progress.read();
    assert!(done == total && total > 10, "{done} of {total}");
    let copy = Baseline::take(&mut Session::connect(&options, "copy").await.unwrap()).await.unwrap();
    assert_eq!(odoo::compare(&baseline, &copy), [], "the 1000 partners of the snapshot, not the 900 of now");
    assert_eq!(copy.tables.iter().find(|t| t.name == "res_partner").unwrap().rows, 1000);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dump_whose_backend_is_killed_fails_and_a_cancelled_one_leaves_no_session() {
    let cluster = Cluster::start_default();
    tenant(&cluster, "shop");
    cluster.psql(
        "shop",
        "create table big as select repeat(md5(i::text), 30) t from generate_series(1,30000) i",
    );
    let (options, tools) = (options(&cluster), tools(&cluster).await);
    let begin = async || {
        let mut child = DumpChild::start(&tools, &options, "shop", None).unwrap();
        let mut stdout = child.take_stdout().unwrap();
        stdout.read_exact(&mut vec![0; 100_000]).await.unwrap(); // now it is in the middle, and blocked
        (child, stdout)
    };
    let sessions = "select count(*) from pg_stat_activity where datname = 'shop' and pid <> pg_backend_pid()";
    let (child, mut stdout) = begin().await;
    cluster.psql("postgres", "select pg_terminate_backend(pid) from pg_stat_activity where datname = 'shop'");
    stdout.read_to_end(&mut Vec::new()).await.unwrap();
    let error = child.finish().await.unwrap_err();
    assert_eq!(error.kind(), Kind::Postgres);
    assert!(error.causes().join(" ").contains("Dumping the contents of table \"big\" failed"), "{error:?}");
    assert!(error.effect_text().unwrap().contains("does not count"));

    let (child, _stdout) = begin().await;
    child.cancel().await;
    let (child, stdout) = begin().await;
    drop((child, stdout));
    let waited = Instant::now();
    while cluster.psql("shop", sessions) != "0" {
        assert!(waited.elapsed() < Duration::from_secs(10), "sessions are left");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cut_or_damaged_dump_is_refused_by_its_reader() {
    let cluster = Cluster::start_default();
    tenant(&cluster, "shop");
    let (tools, whole) = (tools(&cluster).await, dump(&cluster, "shop").await);
    let read = async |bytes: &[u8]| {
        let mut reader = ReadBack::start(&tools).unwrap();
        for chunk in bytes.chunks(10_000) {
            reader.write(chunk).await.unwrap();
        }
        reader.finish().await
    };
    read(&whole).await.unwrap();
    for keep in [0, 3, 100, whole.len() / 3, whole.len() / 2, whole.len() - 1] {
        let error = read(&whole[..keep]).await.unwrap_err();
        assert_eq!(error.kind(), Kind::Integrity, "{keep} of {} bytes", whole.len());
    }
    let mut foreign = whole.clone();
    foreign[..5].copy_from_slice(b"other");
    assert_eq!(read(&foreign).await.unwrap_err().kind(), Kind::Integrity);
    let mut garbage = vec![7; 4 << 20]; // more than a pipe holds: pg_restore goes while we write
    garbage[..whole.len() / 2].copy_from_slice(&whole[..whole.len() / 2]);
    assert_eq!(read(&garbage).await.unwrap_err().kind(), Kind::Integrity);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restore_that_fails_or_is_cancelled_says_so() {
    let cluster = Cluster::start_default();
    tenant(&cluster, "shop");
    cluster.psql(
        "shop",
        "create table big as select repeat(md5(i::text), 30) t from generate_series(1,100000) i",
    );
    let (options, tools, bytes) = (options(&cluster), tools(&cluster).await, dump(&cluster, "shop").await);
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), &bytes).unwrap();
    let restore = |database: &str, jobs| Restore {
        dump: file.path().into(),
        database: database.into(),
        jobs,
        no_owner: true,
        role: None,
    };
    let cancel = CancellationToken::new();
    let error =
        restore("shop", 1).run(&tools, &options, RestoreProgress::default(), &cancel).await.unwrap_err();
    assert!(error.causes().join(" ").contains("already exists"), "{error:?}");
    assert!(error.effect_text().unwrap().contains("half filled"));

    cluster.create_db("copy");
    let stopper = cancel.clone();
    let stop = async {
        while cluster.psql("copy", "select count(*) from pg_stat_activity where query like 'COPY%big%'")
            == "0"
        {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        stopper.cancel();
    };
    let two = restore("copy", 2);
    let (result, ()) = tokio::join!(two.run(&tools, &options, RestoreProgress::default(), &cancel), stop);
    assert_eq!(result.unwrap_err().kind(), Kind::Interrupted);
    let left = "select count(*) from pg_stat_activity where datname = 'copy' and pid <> pg_backend_pid()";
    let waited = Instant::now();
    while cluster.psql("copy", left) != "0" {
        assert!(waited.elapsed() < Duration::from_secs(10), "workers are left");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    std::fs::write(file.path(), &bytes[..bytes.len() / 2]).unwrap();
    cluster.create_db("cut");
    let cancel = CancellationToken::new();
    assert!(restore("cut", 1).run(&tools, &options, RestoreProgress::default(), &cancel).await.is_err());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tenants_are_found_and_what_cannot_be_looked_into_is_said() {
    let cluster = Cluster::start_default();
    for name in ["shop_b", "shop a", "shop/c"] {
        tenant(&cluster, name);
    }
    tenant(&cluster, "closed");
    cluster.create_db("plain");
    tenant(&cluster, "hidden");
    cluster.psql(
        "postgres",
        "alter database hidden is_template true; revoke connect on database closed from public;
        create role backup login; grant pg_read_all_data to backup",
    );
    let backup = PostgresOptions { user: "backup".into(), ..options(&cluster) };
    let found = odoo::discover(&backup).await.unwrap();
    let names: Vec<&str> = found.tenants.iter().map(|t| t.name.as_str()).collect();
    assert_eq!(names, ["shop a", "shop_b"]);
    assert_eq!(found.tenants[0].odoo_version.as_deref(), Some("17.0.1.3"));
    assert!(found.tenants[0].database_bytes > 1_000_000);
    assert_eq!(found.others, ["plain", "postgres"]);
    let unknown: BTreeMap<&str, Kind> = found.unknown.iter().map(|(n, e)| (n.as_str(), e.kind())).collect();
    assert_eq!(unknown, BTreeMap::from([("closed", Kind::Denied), ("shop/c", Kind::Usage)]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_baseline_sees_losses_and_a_table_it_may_not_read() {
    let cluster = Cluster::start_default();
    tenant(&cluster, "shop");
    cluster.psql("shop", "create schema \"x y\"; create table \"x y\".\"T\"\"\" (id text); create table part (id int, d int) partition by list (d);
        create table part_1 partition of part for values in (1); insert into part values (7, 1); create unlogged table u (id bigint);
        create table tz (write_date timestamptz); insert into tz values ('2026-01-01 01:00+01');
        alter database shop set work_mem to '16MB'; alter database shop set search_path to \"$user\", public; revoke temporary on database shop from public");
    let options = options(&cluster);
    let mut session = Session::connect(&options, "shop").await.unwrap();
    let before = Baseline::take(&mut session).await.unwrap();
    assert_eq!(before.odoo_version.as_deref(), Some("17.0.1.3"));
    assert_eq!(before.database_uuid.as_deref(), Some("old-uuid"));
    assert_eq!(before.modules.iter().map(|m| m.name.as_str()).collect::<Vec<_>>(), ["base", "sale"]);
    assert_eq!(before.roles, ["postgres"]);
    let tables: Vec<String> = before.tables.iter().map(|t| format!("{}.{}", t.schema, t.name)).collect();
    let expected = [
        "public.ir_attachment",
        "public.ir_config_parameter",
        "public.ir_module_module",
        "public.part_1",
        "public.res_partner",
        "public.tz",
        "public.u",
        "x y.T\"",
    ];
    assert_eq!(tables, expected);
    let of = |name: &str| before.tables.iter().find(|t| t.name == name).unwrap();
    assert_eq!((of("part_1").rows, of("part_1").max_id), (1, Some(7)));
    assert_eq!((of("T\"").rows, of("T\"").max_id), (0, None));
    assert_eq!(of("tz").max_write_date.as_deref(), Some("2026-01-01T00:00:00.000000Z"));
    assert_eq!(of("ir_attachment").max_write_date.as_deref(), Some("2026-01-01T00:08:20.000000Z"));
    assert_eq!(before.properties.collate, "C");
    assert_eq!(before.properties.settings.len(), 2);
    assert!(
        before
            .properties
            .grants
            .as_ref()
            .unwrap()
            .iter()
            .all(|g| g.role.is_some() || g.privilege == "CONNECT")
    );
    assert_eq!(odoo::compare(&before, &Baseline::take(&mut session).await.unwrap()), []);

    cluster.psql("shop", "delete from res_partner where id = 1000");
    let after = Baseline::take(&mut session).await.unwrap();
    let said: Vec<String> = odoo::compare(&before, &after).iter().map(ToString::to_string).collect();
    assert_eq!(
        said,
        [
            "table public.res_partner: rows is 999, and was 1000",
            "table public.res_partner: max(id) is 999, and was 1000"
        ]
    );

    cluster.psql("shop", "create role backup login; grant pg_read_all_data to backup; create table own_rows (id int); alter table own_rows enable row level security;
        create policy mine on own_rows using (false); insert into own_rows values (1)");
    let backup = PostgresOptions { user: "backup".into(), ..options.clone() };
    let mut snapshot = SnapshotSession::begin(&backup, "shop").await.unwrap();
    let error = Baseline::take(&mut snapshot.session).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Denied);
    assert!(error.what().contains("public.own_rows"), "{error:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn attachments_stream_sorted_and_once() {
    let cluster = Cluster::start_default();
    tenant(&cluster, "shop");
    let options = options(&cluster);
    let mut snapshot = SnapshotSession::begin(&options, "shop").await.unwrap();
    cluster.psql("shop", "delete from ir_attachment where id = 100");
    let mut seen = Vec::new();
    let count = odoo::each_attachment_file(&mut snapshot.session, |file| {
        seen.push(file);
        Ok(())
    });
    assert_eq!(count.await.unwrap(), 500);
    assert!(seen.windows(2).all(|w| w[0].store_fname.as_bytes() < w[1].store_fname.as_bytes()));
    assert_eq!(seen.iter().map(|f| f.rows).sum::<u64>(), 550);
    assert!(seen.iter().all(|f| f.sizes_agree && f.file_size.is_some()));
    let gone = cluster.psql("shop", "select left(md5('100'),2)||'/'||md5('100')||left(md5('100'),8)");
    let mut now = Session::connect(&options, "shop").await.unwrap();
    assert!(seen.iter().any(|f| f.store_fname == gone), "the snapshot has it");
    assert!(!odoo::attachment_exists_now(&mut now, &gone).await.unwrap());
    assert!(odoo::attachment_exists_now(&mut now, &seen[0].store_fname).await.unwrap());
    snapshot.end().await.unwrap();
    cluster.psql("shop", "alter table ir_attachment drop column store_fname");
    let error = odoo::each_attachment_file(&mut now, |_| Ok(())).await.unwrap_err();
    assert!(error.what().contains("no column store_fname"), "{error:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_fence_keeps_the_collector_out_and_yields_to_one_that_waits() {
    let cluster = Cluster::start_default();
    tenant(&cluster, "shop");
    let options = options(&cluster);
    let collect = "set lock_timeout = '20s'; begin; lock table ir_attachment in share mode; commit";
    let fence = Fence::hold(&options, "shop", Duration::from_secs(60)).await;
    assert!(fence.is_held());
    let refused =
        cluster.try_psql("shop", "set lock_timeout = '100ms'; begin; lock table ir_attachment in share mode");
    assert!(refused.unwrap_err().contains("lock timeout"), "no collection while the fence stands");
    // That collector waited for 100 ms, which a look every 200 ms may have seen: stand anew.
    drop(fence);
    let fence = Fence::hold(&options, "shop", Duration::from_secs(60)).await;
    cluster.psql("shop", "insert into ir_attachment (name) values ('writers pass'); vacuum res_partner");
    let xmin = cluster.psql("shop", "select count(*) from pg_stat_activity where backend_xmin is not null and pid <> pg_backend_pid() and state like 'idle%'");
    assert_eq!(xmin, "0", "it does not hold back vacuum");
    let end = fence.release().await;
    assert_eq!(end.because, Released::Done, "{end:?}");
    cluster.psql("shop", collect);

    let fence = Fence::hold(&options, "shop", Duration::from_secs(60)).await;
    let begun = Instant::now();
    let mut collector = Session::connect(&options, "shop").await.unwrap();
    collector.execute("collect", collect).await.unwrap();
    assert!(begun.elapsed() < Duration::from_secs(1), "it waited {:?}", begun.elapsed());
    assert_eq!(fence.release().await.because, Released::SomeoneWaited);

    let fence = Fence::hold(&options, "shop", Duration::from_millis(300)).await;
    tokio::time::sleep(Duration::from_millis(800)).await;
    assert!(!fence.is_held());
    let end = fence.release().await;
    assert!(end.because == Released::TimeBound && end.held_ms >= 300, "{end:?}");

    let fence = Fence::hold(&options, "shop", Duration::from_secs(60)).await;
    cluster.psql("postgres", "select pg_terminate_backend(pid) from pg_stat_activity where datname = 'shop'");
    let end = fence.release().await;
    assert!(matches!(end.because, Released::Lost(_)), "{end:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fence_that_is_not_granted_is_an_outcome() {
    let cluster = Cluster::start_default();
    tenant(&cluster, "shop");
    cluster.psql("shop", "create role backup login; grant pg_read_all_data to backup");
    let options = options(&cluster);
    let why = async |options: &PostgresOptions, database: &str| {
        let fence = Fence::hold(options, database, Duration::from_secs(5)).await;
        match fence.release().await.because {
            Released::NotGranted(why) => why,
            other => panic!("{other}"),
        }
    };
    let backup = PostgresOptions { user: "backup".into(), ..options.clone() };
    assert!(why(&backup, "shop").await.contains("permission denied"));
    assert!(why(&options, "postgres").await.contains("no table ir_attachment"));
    let mut collector = Session::connect(&options, "shop").await.unwrap();
    collector.execute("collect", "begin; lock table ir_attachment in share mode").await.unwrap();
    assert!(why(&options, "shop").await.contains("lock timeout"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restore_database_is_hidden_marked_and_published_whole() {
    let cluster = Cluster::start_default();
    tenant(&cluster, "shop");
    cluster.psql("shop", "create role odoo login createdb; create role bi; grant connect on database shop to bi; revoke connect on database shop from public;
        alter database shop set work_mem to '16MB'; alter role bi in database shop set search_path to a, \"B c\"");
    let options = options(&cluster);
    let source = Baseline::take(&mut Session::connect(&options, "shop").await.unwrap()).await.unwrap();
    let mut session = Session::maintenance(&options).await.unwrap();
    let taken =
        create_restore_database(&mut session, "shop", None, &source.properties, "m").await.unwrap_err();
    assert_eq!(taken.kind(), Kind::Refused);
    let (name, marker) = ("it's \"new\" (incomplete)", "restore of shop, run 4f3a's");
    create_restore_database(&mut session, name, Some("odoo"), &source.properties, marker).await.unwrap();
    assert!(database_exists(&mut session, name).await.unwrap());
    assert_eq!(database_comment(&mut session, name).await.unwrap().as_deref(), Some(marker));
    let hidden = "select count(*) from pg_database where not datistemplate and datname like 'it%'"; // Odoo's list_dbs
    assert_eq!(cluster.psql("postgres", hidden), "0");
    assert_eq!(
        cluster.psql(
            "postgres",
            "select has_database_privilege('bi', oid, 'CONNECT') from pg_database where datname like 'it%'"
        ),
        "f"
    );

    let error = drop_database_if_marked(&mut session, name, "another marker").await.unwrap_err();
    assert_eq!(error.kind(), Kind::Refused);
    assert_eq!(drop_database_if_marked(&mut session, "shop", "").await.unwrap_err().kind(), Kind::Refused);
    drop_database_if_marked(&mut session, "never was", marker).await.unwrap();
    let publication =
        Publication { owner: None, grants: source.properties.grants.clone(), connection_limit: None };
    let error = publish_database(&mut session, name, "shop", &publication).await.unwrap_err();
    assert!(error.effect_text().unwrap().contains("hidden"), "{error:?}");
    assert_eq!(database_comment(&mut session, name).await.unwrap().as_deref(), Some(marker), "as it was");
    publish_database(&mut session, name, "new", &publication).await.unwrap();
    assert_eq!(apply_settings(&mut session, "new", &source.properties.settings).await, Vec::<String>::new());
    let new = Baseline::take(&mut Session::connect(&options, "new").await.unwrap()).await;
    assert!(new.is_err(), "it is empty: no Odoo in it");
    let facts = cluster.psql("postgres", "select datistemplate, pg_get_userbyid(datdba), shobj_description(oid,'pg_database') is null, has_database_privilege('bi',oid,'CONNECT') from pg_database where datname='new'");
    assert_eq!(facts, "f|odoo|t|t");
    let public = "select count(*) from pg_database, aclexplode(datacl) a where datname = 'new' and a.grantee = 0 and privilege_type = 'CONNECT'";
    assert_eq!(cluster.psql("postgres", public), "0", "the source was closed to PUBLIC as well");
    let settings = |db: &str| {
        cluster.psql("postgres", &format!("select setrole::regrole, setconfig from pg_db_role_setting s join pg_database d on d.oid = setdatabase where datname = '{db}' order by 1::text"))
    };
    assert_eq!(settings("new"), settings("shop"));

    create_restore_database(&mut session, "again", None, &source.properties, marker).await.unwrap();
    let _inside = Session::connect(&options, "again").await.unwrap();
    drop_database_if_marked(&mut session, "again", marker).await.unwrap();
    assert!(!database_exists(&mut session, "again").await.unwrap());
    assert!(role_exists(&mut session, "bi").await.unwrap());
    let roles = ["odoo", "nobody here", "bi"].map(str::to_owned);
    assert_eq!(missing_roles(&mut session, &roles).await.unwrap(), ["nobody here"]);
}

type Tables = BTreeMap<String, BTreeMap<String, &'static str>>;

/// Adds the columns that a statement names, with the types that Odoo gives them.
fn add_columns(tables: &mut Tables, statement: &catalogue::Statement) {
    let each = statement.each.iter().flat_map(|(t, columns)| columns.iter().map(|c| (t.clone(), c.clone())));
    let kind = if statement.each_type == "bool" { "bool" } else { "text" };
    for (table, column) in each.chain(statement.needs.clone()) {
        let kind = match column.as_str() {
            "active" | "enabled" | "prod_environment" | "auto_sync" | "cdn_activated" | "is_published" => {
                "bool"
            }
            "id" | "res_id" | "mail_server_id" | "user_device" | "smtp_port" | "sequence" => "int",
            _ => kind,
        };
        tables.entry(table).or_default().insert(column, kind);
    }
}

/// Each statement is planned by the server over tables that have what it says it needs, an id,
/// and nothing else: no statement can fail later on a column that it did not ask for.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_statement_names_all_it_needs() {
    let cluster = Cluster::start_default();
    let mut session = Session::maintenance(&options(&cluster)).await.unwrap();
    for statement in catalogue::statements().into_iter().chain(catalogue::checks()) {
        let mut tables = Tables::new();
        add_columns(&mut tables, &statement);
        let mut sql = String::from(
            "drop schema if exists s cascade; create schema s; set search_path = pg_catalog, s;\n",
        );
        for (table, columns) in &mut tables {
            columns.insert("id".into(), "int");
            let unique = if table == "ir_config_parameter" { ", unique (key)" } else { "" };
            let list: Vec<String> = columns.iter().map(|(c, kind)| format!("\"{c}\" {kind}")).collect();
            sql += &format!("create table s.\"{table}\" ({}{unique});\n", list.join(", "));
        }
        let columns = statement.each.clone().map_or(vec!["none".to_owned()], |(_, columns)| columns);
        for column in columns {
            let filled =
                statement.sql.replace("{column}", &format!("\"{column}\"")).replace("{empty}", "NULL");
            let filled =
                filled.replace("{base_url}", "'u'").replace("{uuid}", "'u'").replace("{secret}", "'s'");
            session.execute(&statement.name, format!("{sql} explain {filled}")).await.unwrap();
        }
    }
}

/// Every table and column that the catalogue knows, with something in each: statements for
/// modules that no test tenant has are run as well, and nothing that a check looks for is left.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_whole_catalogue_runs_and_leaves_nothing_live() {
    let cluster = Cluster::start_default();
    cluster.create_db("all");
    let mut tables = Tables::new();
    for statement in catalogue::statements().into_iter().chain(catalogue::checks()) {
        add_columns(&mut tables, &statement);
    }
    let mut sql = String::new();
    for (table, columns) in &mut tables {
        columns.entry("id".into()).or_insert("int");
        let unique = if table == "ir_config_parameter" { ", unique (key)" } else { "" };
        let list: Vec<String> = columns
            .iter()
            .map(|(c, kind)| {
                format!("\"{c}\" {kind}{}", if c == "id" { " generated by default as identity" } else { "" })
            })
            .collect();
        let filled: Vec<&str> = columns
            .iter()
            .filter(|(c, _)| *c != "id")
            .map(|(c, kind)| match (c.as_str(), *kind) {
                ("trigger", _) => "'on_webhook'",
                ("edi_mode", _) => "'prod'",
                ("state", _) if table == "payment_provider" || table == "payment_acquirer" => "'enabled'",
                ("state", _) if table == "snailmail_letter" => "'pending'",
                ("state", _) => "'outgoing'",
                (_, "bool") => "true",
                (_, "int") => "1",
                _ => "'prod-secret'",
            })
            .collect();
        let names: Vec<String> = columns.keys().filter(|c| *c != "id").map(|c| format!("\"{c}\"")).collect();
        sql += &format!(
            "create table \"{table}\" ({}{unique}); insert into \"{table}\" {};\n",
            list.join(", "),
            match names.is_empty() {
                true => "default values".to_owned(),
                false => format!("({}) values ({})", names.join(", "), filled.join(", ")),
            }
        );
    }
    cluster.psql("all", &sql);
    let mut session = Session::connect(&options(&cluster), "all").await.unwrap();
    let live = odoo::still_live(&mut session).await.unwrap();
    assert!(live.len() + 3 >= catalogue::checks().len(), "the checks see what is live: {live:#?}");
    let done = odoo::neutralize(&mut session, BASE_URL).await.unwrap();
    let skipped: Vec<&str> = done.skipped.iter().map(|s| s.name.as_str()).collect();
    assert_eq!(skipped, ["mail server that leads nowhere (Odoo 14 and older)"]);
    assert_eq!(odoo::still_live(&mut session).await.unwrap(), Vec::<String>::new());
    assert_eq!(odoo::unknown_secrets(&mut session).await.unwrap(), Vec::<String>::new());
    let again = odoo::neutralize(&mut session, "http://copy:1").await.unwrap();
    assert_ne!(again.database_uuid, done.database_uuid);
    assert_eq!(odoo::still_live(&mut session).await.unwrap(), Vec::<String>::new());
    let url = cluster.psql("all", "select value from ir_config_parameter where key = 'web.base.url'");
    assert_eq!(url, "http://copy:1");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_neutralization_that_fails_changes_nothing() {
    let cluster = Cluster::start_default();
    tenant(&cluster, "shop");
    cluster.psql(
        "shop",
        "create table website (id int, domain text not null); insert into website values (1, 'prod.example')",
    );
    let content = || {
        let mut digest = compare::database_digest(&cluster, "shop");
        digest.retain(|name, _| !name.starts_with("sequence")); // these never roll back
        digest
    };
    let before = content();
    let mut session = Session::connect(&options(&cluster), "shop").await.unwrap();
    let error = odoo::neutralize(&mut session, BASE_URL).await.unwrap_err();
    assert!(error.what().contains("websites' addresses"), "{error:?}");
    assert!(error.effect_text().unwrap().contains("nothing was neutralized"));
    compare::assert_same("the database", &before, &content());
    let mut plain = Session::maintenance(&options(&cluster)).await.unwrap();
    assert!(odoo::neutralize(&mut plain, BASE_URL).await.is_err(), "not an Odoo database");
}

/// A real Odoo tenant, where its dump is at hand: `LIFEBOAT_TEST_TENANTS` or `../shared/odoo`.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_real_tenant_goes_through_baseline_dump_restore_and_neutralization() {
    let beside = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../shared/odoo");
    let dir = std::env::var_os("LIFEBOAT_TEST_TENANTS").map_or(beside, PathBuf::from);
    let source = dir.join("retail_north.dump");
    if !source.exists() {
        skip!("no real tenant: {} is not there (set LIFEBOAT_TEST_TENANTS)", source.display());
    }
    let cluster = Cluster::start_default();
    cluster.create_db("retail_north");
    cluster.run(
        "pg_restore",
        &["--no-owner", "--exit-on-error", "-d", "retail_north", source.to_str().unwrap()],
    );
    let (options, tools, cancel) = (options(&cluster), tools(&cluster).await, CancellationToken::new());
    let mut snapshot = SnapshotSession::begin(&options, "retail_north").await.unwrap();
    let before = Baseline::take(&mut snapshot.session).await.unwrap();
    let mut files = 0;
    odoo::each_attachment_file(&mut snapshot.session, |file| {
        assert!(odoo::blob::is_blob_path(file.store_fname.as_bytes()), "{file:?}");
        files += 1;
        Ok(())
    })
    .await
    .unwrap();
    assert_eq!((before.tables.len(), before.modules.len(), files), (481, 70, 1189));
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), dump(&cluster, "retail_north").await).unwrap();
    snapshot.end().await.unwrap();
    let mut maintenance = Session::maintenance(&options).await.unwrap();
    create_restore_database(&mut maintenance, "copy (incomplete)", None, &before.properties, "m")
        .await
        .unwrap();
    let restore = Restore {
        dump: file.path().into(),
        database: "copy (incomplete)".into(),
        jobs: 2,
        no_owner: false,
        role: None,
    };
    restore.run(&tools, &options, RestoreProgress::default(), &cancel).await.unwrap();
    publish_database(&mut maintenance, "copy (incomplete)", "copy", &Publication::default()).await.unwrap();
    let mut copy = Session::connect(&options, "copy").await.unwrap();
    assert_eq!(odoo::compare(&before, &Baseline::take(&mut copy).await.unwrap()), []);
    compare::assert_same_database((&cluster, "retail_north"), (&cluster, "copy"));

    let live = odoo::still_live(&mut copy).await.unwrap().join("\n");
    for risk in [
        "smtp.prod.example",
        "Orders inbox",
        "payment.provider 14",
        "mail.mail 17",
        "base.ir_cron_res_users_deletion",
    ] {
        assert!(live.contains(risk), "{risk} is not in\n{live}");
    }
    let done = odoo::neutralize(&mut copy, BASE_URL).await.unwrap();
    assert!(done.applied.iter().any(|a| a.name == "queued mail" && a.rows == 1), "{:#?}", done.applied);
    assert_eq!(odoo::still_live(&mut copy).await.unwrap(), Vec::<String>::new());
    assert_eq!(odoo::unknown_secrets(&mut copy).await.unwrap(), Vec::<String>::new());
    let cron = cluster.psql("copy", "select count(*) from ir_cron where active");
    assert_eq!(cron, "1", "Odoo's own clean-up stays");
    let uuid = cluster.psql("copy", "select value from ir_config_parameter where key = 'database.uuid'");
    assert_eq!(uuid, done.database_uuid);
}
