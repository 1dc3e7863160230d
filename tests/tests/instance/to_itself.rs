//! A restored copy keeps to itself: whatever production's configuration says, a server on the copy, whoever
//! starts it, obeys ours, runs on its own directory and reaches nothing outside.

use std::fs;

use lifeboat_tests::installed::available_majors;
use lifeboat_tests::{Cluster, Options};
use rustix::process::geteuid;

use crate::archiving::{Archiving, DIGEST, LIMIT, as_server, hand_over, wait_until};
use crate::copy::Copied;

/// Lines behind production's own, which its running server has not read.
pub fn say(cluster: &Cluster, file: &str, lines: &str) {
    let path = cluster.data_dir().join(file);
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, format!("{text}\n{lines}\n")).unwrap();
}

/// Started by hand, with no option at all; its socket is in the directory.
fn start_by_hand(archiving: &Archiving, copied: &Copied) {
    let log = copied.data_dir().with_extension("hand");
    let program = as_server(&archiving.cluster.bin_dir().join("pg_ctl")).limit(LIMIT);
    let done = program.args(["-w", "-D"]).arg(copied.data_dir()).arg("-l").arg(&log).arg("start").run();
    assert!(done.code == Some(0), "{done}\n{}", fs::read_to_string(log).unwrap_or_default());
    copied.started(&archiving.cluster, copied.data_dir().to_str().unwrap());
}

fn setting(copied: &Copied, name: &str) -> String {
    copied.psql("postgres", &format!("select current_setting('{name}')"))
}

#[test]
fn nothing_of_productions_configuration_is_obeyed_on_any_major() {
    for major in available_majors() {
        println!("PostgreSQL {major}");
        not_obeyed(major);
    }
}

fn not_obeyed(major: u32) {
    let archiving = Archiving::start(Some(major));
    let cluster = &archiving.cluster;
    let outside = tempfile::Builder::new().prefix("lbo-").tempdir_in(lifeboat_tests::place::ours()).unwrap();
    hand_over(outside.path());
    let trap = outside.path().join("trap");
    let (production, trap_text) = (cluster.data_dir(), trap.display());
    fs::create_dir(production.join("more")).unwrap();
    fs::write(production.join("more/a.conf"), "local_preload_libraries = 'not_installed_either'\n").unwrap();
    say(
        cluster,
        "postgresql.conf",
        &format!(
            "data_directory = '{}'\nhba_file = '/nowhere/hba'\nident_file = '/nowhere/ident'\n\
             external_pid_file = '{trap_text}'\ninclude '/nowhere/else.conf'\ninclude_dir = 'more'\n\
             include_if_exists = '/nowhere/perhaps.conf'\nshared_preload_libraries = 'not_installed'\n\
             recovery_end_command = 'touch {trap_text}'\narchive_cleanup_command = 'touch {trap_text}'\n\
             primary_conninfo = 'host=10.0.0.1 password=hush'\nlc_messages = 'de_DE.UTF-8'\n\
             dynamic_library_path = '/nowhere'\nlog_directory = '{trap_text}'\nwork_mem = '7MB'",
            production.display()
        ),
    );
    say(cluster, "postgresql.auto.conf", "cron.database_name = 'shop'\nssl = 'on'\nlogging_collector = 'on'");
    say(cluster, "pg_hba.conf", "include_if_exists /nowhere/more\nlocal all all reject");
    cluster.psql("postgres", "alter database shop set session_preload_libraries = 'auto_explain'");
    archiving.base();
    let last = archiving.step();
    archiving.archive();

    let dry = Copied::new();
    let plan = archiving.restore_to(dry.data_dir(), &["--dry-run"]).run().ok();
    let plan = plan.json();
    let off = |name: &str| {
        let all = plan["switched_off"].as_array().unwrap();
        let found = all.iter().find(|off| off["name"] == name);
        found.map_or(String::new(), |off| off["value"].as_str().unwrap().to_owned())
    };
    assert_eq!(off("data_directory"), production.display().to_string());
    assert_eq!(off("shared_preload_libraries"), "not_installed");
    assert_eq!(off("local_preload_libraries"), "not_installed_either");
    assert_eq!(off("include"), "/nowhere/else.conf");
    assert_eq!(off("cron.database_name"), "shop");
    assert_eq!(off("primary_conninfo"), "host=10.0.0.1 password=…");
    assert!(off("archive_command").contains("wal push"), "{plan}");

    let (copied, report) = archiving.started(&[]);
    assert_eq!(copied.psql("shop", DIGEST), last.ledger);
    let proof = &report["started"]["proof"];
    assert_eq!(proof["data_directory"], copied.data_dir().to_str().unwrap());
    assert_eq!(proof["archive_mode"], "off");
    assert_eq!(proof["foreign_processes"].as_array().unwrap().len(), 0);
    let said = proof["settings_in_catalog"].to_string();
    assert!(said.contains("database shop") && said.contains("auto_explain"), "{said}");
    // production never noticed, and what a person starts by hand is the same
    assert_eq!(cluster.psql("shop", DIGEST), last.ledger);
    copied.stop();
    start_by_hand(&archiving, &copied);
    for (name, value) in [
        ("data_directory", copied.data_dir().to_str().unwrap()),
        ("listen_addresses", ""),
        ("archive_mode", "off"),
        ("shared_preload_libraries", ""),
        ("primary_conninfo", ""),
        ("max_logical_replication_workers", "0"),
        ("external_pid_file", ""),
        ("work_mem", "7MB"),
    ] {
        assert_eq!(setting(&copied, name), value, "{name}");
    }
    assert_eq!(copied.psql("shop", DIGEST), last.ledger);
    assert!(!trap.exists(), "something outside was written");
    let aside = copied.data_dir().join("lifeboat-put-aside");
    assert!(fs::read_to_string(aside.join("postgresql.conf")).unwrap().contains("not_installed"));
    assert!(fs::read_to_string(aside.join("pg_hba.conf")).unwrap().contains("/nowhere/more"));
}

#[test]
fn a_copy_takes_nothing_out_of_productions_subscription() {
    let archiving = Archiving::start(None);
    let settings = vec![("wal_level".to_owned(), "logical".to_owned())];
    let publisher = Cluster::with(Options { settings, ..Options::default() });
    publisher.create_db("feed");
    publisher.psql("feed", "create table price (id int primary key); insert into price values (1)");
    publisher.psql("feed", "create publication p for table price");
    let cluster = &archiving.cluster;
    cluster.psql("shop", "create table price (id int primary key)");
    let conninfo = format!("host={} port={} dbname=feed user=postgres", publisher.host(), publisher.port());
    cluster.psql("shop", &format!("create subscription s connection '{conninfo}' publication p"));
    let synced = "select count(*) = 1 from price";
    wait_until("it is copied", || cluster.psql("shop", synced) == "t");
    let ready = "select bool_and(srsubstate = 'r') from pg_subscription_rel";
    wait_until("it is ready", || cluster.psql("shop", ready) == "t");
    archiving.base();

    // production rests, the copy is up, the publisher goes on
    cluster.stop();
    let active = "select count(*) from pg_replication_slots where active";
    wait_until("production's worker is gone", || publisher.psql("feed", active) == "0");
    let (copied, report) = archiving.started(&["--to", "immediate"]);
    publisher.psql("feed", "insert into price values (51)");
    let proof = &report["started"]["proof"];
    assert_eq!(
        (proof["subscriptions"].as_i64(), proof["enabled_subscriptions"].as_i64()),
        (Some(1), Some(0))
    );
    assert_eq!(proof["disabled_subscriptions"][0]["name"], "s");
    assert_eq!(copied.psql("shop", "select subenabled from pg_subscription"), "f");
    let workers = "select count(*) from pg_stat_activity where backend_type like 'logical%'";
    assert_eq!(copied.psql("postgres", workers), "0");
    assert_eq!(copied.psql("shop", "select count(*) from price"), "1");
    assert_eq!(publisher.psql("feed", active), "0", "the copy uses production's slot");
    copied.stop();
    cluster.start_again();
    wait_until("production gets it", || cluster.psql("shop", "select count(*) from price") == "2");
}

#[test]
fn a_root_restore_tells_what_the_servers_user_will_need_and_fetches_for_a_server_that_it_starts() {
    if !geteuid().is_root() {
        lifeboat_tests::skip!("only root restores for another user");
    }
    let archiving = Archiving::start(None);
    archiving.base();
    let earlier = archiving.step();
    let truth = archiving.step();
    archiving.archive();
    let identity = archiving.site.path("lifeboat-identity.txt");
    let owned = |user: &str| {
        lifeboat_tests::Program::at("/bin/chown".into()).arg(user).arg(&identity).run().ok();
    };
    owned("root");
    let copied = Copied::new();
    let said = |args: &[&str]| {
        let plan = archiving.restore_to(copied.data_dir(), &["--dry-run"]).args(args.to_vec()).run().ok();
        plan.json()["warnings"].to_string().contains("lifeboat-identity.txt cannot be read")
    };
    assert!(said(&[]) && said(&["--start", "--target-action", "pause", "--to", "immediate"]));
    assert!(!said(&["--start"]));
    // it recovers although its user cannot open anything
    let (copied, _) = archiving.started(&[]);
    assert_eq!(copied.psql("shop", DIGEST), truth.ledger);
    let spool = format!("{}.lifeboat-wal", copied.data_dir().display());
    assert!(!std::path::Path::new(&spool).exists(), "{spool}");
    drop(copied);
    owned("postgres");
    // one that paused goes on as its own user, when this process has ended
    let args = ["--to-time", &earlier.time, "--target-action", "pause"];
    let (copied, report) = archiving.started(&args);
    assert_eq!(report["started"]["writable"], false);
    assert_eq!(copied.psql("shop", DIGEST), earlier.ledger);
    copied.psql("postgres", "select pg_wal_replay_resume()");
    wait_until("it takes writes", || copied.psql("postgres", "select pg_is_in_recovery()") == "f");
    assert_eq!(copied.psql("shop", DIGEST), earlier.ledger);
}
