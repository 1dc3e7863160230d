//! pg_dump, its snapshot, and its reader.

use lifeboat_tests::children::HANGS;

use super::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dump_is_what_its_snapshot_saw_and_reads_back() {
    let cluster = Cluster::start_default();
    tenant(&cluster, "shop");
    cluster.psql("postgres", "alter database shop rename to \"it's = \"\"odd\"\"\"");
    let (name, options, tools) = ("it's = \"odd\"", options(&cluster), tools(&cluster).await);
    let mut snapshot = SnapshotSession::begin(&options, name).await.unwrap();
    assert!(snapshot.lsn.0 > 0 && snapshot.time.as_second() > 1_700_000_000);
    let mut meanwhile = Session::connect(&options, name).await.unwrap();
    meanwhile.execute("delete", "delete from public.res_partner where id > 900").await.unwrap();
    let baseline = Baseline::take(&mut snapshot.session).await.unwrap();
    let mut child = DumpChild::start(&tools, &options, name, Some(&snapshot.exported)).unwrap();
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
    let restore = Restore {
        dump: file.path().into(),
        database: "copy".into(),
        jobs: 2,
        no_owner: true,
        ..Restore::default()
    };
    let progress = RestoreProgress::default();
    restore.run(&tools, &options, progress.clone(), &CancellationToken::new()).await.unwrap();
    let (done, total) = progress.read();
    assert!(done == total && total > 10, "{done} of {total}");
    let copy = super::baseline(&options, "copy").await.unwrap();
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
    assert!(error.effect_text().unwrap().contains("it gets no snapshot"));

    let (child, _stdout) = begin().await;
    child.cancel().await;
    let (child, stdout) = begin().await;
    drop((child, stdout));
    let waited = Instant::now();
    while cluster.psql("shop", sessions) != "0" {
        assert!(waited.elapsed() < HANGS, "sessions are left");
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
