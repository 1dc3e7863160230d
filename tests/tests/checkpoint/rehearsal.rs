//! `--rehearse`: one tenant is restored to the point, and checked, before the checkpoint says yes. Whatever
//! prevents that blocks, and nothing is left of it, however it ends.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use lifeboat_tests::compare::walk;
use lifeboat_tests::{Program, children, load_all_real, place, program, skip};
use rustix::process::Signal;
use serde_json::Value;

use crate::world::{TIERS, World, found, gates, until};

/// A world whose rehearsals work in a directory of their own.
struct Rehearsals {
    world: World,
    work: PathBuf,
}

impl Rehearsals {
    fn new(names: &[&str]) -> Rehearsals {
        Rehearsals::of(World::new(names))
    }

    fn of(mut world: World) -> Rehearsals {
        let work = tempfile::Builder::new().prefix("r-").tempdir_in(place::ours()).unwrap().keep();
        fs::set_permissions(&work, fs::Permissions::from_mode(0o711)).unwrap();
        world.site.set("LIFEBOAT_RESTORE_WORK_DIR", work.display());
        Rehearsals { world, work }
    }

    /// `lifeboat checkpoint --rehearse` with the identity, not started.
    fn rehearse(&self, release: &str, more: &[&str]) -> Program {
        let identity = self.world.site.path("lifeboat-identity.txt");
        let path = std::env::var_os("PATH").unwrap_or_default();
        let path = [self.world.cluster.bin_dir().to_owned()].into_iter().chain(std::env::split_paths(&path));
        self.world
            .checkpoint(release, &["--rehearse"])
            .args(more.iter().map(|arg| (*arg).to_owned()))
            .env("PATH", std::env::join_paths(path).unwrap())
            .args(["--json", "--identity"])
            .arg(identity)
    }

    /// One that the rehearsal must block; what was found.
    #[track_caller]
    fn blocked(&self, release: &str, outcome: &str) -> String {
        let out = self.rehearse(release, &[]).run().exits(19);
        let report = out.json();
        let all = gates(&report);
        let is = all.iter().find(|(gate, ..)| gate == "rehearsal").unwrap();
        assert_eq!(is.1, outcome, "{all:#?}\n{out}");
        assert!(report["stored"].is_null() && !self.world.evidence(release).exists());
        self.nothing_is_left();
        is.2.clone()
    }

    /// Gives it a plan of a drill for shop.
    fn plan(&mut self, more: &str) {
        let plan = self.world.site.path("drill-shop.toml");
        let work = self.work.display().to_string();
        let text =
            format!("config = \"unused.toml\"\ntenant = \"shop\"\n{more}\n[scratch]\ndir = {work:?}\n");
        fs::write(&plan, text).unwrap();
        self.world.site.set("LIFEBOAT_CHECKPOINT_DRILL_PLANS", plan.display());
    }

    /// A check of its own that takes five minutes.
    fn slow_check(&mut self) {
        let checks = self.world.site.path("checks/own");
        fs::create_dir_all(&checks).unwrap();
        let check = "-- id: SLOW01\n-- area: own\n-- severity: hard\n-- title: it takes long\n-- versions: *\n\
            -- requires: ir_attachment\n-- reason: this one does\n\
            SELECT 'x' WHERE (SELECT count(*) FROM pg_sleep(300)) = 0\n";
        fs::write(checks.join("SLOW01.sql"), check).unwrap();
        let dir = checks.parent().unwrap().display().to_string();
        self.plan(&format!("[checks]\nextra_dir = {dir:?}\ntimeout = \"10m\""));
    }

    /// Uses this script as the program of the drill; `$REAL` in it is the real one.
    fn program(&mut self, script: &str) {
        let path = self.world.site.path("drill.sh");
        let real = program::bin_dir().join("restore-drill");
        fs::write(&path, format!("#!/bin/sh\nREAL={}\n{script}\n", real.display())).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        self.world.site.set("LIFEBOAT_CHECKPOINT_DRILL_PROGRAM", path.display());
    }

    fn left(&self) -> Vec<PathBuf> {
        let mut left = Vec::new();
        walk(&self.work, &mut |path| left.push(path.to_owned()));
        left
    }

    #[track_caller]
    fn nothing_is_left(&self) {
        assert_eq!(self.left(), Vec::<PathBuf>::new());
        assert_eq!(running_in(&self.work), Vec::<String>::new());
        let records = self.world.site.path("lifeboat-state/prod/restore");
        let entries = fs::read_dir(records).into_iter().flatten().flatten().map(|entry| entry.path());
        let scratch = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "scratch");
        assert_eq!(entries.filter(scratch).count(), 0, "a record of a scratch cluster");
    }

    fn points(&self) -> usize {
        self.world.cluster.log().matches("restore point \"lifeboat-").count()
    }
}

impl Drop for Rehearsals {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.work);
    }
}

/// The command lines that name this directory.
fn running_in(dir: &Path) -> Vec<String> {
    command_lines()
        .into_iter()
        .map(|(_, line)| line)
        .filter(|line| line.contains(dir.to_str().unwrap()))
        .collect()
}

fn command_lines() -> Vec<(u32, String)> {
    let entries = fs::read_dir("/proc").unwrap().flatten();
    let line = |entry: fs::DirEntry| {
        let pid: u32 = entry.file_name().to_str()?.parse().ok()?;
        let line = fs::read(entry.path().join("cmdline")).ok()?;
        Some((pid, String::from_utf8_lossy(&line).replace('\0', " ")))
    };
    entries.filter_map(line).collect()
}

#[test]
fn the_point_is_restored_and_checked_and_the_measured_time_is_in_the_evidence() {
    let all = Rehearsals::new(&["shop", "depot"]);
    let world = &all.world;
    world
        .cluster
        .psql("shop", "create table big as select g, repeat('x', 900) from generate_series(1, 5000) g");
    let out = all.rehearse("r1", &[]).run().ok();
    let report = out.json();
    let rehearsal = &report["checkpoint"]["rehearsal"];
    assert_eq!((&rehearsal["tenant"], &rehearsal["verdict"]), (&"depot".into(), &"passed".into()));
    let number = |name: &str| rehearsal[name].as_f64().unwrap();
    assert!(number("restore_seconds") > 0.0 && number("check_seconds") > 0.0, "{rehearsal}");
    assert!(number("checks") > 20.0 && number("file_bytes") > 0.0, "{rehearsal}");
    let bytes: f64 = world.cluster.psql("postgres", "select pg_database_size('depot')").parse().unwrap();
    assert!((number("database_bytes") / bytes - 1.0).abs() < 0.5, "{rehearsal}, and depot has {bytes}");
    assert_eq!(rehearsal["failed"], serde_json::json!([]));
    let said = found(&report, "rehearsal");
    assert!(said.starts_with("depot (the smallest tenant) was restored in "), "{said}");
    assert_eq!(report["checkpoint"]["scorecard"]["rollback_confidence"], "high");
    assert!(
        out.stderr.contains("rehearsal: ") && out.stderr.contains("hard checks passed"),
        "{}",
        out.stderr
    );
    all.nothing_is_left();

    // the evidence is what it says, for people too, and the plan of a rollback goes by it
    let require = ["evidence", "require", "--release", "r1"];
    world.site.run(&require).run().ok();
    let page = fs::read_to_string(world.evidence("r1").with_file_name("evidence.md")).unwrap();
    assert!(page.contains("Rehearsal of tenant depot: passed, restored in "), "{page}");
    let plan = world.site.run(&["rollback", "plan", "--release", "r1", "--json"]).run().json();
    let takes = |name: &str| {
        let all = plan["tenants"].as_array().unwrap();
        all.iter().find(|tenant| tenant["tenant"] == name).unwrap()["takes"].clone()
    };
    assert_eq!(takes("depot")["record"], "the rehearsal of this checkpoint");
    assert_eq!(takes("depot")["seconds"], rehearsal["restore_seconds"]);
    assert!(takes("shop")["seconds"].as_f64() > takes("depot")["seconds"].as_f64(), "by size");

    // a second call gives the same record; one that asks for something else is refused
    let again = all.rehearse("r1", &[]).run().ok().json();
    assert_eq!((&again["existed"], &again["checkpoint"]), (&true.into(), &report["checkpoint"]));
    assert_eq!(world.pass("r1", &[])["checkpoint"], report["checkpoint"]);
    let identity = world.site.path("lifeboat-identity.txt").display().to_string();
    let other = ["--rehearse", "shop", "--identity", &identity];
    world.checkpoint("r1", &other).run().exits(16).says("rehearsed depot, not shop");
    world.pass("r2", &[]);
    all.rehearse("r2", &[]).run().exits(16);
    world.checkpoint("r2", &other).run().exits(16).says("has a checkpoint without a rehearsal");
}

#[test]
fn data_that_breaks_a_rule_blocks_with_the_check_named_unless_a_plan_knows_it() {
    let mut all = Rehearsals::new(&["shop"]);
    let broken =
        "update stock_quant set quantity = quantity + 1 where id = (select min(id) from stock_quant)";
    all.world.cluster.psql("shop", broken);
    let said = all.blocked("r1", "failed");
    assert!(said.starts_with("shop (the smallest tenant): check "), "{said}");
    let out = all.rehearse("r1", &["shop"]).run();
    let report = out.json();
    let failed = report["checkpoint"]["rehearsal"]["failed"].as_array().unwrap().clone();
    assert!(
        !failed.is_empty() && failed.iter().all(|id| said.contains(id.as_str().unwrap())),
        "{failed:?}: {said}"
    );
    assert_eq!(report["checkpoint"]["scorecard"]["rollback_confidence"], "low");
    let accept = |id: &Value| {
        format!("[[accept]]\ncheck = {id}\nmax = 1000\nreason = \"ticket 4711\"\nuntil = \"2999-12-31\"\n")
    };
    all.plan(&failed.iter().map(accept).collect::<String>());
    all.rehearse("r1", &[]).run().ok();
    all.nothing_is_left();
}

#[test]
fn what_is_damaged_after_the_proof_blocks() {
    let mut all = Rehearsals::new(&["shop"]);
    all.world.pass("r0", &[]); // all that is needed is proven, and not read again
    let stored = all.world.site.stored.display().to_string();
    let zeros = "size=$(stat -c %s \"$pack\"); head -c \"$size\" /dev/zero > \"$pack\"";
    all.program(&format!(
        "for pack in {stored}/instances/prod/snapshots/*-base-*/packs/*; do {zeros}; done\nexec $REAL \"$@\""
    ));
    let out = all.rehearse("r1", &[]).run().exits(19);
    let report = out.json();
    let chain = gates(&report).into_iter().find(|(gate, ..)| gate == "chain").unwrap();
    assert_eq!(chain.1, "passed", "it was whole when it was looked at: {chain:?}");
    let said = found(&report, "rehearsal");
    assert!(said.contains("restore: lifeboat restore ended with exit code 10"), "{said}");
    assert!(!all.world.evidence("r1").exists());
    all.nothing_is_left();
}

#[test]
fn what_cannot_be_rehearsed_here_is_refused_before_any_point() {
    let mut all = Rehearsals::new(&["shop", "depot"]);
    let site = &all.world.site;
    let refused = all.world.checkpoint("r1", &["--rehearse"]).run().exits(12);
    refused.says("there is no identity here").says("or without --rehearse");
    all.world.checkpoint("r1", &["--rehearse", "--identity", "none.txt"]).run().exits(12);
    all.world.checkpoint("r1", &["--identity", "none.txt"]).run().exits(2);
    all.rehearse("r1", &["crypt"]).run().exits(2);
    let identity = site.path("lifeboat-identity.txt").display().to_string();
    let outside = ["--tenant", "depot", "--rehearse", "shop", "--identity", &identity];
    all.world.checkpoint("r1", &outside).run().exits(2).says("--rehearse names shop");
    let dry = all.rehearse("r1", &["depot", "--dry-run"]).run().ok().json();
    let said = found(&dry, "rehearsal");
    assert!(said.contains("the checkpoint would restore depot (as named)"), "{said}");
    site.protect_identity("right");
    all.world
        .checkpoint("r1", &["--rehearse", "--identity", &identity])
        .run()
        .exits(12)
        .says("needs a passphrase");
    let wrong = all.rehearse("r1", &[]).env("LIFEBOAT_PASSPHRASE", "wrong");
    wrong.run().exits(12);
    assert_eq!(all.points(), 0, "none of these made a point");
    all.rehearse("r1", &[]).env("LIFEBOAT_PASSPHRASE", "right").run().ok();
    assert_eq!(all.points(), 1);

    all.world.site.set("LIFEBOAT_CHECKPOINT_DRILL_PROGRAM", "/nonexistent/restore-drill");
    let out = all.rehearse("r2", &[]).env("LIFEBOAT_PASSPHRASE", "right").run().exits(19);
    let said = found(&out.json(), "rehearsal");
    assert!(said.contains("/nonexistent/restore-drill does not exist"), "{said}");
    assert_eq!(all.points(), 1, "nothing could rehearse it");
    // what another gate blocks is not restored for nothing
    let out = all.rehearse("r2", &["--tier", "strict"]).env("LIFEBOAT_PASSPHRASE", "right").run().exits(19);
    assert!(gates(&out.json()).contains(&(
        "approval".into(),
        "failed".into(),
        found(&out.json(), "approval")
    )));
}

/// It opens nothing: nothing is known of the restore, so the release does not go on.
#[test]
fn an_identity_that_is_no_recipient_blocks_and_says_so() {
    let all = Rehearsals::new(&["shop"]);
    let stranger = age::x25519::Identity::generate();
    let text = age::secrecy::ExposeSecret::expose_secret(&stranger.to_string()).to_owned();
    fs::write(all.world.site.path("lifeboat-identity.txt"), format!("{text}\n")).unwrap();
    let said = all.blocked("r1", "unknown");
    assert!(said.contains("identity"), "{said}");
}

#[test]
fn a_drill_that_runs_meanwhile_disturbs_nothing() {
    let all = Rehearsals::new(&["shop"]);
    all.world.site.back_up(&["--tenant", "shop"]);
    let drill = all.world.site.drill("shop", "").spawn();
    let report = all.rehearse("r1", &[]).run().ok().json();
    let is_ok = |(gate, outcome, _): &(String, String, String)| gate == "rehearsal" && outcome == "passed";
    assert!(gates(&report).iter().any(is_ok), "{report:#}");
    drill.finish().ok();
    all.nothing_is_left();
}

#[test]
fn a_program_that_dies_or_prints_nonsense_is_unknown() {
    let mut all = Rehearsals::new(&["shop"]);
    for (script, words) in [
        ("exit 0", "cannot be read"),
        ("echo '{\"verdict\": \"passed\"}'", "cannot be read"),
        ("yes passed | head -c 3000000", "cannot be read"),
        ("echo 'gone wrong' >&2; kill -9 $$", "signal 9: gone wrong"),
        ("\"$REAL\" \"$@\"; exit 1", "restore-drill says passed, but it ended with exit code 1"),
    ] {
        all.program(script);
        let said = all.blocked("r1", "unknown");
        assert!(said.contains(words), "{script}: {said}");
    }
}

#[test]
fn what_the_server_had_at_the_point_and_the_restore_lacks_blocks() {
    let mut all = Rehearsals::new(&["shop"]);
    all.program(
        "for arg; do case $before in --counters) counters=$arg;; esac; before=$arg; done\n\
         sed -i 's/\"name\":\"res_partner\",/\"name\":\"res_gone\",/' \"$counters\"\nexec \"$REAL\" \"$@\"",
    );
    let said = all.blocked("r1", "failed");
    assert!(
        said.contains("baseline: table res_gone is missing") && said.contains("table res_partner is new"),
        "{said}"
    );
    let state = all.world.site.path("lifeboat-state/prod");
    let left = fs::read_dir(state).unwrap().flatten().map(|entry| entry.file_name().into_string().unwrap());
    assert_eq!(left.filter(|name| name.contains("counters")).collect::<Vec<_>>(), Vec::<String>::new());
}

#[test]
fn when_its_time_is_over_it_is_stopped_and_removed() {
    let mut all = Rehearsals::new(&["shop"]);
    all.slow_check();
    let begun = Instant::now();
    let out = all.rehearse("r1", &["--timeout", "25s"]).run().exits(19);
    assert!(begun.elapsed() < Duration::from_secs(60), "{:?}", begun.elapsed());
    let report = out.json();
    let said = found(&report, "rehearsal");
    assert!(said.contains("the time of the checkpoint was over"), "{report}");
    assert!(out.stderr.contains("rehearsal: restore"), "it was in the checks: {}", out.stderr);
    all.nothing_is_left();
    // a signal stops it in the same way
    let running = all.rehearse("r1", &[]).spawn();
    until("it checks", || running.stderr_so_far().contains("rehearsal: indexes"));
    running.signal(Signal::TERM);
    running.finish().exits(18);
    all.nothing_is_left();
}

#[test]
fn nothing_is_left_where_it_is_killed() {
    let mut all = Rehearsals::new(&["shop"]);
    all.slow_check();
    // the checkpoint, at different steps of the rehearsal: the drill notices, and cleans up
    for step in ["rehearsal: provision", "rehearsal: indexes"] {
        let running = all.rehearse("r1", &[]).spawn();
        until(step, || running.stderr_so_far().contains(step));
        running.kill9();
        until("everything is removed", || all.left().is_empty() && running_in(&all.work).is_empty());
        all.nothing_is_left();
    }
    // the drill: the checkpoint blocks, and the next rehearsal cleans up
    let running = all.rehearse("r1", &[]).spawn();
    until("it checks", || running.stderr_so_far().contains("rehearsal: indexes"));
    let config = all.world.site.config().display().to_string();
    let is_drill = |line: &str| line.contains("restore-drill rehearse") && line.contains(&config);
    let drills: Vec<u32> =
        command_lines().into_iter().filter(|(_, line)| is_drill(line)).map(|(pid, _)| pid).collect();
    assert_eq!(drills.len(), 1);
    children::signal(drills[0], Signal::KILL);
    let out = running.finish().exits(19);
    assert!(found(&out.json(), "rehearsal").contains("signal 9"), "{out}");
    assert!(!all.left().is_empty(), "a killed program removes nothing");
    all.plan("");
    all.rehearse("r1", &[]).run().ok();
    all.nothing_is_left();
}

#[test]
fn where_dumps_are_taken_one_of_them_is_rehearsed() {
    let mut world = World::bare(&["shop"], TIERS);
    world.site.set("LIFEBOAT_WAL_STREAM", "false");
    let all = Rehearsals::of(world);
    let report = all.rehearse("r1", &[]).run().ok().json();
    assert!(report["checkpoint"]["point"].is_null());
    assert_eq!(report["checkpoint"]["rehearsal"]["verdict"], "passed");
    assert!(found(&report, "rehearsal").starts_with("shop (the smallest tenant) was restored in "));
    all.nothing_is_left();
}

#[test]
fn a_real_tenant_is_rehearsed_within_a_minute() {
    let world = World::bare(&[], TIERS);
    let names = load_all_real(&world.cluster, &world.site.data_dir());
    if names.is_empty() {
        skip!("no real tenants on this machine");
    }
    world.site.back_up(&["--kind", "base"]);
    let mut all = Rehearsals::of(world);
    all.world.start_agent();
    all.world.pass("before", &["--timeout", "3min"]); // the first one reads all that is stored
    for name in &names {
        let begun = Instant::now();
        let report = all.rehearse(&format!("of-{name}"), &[name, "--timeout", "3min"]).run().ok().json();
        let took = begun.elapsed();
        let rehearsal = &report["checkpoint"]["rehearsal"];
        let seconds = |field: &str| rehearsal[field].as_f64().unwrap();
        eprintln!(
            "checkpoint --rehearse {name}: {:.1} s ({:.1} s to restore, {:.1} s to check, {} checks, {} bytes)",
            took.as_secs_f64(),
            seconds("restore_seconds"),
            seconds("check_seconds"),
            rehearsal["checks"],
            rehearsal["database_bytes"],
        );
        assert!(took < Duration::from_secs(60), "{name}: {took:?}");
        all.nothing_is_left();
    }
}
