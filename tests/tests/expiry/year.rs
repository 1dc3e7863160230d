//! A year of operation of three recovery classes, by a fast clock and with faults: backups and runs of expire
//! are killed, listings leave something out, objects are refused, nobody backs up for days. At its end
//! exactly what the classes promise is stored, and a sample is restored.
//!
//! `TEST_DAYS=400 cargo test -p lifeboat-tests --test expiry -- year` runs so many days.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant, SystemTime};

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use lifeboat_tests::faults::on;
use lifeboat_tests::filestore::Seeded;
use lifeboat_tests::{Program, S3, Tenant, small_tenant};
use serde_json::Value;

use crate::place::Place;
use crate::promised::{Stored, is_whole, stored};
use crate::template::{Template, segments_to_store};

/// Days of a run that nobody asks for more of. The template has some days before them.
const DAYS: u64 = 8;
const HOUR: Duration = Duration::from_secs(3_600);
const DAY: u64 = 86_400;

/// What a class promises.
#[derive(Clone, Copy)]
struct Class {
    name: &'static str,
    tenant: &'static str,
    window_days: u64,
    daily: i64,
    weekly: i64,
    monthly: i64,
    yearly: i64,
    /// Days between backups.
    every: u64,
}

const CLASSES: [Class; 3] = [
    Class {
        name: "critical",
        tenant: "shop",
        window_days: 5,
        daily: 10,
        weekly: 6,
        monthly: 12,
        yearly: 10,
        every: 1,
    },
    Class {
        name: "standard",
        tenant: "mill",
        window_days: 3,
        daily: 5,
        weekly: 4,
        monthly: 6,
        yearly: 0,
        every: 1,
    },
    Class {
        name: "archive",
        tenant: "books",
        window_days: 0,
        daily: 0,
        weekly: 3,
        monthly: 9,
        yearly: 2,
        every: 7,
    },
];

fn text(of: &Class) -> String {
    let Class { name, tenant, window_days, daily, weekly, monthly, yearly, .. } = of;
    format!(
        "\n[class.{name}]\ntenants = ['{tenant}']\nwindow = '{window_days}d'\nhourly = 0\ndaily = {daily}\n\
         weekly = {weekly}\nmonthly = {monthly}\nyearly = {yearly}\n"
    )
}

/// The numbers that hold for what serves all.
fn strongest() -> Class {
    let most = |of: fn(&Class) -> i64| CLASSES.iter().map(of).max().unwrap();
    Class {
        window_days: most(|class| class.window_days as i64) as u64,
        daily: most(|class| class.daily),
        weekly: most(|class| class.weekly),
        monthly: most(|class| class.monthly),
        yearly: most(|class| class.yearly),
        ..CLASSES[0]
    }
}

fn date(at: u64) -> Date {
    Timestamp::from_second(at as i64).unwrap().to_zoned(TimeZone::UTC).date()
}

/// The numbers of day, week, month and year.
fn numbers(at: u64) -> [i64; 4] {
    let (day, date) = ((at / DAY) as i64, date(at));
    // 1 January 1970 was a Thursday.
    [day, (day + 3) / 7, i64::from(date.year()) * 12 + i64::from(date.month()), i64::from(date.year())]
}

/// What is promised at this time of everything that was ever stored, by the words of docs/retention.md.
fn promised(ever: &BTreeMap<String, Stored>, now: u64) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let tenants = CLASSES.iter().map(|class| (Some(class.tenant), *class));
    for (tenant, class) in tenants.chain([(None, strongest())]) {
        for kind in ["dump", "filestore", "base", "globals"] {
            let of_group = |one: &&Stored| one.kind == kind && one.tenant.as_deref() == tenant;
            let mut group: Vec<&Stored> = ever.values().filter(of_group).collect();
            group.sort_by_key(|one| one.stored_at);
            // Files of the longest window are what any second of it is restored with.
            let window_days = if kind == "filestore" { strongest().window_days } else { class.window_days };
            let from = now - window_days * DAY;
            found.extend(group.iter().filter(|one| one.stored_at > from).map(|one| one.id.clone()));
            found.extend(group.iter().rfind(|one| one.stored_at <= from).map(|one| one.id.clone()));
            found.extend(group.last().map(|one| one.id.clone()));
            let counts = [class.daily, class.weekly, class.monthly, class.yearly];
            let (now, of_each) = (numbers(now), group.iter().map(|one| numbers(one.stored_at)));
            let of_each: Vec<[i64; 4]> = of_each.collect();
            for (which, count) in counts.into_iter().enumerate() {
                for back in 0..count {
                    let first = of_each.iter().position(|numbers| numbers[which] == now[which] - back);
                    found.extend(first.map(|first| group[first].id.clone()));
                }
            }
        }
    }
    found
}

struct Year<'a> {
    template: &'a Template,
    s3: &'a S3,
    place: Place<'a>,
    random: Seeded,
    tenants: Vec<Tenant>,
    /// Everything that was ever stored whole.
    ever: BTreeMap<String, Stored>,
    /// The day on which each snapshot was stored.
    days: BTreeMap<String, u64>,
    pushed: BTreeSet<std::path::PathBuf>,
    seen: BTreeMap<&'static str, u32>,
}

impl Year<'_> {
    fn saw(&mut self, what: &'static str) {
        *self.seen.entry(what).or_insert(0) += 1;
    }

    /// Runs it; now and then it is killed. What it stores gets the time of the fast clock.
    fn run(&mut self, program: &Program, what: &'static str) {
        let begun = SystemTime::now();
        if self.random.below(12) > 0 {
            program.run().ok();
        } else {
            let running = program.spawn();
            std::thread::sleep(Duration::from_millis(self.random.below(400)));
            running.kill9();
            self.saw(what);
        }
        self.place.date(begun);
    }

    fn expire_command(&self) -> Program {
        self.place.run(&["expire", "--yes", "--json", "--max-percent", "100"])
    }

    fn note(&mut self, day: u64) {
        let all = stored(&self.place.instance());
        let new: Vec<String> =
            all.keys().filter(|id| !self.ever.contains_key(*id) && is_whole(&all, id)).cloned().collect();
        for (id, one) in all.into_iter().filter(|(id, _)| new.contains(id)) {
            self.days.insert(id.clone(), day);
            self.ever.insert(id, one);
        }
    }

    fn day(&mut self, day: u64) {
        for (at, tenant) in self.tenants.iter().enumerate() {
            let name = &tenant.name;
            self.template.cluster.psql(name, &format!("insert into year_day select {day}"));
            if (day + at as u64).is_multiple_of(3) {
                tenant.upload(&self.template.cluster, &format!("{day}.pdf"), &self.random.noise(200));
            }
        }
        let begun = SystemTime::now();
        for path in segments_to_store(&self.template.cluster, &mut self.pushed) {
            self.place.run(&["wal", "push"]).arg(path).run().ok();
        }
        self.place.date(begun);
        for class in CLASSES.iter().filter(|class| day.is_multiple_of(class.every)) {
            let backup = self.place.run(&["backup", "--class", class.name]);
            self.run(&backup, "a backup was killed");
        }
        if day.is_multiple_of(2) {
            let base = self.place.run(&["backup", "--kind", "base"]);
            self.run(&base, "a base backup was killed");
        }
        self.note(day);
        self.expire(day);
    }

    fn expire(&mut self, day: u64) {
        self.place.pass(HOUR * 2);
        let now = self.place.now();
        let before = promised(&self.ever, now);
        let expire = self.expire_command();
        let begun = SystemTime::now();
        match self.random.below(10) {
            0 => {
                let seed = self.random.next_u64();
                let is_out = move |key: &str| {
                    !key.contains("/holds/")
                        && key.bytes().fold(seed, |sum, b| Seeded::new(sum ^ u64::from(b)).next_u64()) % 5
                            == 0
                };
                self.s3.plan(on("GET", "list-type=2").leave_out(is_out));
                let outcome = expire.run();
                assert!(matches!(outcome.code, Some(0 | 3)), "{outcome}");
                self.saw("a listing left something out");
            }
            1 => {
                let ids: Vec<&String> = before.iter().collect();
                let id = ids[self.random.below(ids.len() as u64) as usize];
                self.s3.plan(on("GET", &format!("{id}/manifest.json")).respond(403));
                let outcome = expire.run();
                assert!(matches!(outcome.code, Some(0 | 3)), "{outcome}");
                self.saw("an object was refused");
            }
            _ => self.run(&expire, "expire was killed"),
        }
        self.place.date(begun);
        self.s3.faults().clear();
        self.s3.faults().clear_log();
        let all = stored(&self.place.instance());
        for id in &before {
            assert!(is_whole(&all, id), "day {day}: {id} is promised and not whole: {:?}", all.get(id));
        }
    }

    /// What goes goes; then exactly what is promised is stored, and what that needs.
    fn end(&mut self) {
        let mut plan = Value::Null;
        // A day that ends meanwhile lets more go, in the next rounds.
        for round in 0..8 {
            if round >= 4 && plan["plan"]["snapshots"] == serde_json::json!([]) {
                break;
            }
            self.place.pass(HOUR * 2);
            let begun = SystemTime::now();
            plan = self.expire_command().run().ok().json();
            self.place.date(begun);
        }
        self.place.run(&["verify", "--no-progress"]).run().ok();
        let counted: Timestamp = plan["plan"]["counted_from"].as_str().unwrap().parse().unwrap();
        let promised = promised(&self.ever, counted.as_second() as u64);
        let all = stored(&self.place.instance());
        for id in &promised {
            assert!(is_whole(&all, id), "{id} is promised and not whole: {:?}", all.get(id));
        }
        let stays = plan["plan"]["stays"].as_array().unwrap();
        let whose = |one: &Value| one["id"].as_str().unwrap().to_owned();
        let is_needed = |reason: &Value| {
            reason["needed-by"].as_str().is_some_and(|by| promised.contains(by) || all.contains_key(by))
        };
        for one in stays.iter().filter(|one| !promised.contains(&whose(one))) {
            assert!(one["reasons"].as_array().unwrap().iter().all(is_needed), "nobody promised {one}");
        }
        assert_eq!(stays.iter().map(whose).collect::<BTreeSet<_>>(), all.keys().cloned().collect());
        assert_eq!(plan["plan"]["snapshots"], serde_json::json!([]));
        println!(
            "{} stored ever, {} promised, {} stored; {:#?}",
            self.ever.len(),
            promised.len(),
            all.len(),
            self.seen
        );
        self.restore(&promised);
    }

    /// The oldest and some dump of each tenant, and the oldest base backup.
    fn restore(&mut self, promised: &BTreeSet<String>) {
        let identity = self.place.identity();
        for (number, class) in CLASSES.iter().enumerate() {
            let is_own = |id: &&String| {
                let one = &self.ever[*id];
                one.kind == "dump" && one.tenant.as_deref() == Some(class.tenant) && self.days[*id] > 0
            };
            let dumps: Vec<&String> = promised.iter().filter(is_own).collect();
            let some = dumps[self.random.below(dumps.len() as u64) as usize];
            for (which, dump) in [("oldest", dumps[0]), ("some", some)] {
                let copy = format!("copy_{number}_{which}");
                let restore =
                    ["restore", "--tenant", class.tenant, "--snapshot", dump, "--as", &copy, "--yes"];
                self.place.run(&restore).arg("--identity").arg(&identity).run().ok();
                let day = self.template.cluster.psql(&copy, "select max(day) from year_day");
                assert_eq!(day, self.days[dump].to_string(), "{dump}");
                self.template.cluster.psql("postgres", &format!("drop database {copy} with (force)"));
            }
        }
        let base = promised.iter().find(|id| id.contains("-base-")).unwrap();
        let to = self.template.site.path("instance-of-the-year");
        let restore = ["restore", "--yes", "--snapshot", base, "--to", "immediate", "--instance-to"];
        let restore = restore.into_iter().chain([to.to_str().unwrap()]);
        self.place.run(&restore.collect::<Vec<_>>()).arg("--identity").arg(&identity).run().ok();
        std::fs::remove_dir_all(to).unwrap();
    }
}

#[test]
fn a_year_of_three_classes_ends_with_what_they_promise() {
    let days = std::env::var("TEST_DAYS").map_or(DAYS, |text| text.parse().unwrap());
    let begun = Instant::now();
    let template = Template::make();
    let s3 = S3::start_of_any_time();
    let site = &template.site;
    let mut tenants = vec![small_tenant(&template.cluster, &site.data_dir(), "mill", 2)];
    tenants.push(small_tenant(&template.cluster, &site.data_dir(), "books", 2));
    let place = Place::new(&template, Some(&s3), 365);
    place.set_classes(&CLASSES.iter().map(text).collect::<String>());
    tenants.insert(0, template.tenant.clone());
    for tenant in &tenants {
        template.cluster.psql(&tenant.name, "create table year_day (day int)");
    }
    let (ever, days_of, pushed, seen) = Default::default();
    let random = Seeded::new(1);
    let mut year =
        Year { template: &template, s3: &s3, place, random, tenants, ever, days: days_of, pushed, seen };
    year.note(0);
    let mut day = 1;
    while day <= days {
        // Now and then nobody backs up for some days.
        let idle = if year.random.below(25) == 0 { 1 + year.random.below(4) } else { 1 };
        year.place.pass(HOUR * 24 * idle as u32 - HOUR * 2);
        day += idle;
        year.day(day);
        if day.is_multiple_of(50) {
            year.place.run(&["verify", "--no-progress"]).run().ok();
        }
    }
    year.end();
    println!("{day} days in {:?}", begun.elapsed());
}
