//! Seeded histories. `TEST_TIMES=1000 cargo test -p lifeboat-tests --test expiry -- campaign` runs so many;
//! `TEST_SEED` begins elsewhere. Every second one is on S3: there a run is killed at an exact request, a
//! listing leaves something out, and an object is refused.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant, SystemTime};

use lifeboat_tests::children::{HANGS, POLL, signal};
use lifeboat_tests::faults::{Served, on};
use lifeboat_tests::filestore::Seeded;
use lifeboat_tests::{Outcome, S3};
use rustix::process::Signal;
use serde_json::Value;

use crate::place::Place;
use crate::promised::{Class, is_whole, promised, stored};
use crate::template::Template;

/// Histories of a run that nobody asks for more of.
const TIMES: u64 = 2;
/// Of so many histories, two are restored from: one of each kind of store.
const RESTORED: u64 = 20;
const HOUR: Duration = Duration::from_secs(3_600);
const YEARS: Duration = Duration::from_secs(3 * 366 * 86_400);

fn number(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).map_or(otherwise, |text| text.parse().unwrap())
}

#[test]
fn campaign() {
    let template = Template::make();
    let s3 = S3::start_of_any_time();
    let (first, begun) = (number("TEST_SEED", 0), Instant::now());
    let mut seen = std::collections::BTreeMap::new();
    for seed in first..first + number("TEST_TIMES", TIMES) {
        println!("seed {seed}: TEST_SEED={seed} TEST_TIMES=1 shows it");
        let mut history = History::new(&template, (seed % 2 == 1).then_some(&s3), seed);
        for _ in 0..6 {
            history.step();
        }
        history.end(seed);
        history.seen.into_iter().for_each(|what| *seen.entry(what).or_insert(0) += 1);
    }
    println!("{seen:#?}\n{:?}", begun.elapsed());
}

struct History<'a> {
    template: &'a Template,
    place: Place<'a>,
    random: Seeded,
    class: Class,
    /// What a hold keeps, and its name.
    held: Vec<String>,
    holds: Vec<String>,
    /// Whether a listing may leave something out: not twice in a row, and not just after what is promised
    /// changed.
    may_be_short: bool,
    /// What happened.
    seen: Vec<&'static str>,
}

fn class(random: &mut Seeded) -> Class {
    Class { window_days: random.below(6), daily: random.below(5), weekly: 1 + random.below(2) }
}

impl<'a> History<'a> {
    fn new(template: &'a Template, s3: Option<&'a S3>, seed: u64) -> History<'a> {
        let mut random = Seeded::new(seed);
        let class = class(&mut random);
        let place = Place::new(template, s3, seed);
        place.set_class(&class);
        let (held, holds, seen) = (Vec::new(), Vec::new(), Vec::new());
        History { template, place, random, class, held, holds, may_be_short: false, seen }
    }

    fn promised(&self) -> BTreeSet<String> {
        promised(&stored(&self.place.instance()), &self.class, &self.held, self.place.now())
    }

    fn step(&mut self) {
        let hours = 1 + self.random.below(20) as u32;
        self.place.pass(HOUR * hours + HOUR / 60);
        let before = self.promised();
        let begun = SystemTime::now();
        let what = match self.random.below(16) {
            0..4 => self.expires(),
            4..8 => self.is_killed(),
            8 => self.listing_is_short(),
            9 => self.object_is_refused(),
            10 => self.manifest_is_damaged(),
            11 => self.backup_beside(),
            12 => self.verify_beside(),
            13 => self.hold(),
            14 => self.change_class(),
            _ => self.is_refused(),
        };
        self.seen.push(what);
        self.place.date(begun);
        if let Some(s3) = self.place.s3 {
            s3.faults().clear();
            s3.faults().clear_log();
        }
        let all = stored(&self.place.instance());
        let still = self.promised();
        for id in before.iter().filter(|id| what != "class" || still.contains(*id)) {
            assert!(is_whole(&all, id), "after {what}, {id} is not whole\n{:?}", all.get(id));
        }
    }

    fn expire(&self) -> lifeboat_tests::Program {
        self.place.run(&["expire", "--yes", "--json"])
    }

    fn expires(&mut self) -> &'static str {
        self.expire().run().ok();
        self.may_be_short = true;
        "expire"
    }

    /// At a request to S3, before or after it is done; in a directory at some moment.
    fn is_killed(&mut self) -> &'static str {
        self.may_be_short = false;
        let Some(s3) = self.place.s3 else {
            let running = self.expire().spawn();
            std::thread::sleep(Duration::from_millis(self.random.below(120)));
            running.kill9();
            return "killed in a directory";
        };
        let pid = Arc::new(AtomicU32::new(0));
        let of = pid.clone();
        let kill = move |_: &Served| {
            let begun = Instant::now();
            while of.load(Ordering::SeqCst) == 0 && begun.elapsed() < HANGS {
                std::thread::sleep(POLL);
            }
            signal(of.load(Ordering::SeqCst), Signal::KILL);
        };
        let writes = |served: &Served| served.method != "GET" && served.method != "HEAD";
        // Most of them while it writes or deletes.
        let (only_writes, landed) = (self.random.below(4) > 0, self.random.below(2) == 0);
        let nth = 1 + self.random.below(if only_writes { 6 } else { 60 });
        let requests = on("*", "").only(move |served| !only_writes || writes(served)).nth(nth);
        let planned = s3.plan(if landed { requests.land_and_call(kill) } else { requests.call(kill) });
        let running = self.expire().spawn();
        pid.store(running.pid(), Ordering::SeqCst);
        let outcome = running.finish();
        match (planned.fired() > 0, only_writes) {
            (false, _) => {
                outcome.ok();
                "it had ended before"
            }
            (true, true) => "killed at a change on S3",
            (true, false) => "killed at a look on S3",
        }
    }

    fn listing_is_short(&mut self) -> &'static str {
        let Some(s3) = self.place.s3.filter(|_| self.may_be_short) else { return self.expires() };
        self.may_be_short = false;
        let seed = self.random.next_u64();
        let left_out = move |key: &str| {
            let is_held = key.contains("/holds/");
            !is_held
                && key.bytes().fold(seed, |sum, byte| Seeded::new(sum ^ u64::from(byte)).next_u64()) % 5 == 0
        };
        s3.plan(on("GET", "list-type=2").leave_out(left_out));
        let outcome = self.expire().run();
        assert!(outcome.code == Some(0) || outcome.code == Some(3), "{outcome}");
        "a listing left something out"
    }

    fn object_is_refused(&mut self) -> &'static str {
        let Some(s3) = self.place.s3 else { return self.expires() };
        let Some(id) = self.some_snapshot() else { return self.expires() };
        s3.plan(on("GET", &format!("{id}/manifest.json")).respond(403));
        self.expire().run().exits(3);
        "an object was refused"
    }

    fn some_snapshot(&mut self) -> Option<String> {
        let ids: Vec<String> = stored(&self.place.instance()).into_keys().collect();
        (!ids.is_empty()).then(|| ids[self.random.below(ids.len() as u64) as usize].clone())
    }

    /// Damaged while expire runs, and whole again after it.
    fn manifest_is_damaged(&mut self) -> &'static str {
        let Some(id) = self.some_snapshot() else { return self.expires() };
        let path: PathBuf = self.place.instance().join("snapshots").join(id).join("manifest.json");
        let (bytes, time) = (fs::read(&path).unwrap(), path.metadata().unwrap().modified().unwrap());
        fs::write(&path, b"{}").unwrap();
        let outcome = self.expire().run();
        fs::write(&path, bytes).unwrap();
        crate::template::set_time(&path, time);
        outcome.exits(3);
        "a manifest was damaged"
    }

    fn backup_beside(&mut self) -> &'static str {
        self.template.tenant.upload(&self.template.cluster, "new.pdf", &self.random.noise(50));
        let kind = ["all", "filestore", "base"][self.random.below(3) as usize];
        let args: &[&str] = match kind {
            "all" => &["backup", "--tenant", "shop"],
            "filestore" => &["backup", "--tenant", "shop", "--kind", "filestore"],
            _ => &["backup", "--kind", "base"],
        };
        let pause = Duration::from_millis(self.random.below(300));
        let (backup, expire) = self.place.while_dated(|| {
            let backup = self.place.run(args).spawn();
            std::thread::sleep(pause);
            let expire = self.expire().spawn();
            (backup.finish(), expire.finish())
        });
        expire.ok();
        // What it builds on was announced: it says so, and the next one builds on what stays.
        let is_conflict = backup.code == Some(17) && backup.stderr.contains("start the backup again");
        // In a directory, a file has the machine's time until this history's is set: on a busy machine,
        // expire sees it first, and takes a file of the running backup for one that nobody writes any more.
        let lacks_its_own = backup.code == Some(5) && backup.stderr.contains("cannot rename");
        let was_too_old = lacks_its_own && self.place.s3.is_none();
        assert!(backup.code == Some(0) || is_conflict || was_too_old, "{backup}");
        self.may_be_short = false;
        match (is_conflict, was_too_old) {
            (true, _) => "a backup was told to start again",
            (_, true) => "a backup beside it whose file had the machine's time",
            _ => "a backup beside it",
        }
    }

    fn verify_beside(&mut self) -> &'static str {
        let verify = self.place.run(&["verify", "--no-progress"]).spawn();
        self.expire().run().ok();
        // What goes is announced: that it is gone is no damage.
        self.is_undamaged(&verify.finish());
        self.may_be_short = true;
        "verify beside it"
    }

    /// A class that keeps more than before is told what was announced, until a run of expire has ended.
    fn is_undamaged(&self, outcome: &Outcome) {
        let mut problems = outcome.stdout.lines().filter(|line| line.starts_with("problem: "));
        let since = self.seen.iter().rev().take_while(|what| !["expire", "verify beside it"].contains(what));
        let is_told = since.clone().any(|what| *what == "class")
            && outcome.code == Some(3)
            && problems.clone().count() > 0
            && problems.all(|line| line.starts_with("problem: tombstone "));
        assert!(outcome.code == Some(0) || is_told, "{outcome}");
    }

    fn hold(&mut self) -> &'static str {
        self.may_be_short = false;
        if let Some(name) = self.holds.pop() {
            let remove = ["hold", "remove", &name, "--reason", "closed", "--by", "anna"];
            self.place.run(&remove).run().ok();
            self.held.clear();
            return "a hold was removed";
        }
        let Some(id) = self.some_snapshot() else { return self.expires() };
        let all = stored(&self.place.instance());
        let name = format!("case-{}", self.random.below(1 << 30));
        let add = ["hold", "add", &name, "--snapshot", &id, "--reason", "audit", "--by", "anna"];
        self.place.run(&add).run().ok();
        if is_whole(&all, &id) {
            self.held.push(id);
            self.holds.push(name);
        }
        "a hold was added"
    }

    fn change_class(&mut self) -> &'static str {
        self.may_be_short = false;
        self.class = class(&mut self.random);
        self.place.set_class(&self.class);
        "class"
    }

    /// A clock that went back, and a limit that is too low: nothing changes.
    fn is_refused(&mut self) -> &'static str {
        let files = || -> Vec<PathBuf> {
            let mut found = Vec::new();
            lifeboat_tests::compare::walk(&self.place.instance(), &mut |path| found.push(path.to_owned()));
            found.sort();
            found
        };
        let before = files();
        if self.random.clone().below(2) == 0 {
            let back = self.expire().env("FAKETIME", format!("-{}s", YEARS.as_secs())).run();
            back.exits(16);
            assert_eq!(files(), before);
            return "a clock went back";
        }
        let limited = self.expire().args(["--max-percent", "1"]).run();
        match limited.code {
            Some(16) => {
                assert_eq!(files(), before);
                "more than the limit"
            }
            _ => {
                limited.ok();
                "less than the limit"
            }
        }
    }

    /// Nothing is damaged, and a sample can be restored. Then, undisturbed, what goes goes.
    fn end(&mut self, seed: u64) {
        // Also after a run that was killed: what it deleted by half was announced.
        self.is_undamaged(&self.place.run(&["verify", "--no-progress"]).run());
        if seed % RESTORED < 2 {
            self.restore(seed);
        }
        // Three runs announce and delete it; a day that ends meanwhile lets more go, once.
        let runs = (0..8).map(|_| {
            self.place.pass(HOUR * 2);
            let begun = SystemTime::now();
            let done = self.expire().run().ok().json();
            self.place.date(begun);
            done
        });
        let nothing = serde_json::json!([]);
        let is_over = |done: &Value| done["plan"]["snapshots"] == nothing;
        let all: Vec<Value> = runs.collect();
        let last = all.last().unwrap();
        assert!(all[3..].iter().any(is_over), "all that may go has gone: {last}");
        self.place.run(&["verify", "--no-progress"]).run().ok();
    }

    fn restore(&mut self, seed: u64) {
        let promised: Vec<String> = self.promised().into_iter().collect();
        let dumps: Vec<&String> = promised.iter().filter(|id| id.contains("-dump-")).collect();
        let dump = dumps[self.random.below(dumps.len() as u64) as usize];
        let copy = format!("copy_{seed}");
        let identity = self.place.identity();
        let restore = ["restore", "--tenant", "shop", "--snapshot", dump, "--as", &copy, "--yes"];
        self.place.run(&restore).arg("--identity").arg(&identity).run().ok();
        self.template.cluster.psql("postgres", &format!("drop database {copy} with (force)"));
        let base = promised.iter().rfind(|id| id.contains("-base-")).unwrap();
        let to = self.template.site.path(&format!("instance-{seed}"));
        let restore = ["restore", "--yes", "--snapshot", base, "--instance-to", to.to_str().unwrap()];
        self.place.run(&restore).arg("--identity").arg(&identity).run().ok();
        fs::remove_dir_all(to).unwrap();
        self.seen.push("restored");
    }
}
