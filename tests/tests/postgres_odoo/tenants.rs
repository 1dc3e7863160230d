//! Discovery, baseline, attachments; a real tenant from end to end.

use super::*;

fn scratch() -> lifeboat::error::Result<std::fs::File> {
    Ok(tempfile::tempfile().unwrap())
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
    tenant(&cluster, "shut");
    cluster.create_db("shop__lifeboat_incomplete");
    cluster.psql(
        "postgres",
        "alter database hidden is_template true; revoke connect on database closed from public;
        alter database shut allow_connections false;
        alter database shop__lifeboat_incomplete is_template true allow_connections false;
        create role backup login; grant pg_read_all_data to backup",
    );
    let backup = PostgresOptions { user: "backup".into(), ..options(&cluster) };
    let found = odoo::discover(&backup).await.unwrap();
    let names: Vec<&str> = found.tenants.iter().map(|t| t.name.as_str()).collect();
    assert_eq!(names, ["hidden", "shop a", "shop_b"], "a template is a tenant like any other");
    assert_eq!(found.tenants[1].odoo_version.as_deref(), Some("17.0.1.3"));
    assert!(found.tenants[1].database_bytes > 1_000_000);
    assert_eq!(found.others, ["plain", "postgres"]);
    assert_eq!(found.unfinished, ["shop__lifeboat_incomplete"]);
    assert_eq!(found.notes, [""; 0]);
    let unknown: BTreeMap<&str, Kind> = found.unknown.iter().map(|(n, e)| (n.as_str(), e.kind())).collect();
    assert_eq!(
        unknown,
        BTreeMap::from([("closed", Kind::Denied), ("shop/c", Kind::Usage), ("shut", Kind::Postgres)])
    );
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
    let before = baseline(&options, "shop").await.unwrap();
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
    assert_eq!(odoo::compare(&before, &baseline(&options, "shop").await.unwrap()), []);

    cluster.psql("shop", "delete from res_partner where id = 1000");
    let after = baseline(&options, "shop").await.unwrap();
    let said: Vec<String> = odoo::compare(&before, &after).iter().map(ToString::to_string).collect();
    assert_eq!(
        said,
        [
            "table public.res_partner: rows is 999, but was 1000",
            "table public.res_partner: max(id) is 999, but was 1000",
            "table public.res_partner: rows by day is 999 rows, 0 confirmed, on 1 days, but was 1000 rows, 0 \
             confirmed, on 1 days"
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
    let count = odoo::each_attachment_file(&mut snapshot.session, scratch, |file| {
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
    let wanted = HashSet::from([gone, seen[0].store_fname.clone()]);
    let named = odoo::attachments_named_now(&mut now, &wanted).await.unwrap();
    assert_eq!(named, HashSet::from([seen[0].store_fname.clone()]));
    snapshot.end().await.unwrap();
    cluster.psql("shop", "alter table ir_attachment drop column store_fname");
    let error = odoo::each_attachment_file(&mut now, scratch, |_| Ok(())).await.unwrap_err();
    assert!(error.what().contains("no column store_fname"), "{error:?}");
}

/// A real Odoo tenant, where its dump is at hand: `TEST_ODOO_TENANTS` or `../shared/odoo`.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_real_tenant_goes_through_baseline_dump_restore_and_neutralization() {
    let beside = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../shared/odoo");
    let dir = std::env::var_os("TEST_ODOO_TENANTS").map_or(beside, PathBuf::from);
    let source = dir.join("retail_north.dump");
    if !source.exists() {
        skip!("no real tenant: {} is not there (set TEST_ODOO_TENANTS)", source.display());
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
    odoo::each_attachment_file(&mut snapshot.session, scratch, |file| {
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
        ..Restore::default()
    };
    let ran = restore.run(&tools, &options, RestoreProgress::default(), &cancel).await.unwrap();
    assert!(
        matches!(&ran, Ran::Done(warnings, failed) if warnings.is_empty() && failed.is_empty()),
        "{ran:?}"
    );
    publish_database(&mut maintenance, "copy (incomplete)", "copy", &Publication::default()).await.unwrap();
    let mut copy = Session::connect(&options, "copy").await.unwrap();
    assert_eq!(odoo::compare(&before, &baseline(&options, "copy").await.unwrap()), []);
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
    assert_eq!(odoo::unknown(&mut copy).await.unwrap().listed, []);
    let cron = cluster.psql("copy", "select count(*) from ir_cron where active");
    assert_eq!(cron, "1", "Odoo's own clean-up stays");
    let uuid = cluster.psql("copy", "select value from ir_config_parameter where key = 'database.uuid'");
    assert_eq!(uuid, done.database_uuid);
}
