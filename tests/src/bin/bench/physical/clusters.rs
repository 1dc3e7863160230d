//! The two clusters that are measured: *pgbench*, few large files that compress well, and *tenants*,
//! many small files of real Odoo databases. Costly to make, so they are kept where that is asked for.

use std::fs;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use lifeboat_tests::real;

use super::options::{Kind, Options};
use super::server::{Server, finish, init};

/// Room on each page for a changed row, as databases with updates have it: so a changed row is a
/// changed page, and not two and an index's.
const FILL: &str = "90";
/// One of so many pages of the large table is changed: a hundredth of all pages, with those behind it.
const CHANGED_OF: u64 = 80;

/// Makes the cluster unless the last run left it; its data directory.
pub fn make(kind: Kind, options: &Options) -> PathBuf {
    let dir = options.work.join("clusters").join(kind.name());
    let made = dir.with_extension("made");
    let wanted = match kind {
        Kind::Pgbench => format!("scale {}", options.scale),
        Kind::Tenants => format!("tenants {}", options.tenants),
    };
    if fs::read_to_string(&made).is_ok_and(|there| there == wanted) {
        return dir;
    }
    eprintln!("making the cluster {} ({wanted}) in {}", kind.name(), dir.display());
    let _ = fs::remove_file(&made);
    let _ = fs::remove_dir_all(&dir);
    fs::create_dir_all(dir.parent().unwrap()).unwrap();
    init(&dir);
    let server = Server::start(
        &dir,
        &[
            ("fsync", "off"),
            ("full_page_writes", "off"),
            ("wal_level", "minimal"),
            ("max_wal_senders", "0"),
            ("wal_keep_size", "0"),
        ],
    );
    match kind {
        Kind::Pgbench => pgbench(&server, options.scale),
        Kind::Tenants => tenants(&server, options.tenants),
    }
    server.psql("postgres", "checkpoint");
    drop(server);
    rustix::fs::sync();
    fs::write(&made, wanted).unwrap();
    dir
}

/// pgbench's tables, vacuumed.
pub fn pgbench(server: &Server, scale: u64) {
    server.run("createdb", &["bench"]);
    server.run("pgbench", &["-i", "-q", "-s", &scale.to_string(), "-F", FILL, "bench"]);
    server.psql("bench", "vacuum (freeze, analyze)");
}

fn tenants(server: &Server, count: u64) {
    let names = real::real_tenants();
    assert!(!names.is_empty(), "no dumps of Odoo tenants: TEST_ODOO_TENANTS names their folder");
    let folder = real::folder().unwrap();
    for name in &names {
        server.run("createdb", &["-T", "template0", "-E", "UTF8", "--lc-collate=C", name]);
        let dump = folder.join(format!("{name}.dump"));
        let mut restore = server.client("pg_restore", &["--no-owner", "--exit-on-error", "-d", name]);
        finish(restore.arg(dump));
        server.psql(name, "vacuum (freeze, analyze)");
    }
    for number in names.len() as u64..count {
        let like = &names[number as usize % names.len()];
        let sql = format!("create database \"{like}_{number:02}\" template \"{like}\" strategy file_copy");
        server.psql("postgres", &sql);
    }
}

/// Changes about one page in a hundred; the share of the cluster's pages that were changed.
pub fn change(kind: Kind, server: &Server, round: usize) -> f64 {
    server.settle();
    let touched = || server.psql("postgres", "select wal_fpi from pg_stat_wal").parse::<f64>().unwrap();
    let before = touched();
    match kind {
        Kind::Pgbench => {
            let per_page = server.psql(
                "bench",
                "select reltuples / greatest(relpages, 1) from pg_class where relname = 'pgbench_accounts'",
            );
            let step = (per_page.parse::<f64>().unwrap() * CHANGED_OF as f64) as u64;
            let sql = format!(
                "update pgbench_accounts set abalance = abalance + 1 where aid in \
                 (select generate_series({}, (select max(aid) from pgbench_accounts), {step}))",
                1 + round as u64 * 7
            );
            server.psql("bench", &sql);
        }
        Kind::Tenants => {
            for database in server.databases() {
                server.psql(&database, &CHANGE_TENANT.replace("ROUND", &round.to_string()));
            }
        }
    }
    std::thread::sleep(std::time::Duration::from_millis(1500)); // statistics come with a delay
    let pages = cluster_bytes(&server.data_dir) as f64 / 8192.0;
    let changed = touched() - before;
    server.settle();
    changed / pages
}

/// One row in many of the larger tables that have a `write_date`.
const CHANGE_TENANT: &str = "do $$ declare t record; begin
  for t in select c.oid::regclass as name, c.relpages from pg_class c join pg_attribute a on a.attrelid = c.oid
    where c.relkind = 'r' and a.attname = 'write_date' and c.relpages > 30 and c.relnamespace = 'public'::regnamespace
    order by c.relpages desc limit 12 loop
    execute format('update %s set write_date = write_date + interval ''1 second'' where id %% 331 = ROUND', t.name);
  end loop; end $$";

/// Bytes of the files below `base`.
pub fn cluster_bytes(data_dir: &Path) -> u64 {
    let mut bytes = 0;
    lifeboat_tests::compare::walk(&data_dir.join("base"), &mut |path| {
        bytes += path.metadata().map_or(0, |meta| if meta.is_file() { meta.len() } else { 0 });
    });
    bytes
}

/// How many files are below `base`.
pub fn cluster_files(data_dir: &Path) -> usize {
    let mut files = 0;
    lifeboat_tests::compare::walk(&data_dir.join("base"), &mut |path| files += usize::from(path.is_file()));
    files
}

/// Compares what a restore made with the cluster that nobody has written to since.
///
/// # Panics
/// When a relation's file differs.
pub fn assert_same_files(source: &Path, restored: &Path) {
    let mut files = Vec::new();
    for part in ["base", "pg_xact", "pg_multixact"] {
        lifeboat_tests::compare::walk(&source.join(part), &mut |path| {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            if path.is_file() && !name.starts_with("pg_internal.init") {
                files.push(path.strip_prefix(source).unwrap().to_owned());
            }
        });
    }
    let next = std::sync::atomic::AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                let (mut a, mut b) = (vec![0; 1 << 20], vec![0; 1 << 20]);
                while let Some(file) = files.get(next.fetch_add(1, std::sync::atomic::Ordering::Relaxed)) {
                    assert_same_file(&source.join(file), &restored.join(file), &mut a, &mut b);
                }
            });
        }
    });
}

fn assert_same_file(one: &Path, other: &Path, a: &mut [u8], b: &mut [u8]) {
    let open = |path: &Path| fs::File::open(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let (left, right) = (open(one), open(other));
    let bytes = left.metadata().unwrap().len();
    assert_eq!(bytes, right.metadata().unwrap().len(), "size of {}", other.display());
    let mut at = 0;
    while at < bytes {
        let n = (bytes - at).min(a.len() as u64) as usize;
        left.read_exact_at(&mut a[..n], at).unwrap();
        right.read_exact_at(&mut b[..n], at).unwrap();
        assert!(a[..n] == b[..n], "{} differs from its source near byte {at}", other.display());
        at += n as u64;
    }
}
