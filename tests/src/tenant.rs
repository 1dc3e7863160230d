//! A small tenant in the shape of Odoo: a database and its filestore, both from a seed.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use crate::Cluster;
use crate::compare::{FileState, database_digest, tree_digest};
use crate::filestore::{Filestore, Seeded, make_dir, store_fname};

/// Before the attachments, and after them.
const BEFORE: [&str; 4] = [
    include_str!("../fixtures/odoo_small/1_schema.sql"),
    include_str!("../fixtures/odoo_small/2_settings.sql"),
    include_str!("../fixtures/odoo_small/3_trade.sql"),
    include_str!("../fixtures/odoo_small/4_money.sql"),
];
const AFTER: &str = include_str!("../fixtures/odoo_small/5_finish.sql");
/// How many different files a small tenant has, the special ones not counted.
const FILES: u64 = 300;
/// What the attachments of a small tenant belong to: model, field, how many records there are.
const OWNERS: [(&str, &str, u64); 5] = [
    ("sale.order", "", 240),
    ("account.move", "", 100),
    ("product.template", "image_1920", 60),
    ("res.partner", "", 160),
    ("ir.ui.view", "", 40),
];

/// An Odoo database and its filestore.
#[derive(Clone, Debug)]
pub struct Tenant {
    /// The database's name.
    pub name: String,
    /// Odoo's data directory: `filestore/`, `sessions/`, `addons/`.
    pub data_dir: PathBuf,
}

/// Creates the database `name` and its filestore below `data_dir`. Takes about a second; the same
/// seed gives the same content. The hard checks of a drill all hold on it.
///
/// In it on purpose: several rows that share a file, an empty file, a URL attachment, content kept
/// in the database, new files in the checklist, files that no row names any more (with and without
/// a checklist entry), session files beside.
pub fn small_tenant(cluster: &Cluster, data_dir: &Path, name: &str, seed: u64) -> Tenant {
    let tenant = Tenant { name: name.to_owned(), data_dir: data_dir.to_owned() };
    build(&tenant, seed, &mut |database, sql| cluster.psql(database, sql));
    tenant
}

/// [`small_tenant`] over any way to run SQL: called with a database and a script for psql.
pub fn build(tenant: &Tenant, seed: u64, psql: &mut dyn FnMut(&str, &str) -> String) {
    let name = tenant.name.replace('"', "\"\"");
    psql(
        "postgres",
        &format!("create database \"{name}\" template template0 encoding 'UTF8' lc_collate 'C';"),
    );
    let attachments = write_files(tenant, seed);
    let script = format!("\\set seed {seed}\n{}\n{attachments}\n{AFTER}", BEFORE.join("\n"));
    psql(&tenant.name, &script);
}

/// Writes the filestore and what lies beside it; returns the SQL of the rows.
fn write_files(tenant: &Tenant, seed: u64) -> String {
    let store = tenant.filestore();
    let mut random = Seeded::new(seed);
    let mut rows = Rows::new();
    for number in 0..FILES {
        let bytes = if number == 7 { 2_200_000 } else { random.file_bytes() };
        let (content, kind) = match random.below(3) {
            0 => (random.text(bytes), "text/csv"),
            1 => ([b"%PDF-1.7\n".to_vec(), random.noise(bytes)].concat(), "application/pdf"),
            _ => ([b"\x89PNG\r\n\x1a\n".to_vec(), random.noise(bytes)].concat(), "image/png"),
        };
        // the last ones came after the collector's last run
        let stored = if number + 12 > FILES { store.add(&content) } else { store.put(&content) };
        // one in five is attached more than once
        for copy in 0..=(random.below(5) == 0) as u64 + (random.below(25) == 0) as u64 {
            rows.file(&mut random, &format!("file {number}-{copy}"), &stored, content.len(), kind);
        }
    }
    rows.file(&mut random, "empty.txt", &store.put(b""), 0, "text/plain");
    for (number, listed) in [(1, true), (2, true), (3, false)] {
        let content = random.noise(5_000 * number);
        if listed {
            store.add(&content)
        } else {
            store.put(&content)
        };
    }
    let sessions = tenant.data_dir.join("sessions");
    make_dir(&sessions);
    make_dir(&tenant.data_dir.join("addons/17.0"));
    std::fs::write(sessions.join(store_fname(&random.noise(20)).replace('/', "")), random.noise(300))
        .unwrap();
    rows.finish()
}

/// Rows of `ir_attachment`, as one script.
struct Rows(String);

impl Rows {
    fn new() -> Rows {
        let columns = "name, res_model, res_field, res_id, type, store_fname, checksum, file_size, mimetype, index_content, public, company_id";
        Rows(format!("copy ir_attachment ({columns}) from stdin;\n"))
    }

    fn file(&mut self, random: &mut Seeded, name: &str, store_fname: &str, bytes: usize, kind: &str) {
        let (model, field, records) = OWNERS[random.below(OWNERS.len() as u64) as usize];
        let field = if field.is_empty() { "\\N" } else { field };
        let index = if kind == "text/csv" { "text" } else { "\\N" };
        let (record, checksum) = (1 + random.below(records), &store_fname[3..]);
        let row = format!(
            "{name}\t{model}\t{field}\t{record}\tbinary\t{store_fname}\t{checksum}\t{bytes}\t{kind}\t{index}\tf\t1"
        );
        writeln!(self.0, "{row}").unwrap();
    }

    fn finish(self) -> String {
        let elsewhere = "insert into ir_attachment (name, type, url, mimetype, public) values ('Manual', 'url', 'https://example.com/manual.pdf', 'application/octet-stream', true);\n\
             insert into ir_attachment (name, type, db_datas, file_size, checksum, mimetype, public) values ('Kept in the database', 'binary', '\\x00ff27', 3, null, 'image/png', false);";
        format!("{}\\.\n{elsewhere}\n", self.0)
    }
}

impl Tenant {
    /// Its filestore.
    pub fn filestore(&self) -> Filestore {
        Filestore::of(&self.data_dir, &self.name)
    }

    /// What `ir_attachment` says must be in the filestore: name and length.
    pub fn referenced(&self, cluster: &Cluster) -> BTreeMap<String, u64> {
        referenced(cluster, &self.name)
    }

    /// Attaches a new file as Odoo does, row and file; returns its `store_fname`.
    pub fn upload(&self, cluster: &Cluster, name: &str, content: &[u8]) -> String {
        let stored = self.filestore().add(content);
        let sql = format!(
            "insert into ir_attachment (name, res_model, res_id, type, store_fname, checksum, file_size, mimetype, public) \
             values ('{}', 'sale.order', 1, 'binary', '{stored}', '{}', {}, 'application/octet-stream', false)",
            name.replace('\'', "''"),
            &stored[3..],
            content.len()
        );
        cluster.psql(&self.name, &sql);
        stored
    }

    /// Everything that must come back, to be kept before something is damaged: the database's
    /// content, and each file that a row names.
    pub fn state(&self, cluster: &Cluster) -> State {
        state(cluster, &self.name, &self.filestore())
    }
}

/// What a tenant holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct State {
    /// As of [`database_digest`].
    pub database: BTreeMap<String, String>,
    /// The files that rows name, by path inside the filestore.
    pub files: BTreeMap<PathBuf, FileState>,
}

/// What a database and a filestore hold, whatever their names.
///
/// # Panics
/// When a row's file is missing or wrong.
pub fn state(cluster: &Cluster, database: &str, filestore: &Filestore) -> State {
    let referenced = referenced(cluster, database);
    let faults = filestore.faults(&referenced);
    assert!(faults.is_empty(), "the filestore of {database} does not hold what its rows name: {faults:#?}");
    let mut files = tree_digest(filestore.dir());
    files.retain(|path, _| referenced.contains_key(path.to_str().unwrap()));
    State { database: database_digest(cluster, database), files }
}

/// Names and lengths of the files that a database's rows name.
pub fn referenced(cluster: &Cluster, database: &str) -> BTreeMap<String, u64> {
    let sql = "select distinct store_fname, file_size from ir_attachment where store_fname is not null";
    let printed = cluster.psql(database, sql);
    let rows = printed.lines().map(|line| line.split_once('|').unwrap());
    rows.map(|(name, bytes)| (name.to_owned(), bytes.parse().unwrap())).collect()
}
