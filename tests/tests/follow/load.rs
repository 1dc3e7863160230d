//! Odoo's load on a filestore: files first, rows after them, rows deleted, files collected; and the
//! truth of every moment, written down by the one who writes.

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use lifeboat_tests::filestore::Seeded;
use lifeboat_tests::tenant::Tenant;

use crate::world::World;

/// What rows of a tenant named, from each moment on.
pub struct Truth {
    pub tenant: String,
    moments: Vec<(Timestamp, BTreeSet<String>)>,
}

impl Truth {
    /// What rows named at this time, and what they named after the next commit: it may have been
    /// just before that moment, which is written down after it.
    pub fn at(&self, time: Timestamp) -> (&BTreeSet<String>, &BTreeSet<String>) {
        let next = self.moments.partition_point(|(at, _)| *at <= time);
        let last = next.saturating_sub(1);
        (&self.moments[last].1, &self.moments[next.min(self.moments.len() - 1)].1)
    }

    /// Every name that a row ever had.
    pub fn ever(&self) -> BTreeSet<String> {
        self.moments.iter().flat_map(|(_, names)| names.iter().cloned()).collect()
    }

    /// A time between the first moment and the last.
    pub fn random_time(&self, random: &mut Seeded) -> Timestamp {
        let (first, last) = (self.moments[0].0, self.moments[self.moments.len() - 1].0);
        let span = (last.as_microsecond() - first.as_microsecond()).cast_unsigned();
        Timestamp::from_microsecond(first.as_microsecond() + random.below(span.max(1)).cast_signed()).unwrap()
    }
}

/// Who writes, and whether anything is collected meanwhile.
pub struct Load {
    pub seconds: u64,
    pub seed: u64,
    pub collect: bool,
}

impl Load {
    /// Loads every tenant while `meanwhile` runs, and for its seconds at least.
    pub fn run(&self, world: &World, meanwhile: impl FnOnce()) -> Vec<Truth> {
        let stop = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let writers: Vec<_> = world
                .tenants
                .iter()
                .enumerate()
                .map(|(n, tenant)| {
                    let stop = &stop;
                    scope.spawn(move || self.tenant(world, tenant, self.seed * 100 + n as u64, stop))
                })
                .collect();
            let begun = Instant::now();
            let done = std::panic::catch_unwind(std::panic::AssertUnwindSafe(meanwhile));
            while done.is_ok() && begun.elapsed() < Duration::from_secs(self.seconds) {
                std::thread::sleep(Duration::from_millis(50));
            }
            stop.store(true, Ordering::Relaxed);
            let truths = writers.into_iter().map(|writer| writer.join().unwrap()).collect();
            done.unwrap_or_else(|e| std::panic::resume_unwind(e));
            truths
        })
    }

    /// One writer, and beside it Odoo's collector. What Odoo itself loses (a file that is collected
    /// between its writing and its row) is left out: the two take turns there.
    fn tenant(&self, world: &World, tenant: &Tenant, seed: u64, stop: &AtomicBool) -> Truth {
        let turn = Mutex::new(());
        let stopped = || stop.load(Ordering::Relaxed);
        std::thread::scope(|scope| {
            if self.collect {
                scope.spawn(|| {
                    while !stopped() {
                        std::thread::sleep(Duration::from_millis(700));
                        let _turn = turn.lock().unwrap();
                        world.collect(tenant);
                    }
                });
            }
            let mut writer = Writer::new(world, tenant, seed);
            while !stopped() {
                writer.step(&turn);
            }
            writer.truth
        })
    }
}

struct Writer<'a> {
    world: &'a World,
    tenant: &'a Tenant,
    random: Seeded,
    contents: Vec<Vec<u8>>,
    names: BTreeSet<String>,
    truth: Truth,
}

const NOW: &str = "select to_char(clock_timestamp() at time zone 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')";

impl<'a> Writer<'a> {
    fn new(world: &'a World, tenant: &'a Tenant, seed: u64) -> Writer<'a> {
        let names: BTreeSet<String> = tenant.referenced(&world.cluster).into_keys().collect();
        let truth = Truth { tenant: tenant.name.clone(), moments: Vec::new() };
        let mut writer =
            Writer { world, tenant, random: Seeded::new(seed), contents: Vec::new(), names, truth };
        writer.commit("");
        writer
    }

    fn step(&mut self, turn: &Mutex<()>) {
        match self.random.below(10) {
            0..=5 => {
                let content = match self.random.below(6) {
                    0 if !self.contents.is_empty() => {
                        let n = self.random.below(self.contents.len() as u64);
                        self.contents[n as usize].clone() // again, perhaps after it was collected
                    }
                    _ => {
                        let bytes = self.random.file_bytes();
                        self.random.noise(bytes)
                    }
                };
                let _turn = turn.lock().unwrap();
                let store = self.tenant.filestore();
                let name = lifeboat_tests::filestore::store_fname(&content);
                match store.path(&name).exists() {
                    true => store.list_for_collection(&name), // Odoo does not write it again
                    false => drop(store.add(&content)),
                }
                let sql = format!(
                    "insert into ir_attachment (name, res_model, res_id, type, store_fname, checksum, file_size, mimetype, public) \
                     values ('load', 'sale.order', 1, 'binary', '{name}', '{}', {}, 'application/pdf', false);",
                    &name[3..],
                    content.len()
                );
                self.names.insert(name);
                self.contents.push(content);
                self.commit(&sql);
            }
            6..=8 => {
                let n = self.random.below(self.names.len().max(1) as u64) as usize;
                let Some(name) = self.names.iter().nth(n).cloned() else { return };
                self.names.remove(&name);
                self.commit(&format!("delete from ir_attachment where store_fname = '{name}';"));
                self.tenant.filestore().list_for_collection(&name);
            }
            _ => std::thread::sleep(Duration::from_millis(self.random.below(300))),
        }
    }

    /// The statement commits by itself, and then the server tells the time.
    fn commit(&mut self, sql: &str) {
        let time = self.world.cluster.psql(&self.tenant.name, &format!("{sql}\n{NOW}"));
        self.truth.moments.push((time.parse().unwrap(), self.names.clone()));
    }
}
