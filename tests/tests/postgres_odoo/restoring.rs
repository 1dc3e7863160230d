//! pg_restore, and databases made for a restore.

use lifeboat_tests::children::HANGS;

use super::*;

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
        ..Restore::default()
    };
    let cancel = CancellationToken::new();
    let error =
        restore("shop", 1).run(&tools, &options, RestoreProgress::default(), &cancel).await.unwrap_err();
    assert!(error.causes().join(" ").contains("already exists"), "{error:?}");
    assert!(error.effect_text().unwrap().contains("is incomplete"));

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
        assert!(waited.elapsed() < HANGS, "workers are left");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    std::fs::write(file.path(), &bytes[..bytes.len() / 2]).unwrap();
    cluster.create_db("cut");
    let cancel = CancellationToken::new();
    assert!(restore("cut", 1).run(&tools, &options, RestoreProgress::default(), &cancel).await.is_err());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restore_database_is_hidden_marked_and_published_whole() {
    let cluster = Cluster::start_default();
    tenant(&cluster, "shop");
    cluster.psql("shop", "create role odoo login createdb; create role bi; grant connect on database shop to bi; revoke connect on database shop from public;
        alter database shop set work_mem to '16MB'; alter role bi in database shop set search_path to a, \"B c\"");
    let options = options(&cluster);
    let source = baseline(&options, "shop").await.unwrap();
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
    let publication = Publication {
        owner: None,
        grants: source.properties.grants.clone(),
        connection_limit: None,
        comment: None,
    };
    let error = publish_database(&mut session, name, "shop", &publication).await.unwrap_err();
    assert!(error.effect_text().unwrap().contains("hidden"), "{error:?}");
    assert_eq!(database_comment(&mut session, name).await.unwrap().as_deref(), Some(marker), "as it was");
    publish_database(&mut session, name, "new", &publication).await.unwrap();
    assert_eq!(apply_settings(&mut session, "new", &source.properties.settings).await, Vec::<String>::new());
    let new = baseline(&options, "new").await;
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
    assert!(missing_roles(&mut session, &["bi".to_owned()]).await.unwrap().is_empty());
    let roles = ["odoo", "nobody here", "bi"].map(str::to_owned);
    assert_eq!(missing_roles(&mut session, &roles).await.unwrap(), ["nobody here"]);
}

/// The catalogs changed their columns in 15, 16 and 17: each installed major makes each kind of
/// database it has, reads its properties, and makes another from them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_is_made_like_its_source_on_every_major() {
    for major in lifeboat_tests::available_majors() {
        let cluster = Cluster::start(major);
        let mut kinds = vec![(0, "lc_collate 'C' lc_ctype 'C.UTF-8'"), (0, "lc_collate 'C' lc_ctype 'C'")];
        kinds.push((15, "locale_provider icu icu_locale 'de-AT' locale 'C'"));
        kinds.push((16, "locale_provider icu icu_locale 'de-AT' icu_rules '&V << w <<< W' locale 'C'"));
        kinds.push((17, "locale_provider builtin builtin_locale 'C.UTF-8' locale 'C'"));
        let mut maintenance = Session::maintenance(&options(&cluster)).await.unwrap();
        for (number, (since, kind)) in kinds.iter().filter(|(since, _)| *since <= major).enumerate() {
            let (source, copy) = (format!("source{number}"), format!("copy{number}"));
            let made = format!("create database {source} template template0 encoding 'UTF8' {kind}");
            if let Err(why) = cluster.try_psql("postgres", &made) {
                assert!(why.contains("ICU is not supported") || *since == 0, "{why}");
                lifeboat_tests::skip::announce(module_path!(), &format!("PostgreSQL {major}, {kind}: {why}"));
                continue;
            }
            let properties = async |database: &str| {
                let mut session = Session::connect(&options(&cluster), database).await.unwrap();
                lifeboat::postgres::database::properties(&mut session).await.unwrap()
            };
            let was = properties(&source).await;
            create_restore_database(&mut maintenance, &copy, None, &was, "m").await.unwrap();
            publish_database(&mut maintenance, &copy, "done", &Publication::default()).await.unwrap();
            let mut is = properties("done").await;
            assert!(is.grants.take().is_some_and(|grants| grants.iter().any(|g| g.role.is_none())));
            assert_eq!(is, was, "PostgreSQL {major}, {kind}");
            cluster.psql("postgres", "drop database done");
        }
    }
}
