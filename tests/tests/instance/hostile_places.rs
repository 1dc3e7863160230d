//! A data directory, tablespaces and an old instance below directories of a lesser user, who exchanges them
//! for links all the time while root restores: nothing that lies elsewhere is written, given away or removed.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, lchown, symlink};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use lifeboat_tests::damage::flip_bit;
use lifeboat_tests::installed::hand_over;
use lifeboat_tests::site::Site;
use lifeboat_tests::{Cluster, Outcome, Program, skip};
use rustix::fs::{CWD, RenameFlags, renameat_with};

/// Somebody who is neither root nor PostgreSQL's user.
const SOMEBODY: u32 = 4_000_000;
/// How often a restore runs into it.
const ROUNDS: usize = 9;
/// Between two exchanges: the longer, the further a restore comes.
const PAUSES: [Duration; 3] =
    [Duration::from_micros(300), Duration::from_millis(15), Duration::from_millis(120)];

/// What lies elsewhere, where a restore could be led to: path, owner, mode, size.
type Elsewhere = Vec<(PathBuf, u32, u32, u64)>;

fn seen(dir: &Path, out: &mut Elsewhere) {
    let meta = fs::symlink_metadata(dir).unwrap();
    let size = if meta.is_dir() { 0 } else { meta.len() };
    out.push((dir.to_owned(), meta.uid(), meta.mode(), size));
    if meta.is_dir() {
        for entry in fs::read_dir(dir).unwrap() {
            seen(&entry.unwrap().path(), out);
        }
    }
}

fn all_of(dir: &Path) -> Elsewhere {
    let mut out = Elsewhere::new();
    seen(dir, &mut out);
    out.sort();
    out
}

#[track_caller]
fn assert_untouched(dir: &Path, before: &Elsewhere) {
    let now = all_of(dir);
    let (gone, come): (Vec<_>, Vec<_>) = (
        before.iter().filter(|known| !now.contains(known)).take(5).collect(),
        now.iter().filter(|found| !before.contains(found)).take(5).collect(),
    );
    assert!(gone.is_empty() && come.is_empty(), "gone or changed {gone:?}, come {come:?}");
}

/// A link of somebody's.
fn his_link(to: &Path, link: &Path) {
    symlink(to, link).unwrap();
    lchown(link, Some(SOMEBODY), Some(SOMEBODY)).unwrap();
}

/// Exchanges pairs of names all the time while `work` runs; how often.
fn while_exchanged(pairs: &[(PathBuf, PathBuf)], round: usize, work: impl FnOnce()) -> u64 {
    let (stop, count) = (AtomicBool::new(false), AtomicU64::new(0));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                for (one, other) in pairs {
                    let done = renameat_with(CWD, one, CWD, other, RenameFlags::EXCHANGE);
                    count.fetch_add(u64::from(done.is_ok()), Ordering::Relaxed);
                }
                std::thread::sleep(PAUSES[round % PAUSES.len()]);
            }
        });
        work();
        stop.store(true, Ordering::Relaxed);
    });
    // each is what it was
    for (dir, link) in pairs {
        if dir.is_symlink() {
            renameat_with(CWD, dir, CWD, link, RenameFlags::EXCHANGE).unwrap();
        }
    }
    count.into_inner()
}

struct Scene {
    cluster: Cluster,
    site: Site,
    /// Of the lesser user; everybody may go through.
    his: PathBuf,
    /// Of root.
    elsewhere: PathBuf,
}

impl Scene {
    /// A cluster with a tablespace, backed up; `None` without root.
    fn new() -> Option<Scene> {
        if !rustix::process::geteuid().is_root() {
            skip::announce("an instance below directories of a lesser user", "only root can be led anywhere");
            return None;
        }
        let cluster = Cluster::start_default();
        let site = Site::local(&cluster);
        hand_over(&site.path("")); // the restored server fetches from there
        let (his, elsewhere) = (site.path("his"), site.path("elsewhere"));
        let north = site.path("north");
        for dir in [&his, &elsewhere, &north] {
            fs::create_dir(dir).unwrap();
        }
        fs::set_permissions(site.path(""), PermissionsExt::from_mode(0o755)).unwrap();
        Program::at("/bin/chown".into()).arg("postgres:postgres").arg(&north).run().ok();
        cluster.psql("postgres", &format!("create tablespace north location '{}'", north.display()));
        cluster.psql("postgres", "create table t tablespace north as select generate_series(1, 200000) n");
        chown(&his, Some(SOMEBODY), Some(SOMEBODY)).unwrap();
        site.back_up(&["--kind", "base"]);
        Some(Scene { cluster, site, his, elsewhere })
    }

    /// A directory of his, and a link of his that leads elsewhere and changes places with it.
    fn pair(&self, name: &str) -> (PathBuf, PathBuf) {
        let (dir, link) = (self.his.join(name), self.his.join(format!(".{name}")));
        fs::create_dir(&dir).unwrap();
        chown(&dir, Some(SOMEBODY), Some(SOMEBODY)).unwrap();
        his_link(&self.elsewhere, &link);
        (dir, link)
    }

    /// A pack, and a bit near its end: most of what lies in it is written before that is seen. Which worker
    /// got which file is chance, and the plan reads production's configuration: not that pack, or nothing
    /// would be made.
    fn damage_that_the_plan_does_not_meet(&self) -> (PathBuf, u64) {
        let mut packs = Vec::new();
        lifeboat_tests::compare::walk(&self.site.stored, &mut |path| packs.push(path.to_owned()));
        packs.retain(|path| path.to_string_lossy().contains("packs"));
        let bytes = |path: &PathBuf| fs::metadata(path).unwrap().len();
        packs.sort_by_key(|path| std::cmp::Reverse(bytes(path)));
        let plan = self.restore(&self.site.path("plan"), &self.site.path("plan-north"), &["--dry-run"]);
        let places = packs.iter().map(|pack| (pack.clone(), bytes(pack) * 8 - 400));
        let unseen = |(pack, bit): &(PathBuf, u64)| {
            flip_bit(pack, *bit);
            let planned = plan.run().code == Some(0);
            flip_bit(pack, *bit);
            planned
        };
        let found = places.clone().find(unseen);
        found.unwrap_or_else(|| panic!("the plan reads each of {:?}", places.collect::<Vec<_>>()))
    }

    fn restore(&self, dir: &Path, tablespace: &Path, more: &[&str]) -> Program {
        let map = format!("north={}", tablespace.display());
        self.site
            .run(&["restore", "--yes", "--os-user", "postgres", "--identity", "lifeboat-identity.txt"])
            .arg("--instance-to")
            .arg(dir)
            .args(["--to", "immediate", "--tablespace-map", &map])
            .args(more.to_vec())
    }
}

#[test]
fn directories_above_that_are_exchanged_for_links_lead_root_nowhere() {
    let Some(scene) = Scene::new() else { return };
    let pairs = [scene.pair("db"), scene.pair("ts")];
    // what a restore would take for its own by its name
    for n in 0..ROUNDS {
        fs::write(scene.elsewhere.join(format!("data{n}.log")), "precious").unwrap();
    }
    let before = all_of(&scene.elsewhere);
    let mut codes = Vec::new();
    let mut exchanged = 0;
    for n in 0..ROUNDS {
        exchanged += while_exchanged(&pairs, n, || {
            let (dir, north) = (pairs[0].0.join(format!("data{n}")), pairs[1].0.join(format!("north{n}")));
            let outcome: Outcome = scene.restore(&dir, &north, &["--start"]).run();
            codes.push(outcome.code);
        });
    }
    println!("{exchanged} exchanges, exit codes {codes:?}");
    assert!(exchanged > 100, "{exchanged}");
    for entry in fs::read_dir(&pairs[0].0).unwrap() {
        stop(&scene.cluster, &entry.unwrap().path());
    }
    assert_untouched(&scene.elsewhere, &before);
}

/// Ends a server that a restore started.
fn stop(cluster: &Cluster, dir: &Path) {
    if dir.join("postmaster.pid").exists() {
        Program::at("/usr/bin/setpriv".into())
            .args(["--reuid", "postgres", "--regid", "postgres", "--clear-groups", "--"])
            .arg(cluster.bin_dir().join("pg_ctl"))
            .args(["stop", "-m", "immediate", "-D"])
            .arg(dir)
            .cwd("/")
            .run();
    }
}

#[test]
fn directories_in_an_unfinished_restore_that_are_exchanged_for_links_lead_root_nowhere() {
    let Some(scene) = Scene::new() else { return };
    let (db, _) = scene.pair("db");
    let (pack, bit) = scene.damage_that_the_plan_does_not_meet();
    let mut exchanged = 0;
    for n in 0..ROUNDS {
        // an earlier try that ended half-way: what lies in it is PostgreSQL's user's already
        let (dir, north) = (db.join(format!("data{n}")), db.join(format!("north{n}")));
        flip_bit(&pack, bit);
        let failed = scene.restore(&dir, &north, &[]).run();
        flip_bit(&pack, bit);
        assert_ne!(failed.code, Some(0), "{failed}");
        // whoever has a handle on one of its directories exchanges what lies in it
        fs::create_dir_all(scene.elsewhere.join(n.to_string())).unwrap();
        let mut pairs = Vec::new();
        for (folder, link) in [("base/1", "base/.s"), ("global", ".s"), ("base/5", "base/.t")] {
            if dir.join(folder).exists() {
                his_link(&scene.elsewhere.join(n.to_string()), &dir.join(link));
                pairs.push((dir.join(folder), dir.join(link)));
            }
        }
        assert!(!pairs.is_empty(), "{failed}");
        let before = all_of(&scene.elsewhere);
        exchanged += while_exchanged(&pairs, n, || drop(scene.restore(&dir, &north, &[]).run()));
        assert_untouched(&scene.elsewhere, &before);
    }
    assert!(exchanged > 100, "{exchanged}");
}

#[test]
fn an_old_instance_that_is_exchanged_for_a_link_leads_root_nowhere() {
    let Some(scene) = Scene::new() else { return };
    let pairs = [scene.pair("db")];
    let (dir, north) = (pairs[0].0.join("data"), pairs[0].0.join("north"));
    scene.restore(&dir, &north, &[]).run().ok();
    // something that looks like it, with what root must not touch
    Program::at("/bin/cp".into()).arg("-a").arg(&dir).arg(scene.elsewhere.join("data")).run().ok();
    let before = all_of(&scene.elsewhere);
    let name = dir.to_str().unwrap();
    let mut codes = Vec::new();
    let mut exchanged = 0;
    for n in 0..ROUNDS {
        exchanged += while_exchanged(&pairs, n, || {
            let north = pairs[0].0.join(format!("north{n}"));
            codes.push(scene.restore(&dir, &north, &["--delta", "--yes-replace", name]).run().code);
        });
    }
    println!("{exchanged} exchanges, exit codes {codes:?}");
    assert!(exchanged > 100, "{exchanged}");
    assert_untouched(&scene.elsewhere, &before);
    // nobody at it: as ever
    let north = pairs[0].0.join("north-in-the-end");
    scene.restore(&dir, &north, &["--delta", "--yes-replace", name]).run().ok();
}
