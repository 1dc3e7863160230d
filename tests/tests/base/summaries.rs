//! WAL summaries (PostgreSQL 17 and newer): what none of them names is not read, and is right.

use std::fs::{self, File};
use std::time::{Duration, SystemTime};

use lifeboat_tests::installed::available_majors;
use lifeboat_tests::site::Site;
use lifeboat_tests::{Cluster, Options, Program, skip};
use serde_json::Value;

use crate::contents::{check_pages, index, lay_out};
use crate::copy::Copied;
use crate::full::wait_until;

/// WAL, files that are no relations', maps of free space: what is read in any case.
const ALWAYS_BYTES_MAX: u64 = (16 << 20) + (10 << 20);

fn majors() -> Vec<u32> {
    let mut majors = available_majors();
    majors.retain(|major| *major >= 17);
    majors
}

fn summarizing(major: u32) -> Cluster {
    let settings =
        vec![("summarize_wal".to_owned(), "on".to_owned()), ("autovacuum".to_owned(), "off".to_owned())];
    Cluster::with(Options { major: Some(major), settings, ..Options::default() })
}

/// Times of files are not trusted, so that it is the summaries by which a file is not read.
fn by_content(cluster: &Cluster) -> Site {
    let mut site = Site::local(cluster);
    site.set("LIFEBOAT_BACKUP_BASE_TRUST", "content");
    site
}

fn table(cluster: &Cluster, database: &str, name: &str, rows: u32) {
    let sql = format!(
        "create table {name} (id int primary key, v text); insert into {name} \
         select g, repeat(md5(g::text || '{name}'), 20) from generate_series(1, {rows}) g"
    );
    cluster.psql(database, &sql);
}

const TABLES: &str = "select string_agg(relname, ' ' order by relname) from pg_class where relkind = 'r' and relnamespace = 'public'::regnamespace";

/// Every row of every table, in a few digits.
fn digest(psql: impl Fn(&str) -> String) -> String {
    let of = |name: &str| {
        let sql =
            format!("select count(*) || ' ' || md5(string_agg(t::text, ',' order by id)) from {name} t");
        format!("{name} {}\n", psql(&sql))
    };
    psql(TABLES).split(' ').map(of).collect()
}

fn bytes(report: &Value, what: &str) -> u64 {
    report[what].as_u64().unwrap()
}

fn chain(report: &Value) -> usize {
    report["manifest"]["base"]["chain"].as_array().unwrap().len()
}

/// Restored by stock tools, it is what the cluster is now.
fn assert_right(cluster: &Cluster, site: &Site, report: &Value, databases: &[&str]) {
    let copied = Copied::new();
    lay_out(site, report["manifest"]["id"].as_str().unwrap(), copied.data_dir());
    copied.start(cluster);
    for database in databases {
        let restored = digest(|sql| copied.psql(database, sql));
        assert_eq!(restored, digest(|sql| cluster.psql(database, sql)), "{database}");
        if !database.starts_with("by_") {
            copied.amcheck(database);
        }
    }
    copied.stop();
    check_pages(cluster, copied.data_dir());
}

/// Puts back the times that files had at this backup, so that they tell nothing.
fn forge_times(cluster: &Cluster, site: &Site, report: &Value) {
    cluster.stop();
    for (path, line) in index(site, report["manifest"]["id"].as_str().unwrap()) {
        if let Ok(file) = File::options().write(true).open(cluster.data_dir().join(path)) {
            let time = Duration::from_nanos(line["mtime_ns"].as_u64().unwrap());
            file.set_modified(SystemTime::UNIX_EPOCH + time).unwrap();
        }
    }
    cluster.start_again();
}

#[test]
fn what_no_summary_names_is_not_read_and_the_rest_is_right() {
    if majors().is_empty() {
        skip!("no PostgreSQL 17 or newer here: TEST_PG_BIN_17=DIR names one");
    }
    for major in majors() {
        println!("PostgreSQL {major}");
        let cluster = summarizing(major);
        cluster.create_db("shop");
        cluster.create_db("mover");
        for (name, rows) in
            [("steady", 20_000), ("changed", 20_000), ("emptied", 2_000), ("cut", 4_000), ("packed", 2_000)]
        {
            table(&cluster, "shop", name, rows);
        }
        table(&cluster, "mover", "moved", 1_000);
        let site = by_content(&cluster);
        let full = site.back_up(&["--kind", "base"]);
        assert_eq!((bytes(&full, "unread_bytes"), &full["read_all_because"]), (0, &Value::Null));
        let unchanged = site.back_up(&["--kind", "base"]);
        let (read, unread) = (bytes(&unchanged, "read_bytes"), bytes(&unchanged, "unread_bytes"));
        assert!(read < ALWAYS_BYTES_MAX && unread > 40 << 20, "{read} read, {unread} not");
        assert_eq!(unchanged["manifest"]["base"]["unread_bytes"], unread);

        let tablespace =
            tempfile::Builder::new().prefix("lbts-").tempdir_in(lifeboat_tests::place::ours()).unwrap();
        Program::at("/bin/chown".into()).arg("postgres:postgres").arg(tablespace.path()).run();
        let size = |name: &str| {
            cluster
                .psql("shop", &format!("select pg_relation_filepath('{name}') || pg_relation_size('{name}')"))
        };
        let before = size("cut");
        for (database, sql) in [
            ("shop", "update changed set v = 'x' where id between 500 and 600"),
            (
                "shop",
                "begin; truncate emptied; insert into emptied select g, repeat(md5(g::text || 'other'), 20) from generate_series(1, 2000) g; commit",
            ),
            ("shop", "delete from cut where id > 1000"),
            ("shop", "vacuum cut"),
            (
                "shop",
                "insert into cut select g, repeat(md5(g::text || 'refill'), 20) from generate_series(1001, 4000) g",
            ),
            ("shop", "vacuum full packed"),
            ("postgres", "create database by_files template shop strategy file_copy"),
            ("postgres", "create database by_wal template shop strategy wal_log"),
            ("postgres", &format!("create tablespace away location '{}'", tablespace.path().display())),
            ("postgres", "alter database mover set tablespace away"),
            ("mover", "update moved set v = md5(v)"),
            ("mover", "vacuum full moved"),
            ("postgres", "alter database mover set tablespace pg_default"),
            ("postgres", "drop tablespace away"),
        ] {
            cluster.psql(database, sql);
        }
        assert_eq!(size("cut"), before, "it was cut and filled to the same size");
        forge_times(&cluster, &site, &unchanged);
        let changed = site.back_up(&["--kind", "base"]);
        assert_eq!((chain(&changed), &changed["read_all_because"]), (3, &Value::Null), "{changed}");
        assert!(bytes(&changed, "unread_bytes") > 13 << 20, "`steady` was read");
        assert_right(&cluster, &site, &changed, &["shop", "mover", "by_files", "by_wal"]);

        // A few pages here and there, and some behind the end: only the chunks that they lie in are read.
        cluster.psql("shop", "vacuum (freeze, analyze)");
        let before = site.back_up(&["--kind", "base"]);
        let again = site.back_up(&["--kind", "base"]);
        cluster.psql("shop", "update steady set v = 'x' where id in (7, 9000, 9001, 20000)");
        let insert = "insert into steady select g, repeat(md5(g::text || 'more'), 20) from generate_series(20001, 20400) g";
        cluster.psql("shop", insert);
        forge_times(&cluster, &site, &before);
        let few = site.back_up(&["--kind", "base"]);
        let (read, least) = (bytes(&few, "read_bytes"), bytes(&again, "read_bytes"));
        assert!(read < least + (4 << 20), "{read} bytes were read, {least} where nothing was written");
        assert_right(&cluster, &site, &few, &["shop"]);
    }
}

#[test]
fn without_whole_summaries_everything_is_read_and_it_is_said() {
    let Some(major) = majors().pop() else { skip!("no PostgreSQL 17 or newer here") };
    let cluster = summarizing(major);
    cluster.create_db("shop");
    table(&cluster, "shop", "steady", 20_000);
    let site = by_content(&cluster);
    site.back_up(&["--kind", "base"]);
    // one that is gone
    cluster.psql("shop", "update steady set v = 'a' where id = 1; checkpoint; update steady set v = 'b' where id = 2; checkpoint");
    let summaries = cluster.data_dir().join("pg_wal/summaries");
    let list = || {
        let mut names: Vec<_> = fs::read_dir(&summaries).unwrap().map(|e| e.unwrap().path()).collect();
        names.sort();
        names
    };
    let ended =
        "select summarized_lsn >= redo_lsn from pg_get_wal_summarizer_state(), pg_control_checkpoint()";
    wait_until("the summaries are there", || cluster.psql("postgres", ended) == "t");
    fs::remove_file(list().pop().unwrap()).unwrap();
    let gap = site.back_up(&["--kind", "base"]);
    assert!(gap["read_all_because"].as_str().unwrap().contains("have a gap at"), "{gap}");
    assert_eq!((chain(&gap), bytes(&gap, "unread_bytes")), (2, 0));
    let said = site.run(&["backup", "--kind", "base"]).run().ok();
    assert!(said.stdout.contains("were not read: the server's WAL summaries"), "{said}");
    // one that cannot be read
    cluster.psql("shop", "update steady set v = 'c' where id = 3; checkpoint");
    wait_until("the summaries are there", || cluster.psql("postgres", ended) == "t");
    fs::write(list().pop().unwrap(), "nonsense").unwrap();
    let damaged = site.back_up(&["--kind", "base"]);
    assert!(damaged["read_all_because"].as_str().unwrap().contains("cannot be read"), "{damaged}");
    cluster.psql("postgres", "alter system set summarize_wal = off");
    cluster.psql("postgres", "select pg_reload_conf()");
    wait_until("it is off", || cluster.psql("postgres", "show summarize_wal") == "off");
    cluster.psql("shop", "update steady set v = 'd' where id = 4");
    let off = site.back_up(&["--kind", "base"]);
    assert!(off["read_all_because"].as_str().unwrap().contains("summarize_wal is off"), "{off}");
    assert_right(&cluster, &site, &off, &["shop"]);
}

#[test]
fn what_was_written_past_wal_is_read() {
    let Some(major) = majors().pop() else { skip!("no PostgreSQL 17 or newer here") };
    let cluster = summarizing(major);
    cluster.create_db("shop");
    table(&cluster, "shop", "steady", 20_000);
    let checksums = |how: &str| {
        cluster.stop();
        let data = cluster.data_dir();
        let done =
            Program::at(cluster.bin("pg_checksums")).args([how, "-D", data.to_str().unwrap()]).run().ok();
        Program::at("/bin/chown".into()).args(["-R", "postgres:postgres"]).arg(data).run();
        cluster.start_again();
        done
    };
    // without checksums in its pages
    checksums("--disable");
    cluster.psql("shop", "update steady set v = md5(v); checkpoint");
    let site = by_content(&cluster);
    let without = site.back_up(&["--kind", "base"]);
    assert_eq!(without["manifest"]["base"]["data_checksums"], false);
    checksums("--enable");
    let with = site.back_up(&["--kind", "base"]);
    let why = with["read_all_because"].as_str().unwrap();
    assert!(chain(&with) == 2 && why.contains("checksums were switched"), "{with}");
    assert_right(&cluster, &site, &with, &["shop"]);
}
