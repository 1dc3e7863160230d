//! `runbooks/break-glass.md` does what it says: its own commands, run as they stand, bring a tenant
//! back from a repository without Lifeboat, onto another server.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use lifeboat_tests::compare::{assert_same, assert_same_database, tree_digest};
use lifeboat_tests::filestore::{Seeded, make_dir};
use lifeboat_tests::installed::available_majors;
use lifeboat_tests::{
    Cluster, Outcome, Program, Tenant, damage, load_real, real_tenants, skip, small_tenant,
};
use tempfile::TempDir;

use crate::{LIMIT, page, signing_key, tools_are_here};

/// A host with an agent, a server and a repository, and nothing restored yet.
struct Site {
    cluster: Cluster,
    dir: TempDir,
}

impl Site {
    fn new() -> Site {
        Site::of(Cluster::start_default())
    }

    fn of(cluster: Cluster) -> Site {
        let site = Site { cluster, dir: tempfile::tempdir().unwrap() };
        make_dir(&site.data_dir().join("filestore"));
        let data_dir = site.data_dir();
        site.run(&["init", "--instance", "prod", "--data-dir", data_dir.to_str().unwrap()]).ok();
        site
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn data_dir(&self) -> PathBuf {
        self.path("odoo")
    }

    fn run(&self, args: &[&str]) -> Outcome {
        let port = self.cluster.port().to_string();
        Program::lifeboat()
            .cwd(self.dir.path())
            .env("LIFEBOAT_POSTGRES_HOST", self.cluster.host())
            .env("LIFEBOAT_POSTGRES_PORT", port)
            .env("LIFEBOAT_POSTGRES_USER", self.cluster.user())
            .env("LIFEBOAT_POSTGRES_BIN_DIR", self.cluster.bin_dir())
            .args(args.to_vec())
            .limit(LIMIT)
            .run()
    }

    /// The page's commands for `tenant`, onto `target`.
    fn break_glass(&self, target: &Cluster, tenant: &str) -> Program {
        Program::at("/bin/bash".into())
            .args(["-euo", "pipefail"])
            .arg(page("break-glass.md", self.path("page.sh")))
            .env("PATH", format!("{}:/usr/bin:/bin", target.bin_dir().display()))
            .envs(target.env())
            .env("REPO", self.path("lifeboat-repository"))
            .env("TENANT", tenant)
            .env("IDENTITY", self.path("lifeboat-identity.txt"))
            .env("SIGNING_KEY", signing_key(&self.path("lifeboat.toml")))
            .env("TARGET_DB", "rescued")
            .env("TARGET_DIR", self.path("rescued"))
            .env("SCRATCH", self.path("scratch"))
            .env("LOAD_GLOBALS", "yes")
            .limit(LIMIT)
    }
}

fn assert_restored(site: &Site, target: &Cluster, tenant: &Tenant) {
    assert_same_database((&site.cluster, &tenant.name), (target, "rescued"));
    let (was, is) = (tree_digest(tenant.filestore().dir()), tree_digest(&site.path("rescued")));
    assert!(!was.is_empty());
    assert_same("source's filestore and the rescued one", &was, &is);
}

#[test]
fn a_tenant_comes_back_from_a_chain_of_filestores_by_stock_tools() {
    if !tools_are_here() {
        return;
    }
    let site = Site::new();
    let tenant = small_tenant(&site.cluster, &site.data_dir(), "shop \"north\" é", 11);
    site.cluster.psql("postgres", "create role odoo login; create role reader");
    let (name, mut random) = (tenant.name.replace('"', "\"\""), Seeded::new(5));
    site.cluster.psql("postgres", &format!("alter database \"{name}\" owner to odoo"));
    site.cluster
        .psql(&tenant.name, "alter table res_partner owner to odoo; grant select on res_partner to reader");
    let store = tenant.filestore();
    let large = tenant.upload(&site.cluster, "scan", &random.noise(9_500_000));
    let odd = |name: &[u8]| store.path("").join(OsStr::from_bytes(name));
    make_dir(&odd(b"odd %41 [x]"));
    fs::write(odd(b"odd %41 [x]/q\"u\\o\nte\xff.\xc3\xa9"), "strange").unwrap();
    fs::write(odd(b"-rf *"), random.noise(5_000_000)).unwrap();
    fs::write(odd(b"changes"), random.noise(9_000_000)).unwrap();
    fs::write(odd(b"was-small"), "small").unwrap();
    fs::write(odd(b"becomes-a-folder"), "file").unwrap();
    site.run(&["backup"]).ok();

    // what changes, goes, comes back: the chain has to be read in order
    let gone = store.put(&random.noise(3_000));
    tenant.upload(&site.cluster, "second", &random.noise(40_000));
    fs::write(odd(b"changes"), random.noise(70)).unwrap();
    fs::write(odd(b"was-small"), random.noise(4_194_305)).unwrap();
    fs::remove_file(odd(b"becomes-a-folder")).unwrap();
    fs::remove_file(odd(b"odd %41 [x]/q\"u\\o\nte\xff.\xc3\xa9")).unwrap();
    make_dir(&odd(b"becomes-a-folder"));
    fs::write(odd(b"becomes-a-folder/file"), "inside").unwrap();
    site.run(&["backup"]).ok();

    fs::remove_file(store.path(&gone)).unwrap();
    fs::write(odd(b"odd %41 [x]/q\"u\\o\nte\xff.\xc3\xa9"), "strange again").unwrap();
    fs::remove_file(odd(b"-rf *")).unwrap();
    let last = tenant.upload(&site.cluster, "third", &random.noise(4_194_304));
    site.run(&["backup"]).ok();
    let chain = site.path("lifeboat-repository/instances/prod/snapshots");
    assert_eq!(fs::read_dir(chain).unwrap().count(), 9, "three dumps, filestores and globals");

    let target = Cluster::start_default();
    site.break_glass(&target, &tenant.name).run().ok();
    assert_restored(&site, &target, &tenant);
    assert!(site.path("rescued").join(large).exists() && site.path("rescued").join(last).exists());
    let sql = "select pg_get_userbyid(datdba) from pg_database where datname = 'rescued'";
    assert_eq!(target.psql("postgres", sql), "odoo", "globals came first, so the owner is the old one");
}

#[test]
fn a_tenant_comes_back_by_stock_tools_on_every_major() {
    if !tools_are_here() {
        return;
    }
    for major in available_majors() {
        println!("PostgreSQL {major}");
        let site = Site::of(Cluster::start(major));
        let tenant = small_tenant(&site.cluster, &site.data_dir(), "shop", u64::from(major));
        site.run(&["backup"]).ok();
        let target = Cluster::start(major);
        site.break_glass(&target, &tenant.name).run().ok();
        assert_restored(&site, &target, &tenant);
    }
}

#[test]
fn what_is_damaged_forged_or_in_the_way_stops_the_page() {
    if !tools_are_here() {
        return;
    }
    let site = Site::new();
    let tenant = small_tenant(&site.cluster, &site.data_dir(), "shop", 3);
    site.run(&["backup"]).ok();
    let rescue = |what: &str| {
        let scratch = site.path(&format!("scratch {what}"));
        site.break_glass(&site.cluster, &tenant.name).env("SCRATCH", scratch).env("LOAD_GLOBALS", "no")
    };
    let stopped = |outcome: Outcome, says: &str| {
        outcome.exits(1).says(says);
        assert!(!site.path("rescued").exists() && !site.path("rescued.rescue").exists());
    };
    let stranger =
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIE4aTQ+idzupOEcW7KRduA3yk4NyK9oQbaXP8dcUVbr3 stranger";
    stopped(rescue("key").env("SIGNING_KEY", stranger).run(), "is not signed by our key");
    stopped(rescue("tenant").env("TENANT", "nobody").run(), "no dump of nobody");

    let snapshots = site.path("lifeboat-repository/instances/prod/snapshots");
    let mut folders: Vec<_> = fs::read_dir(snapshots).unwrap().map(|entry| entry.unwrap().path()).collect();
    folders.sort();
    let dump = folders.iter().find(|path| path.to_str().unwrap().contains("-dump-")).unwrap();
    let pack = dump.join("packs/000000.tar.zst.age");
    let good = fs::read(&pack).unwrap();
    damage::flip_bit(&pack, 1234);
    stopped(rescue("pack").run(), "is damaged");
    fs::write(&pack, good).unwrap();

    let manifest = dump.join("manifest.json");
    let text = fs::read_to_string(&manifest).unwrap();
    fs::write(&manifest, text.replace("\"owner\": \"postgres\"", "\"owner\": \"mallory\"")).unwrap();
    assert_ne!(fs::read_to_string(&manifest).unwrap(), text);
    stopped(rescue("manifest").run(), "is not signed by our key");
    fs::write(&manifest, text).unwrap();

    fs::create_dir(site.path("rescued")).unwrap();
    rescue("target").run().exits(1).says("rescued exists");
    fs::remove_dir(site.path("rescued")).unwrap();
    assert!(!site.cluster.has_db("rescued"), "nothing was created before everything was checked");
    rescue("at last").run().ok();
    assert_restored(&site, &site.cluster, &tenant);
}

#[test]
fn real_tenants_come_back_by_stock_tools() {
    if !tools_are_here() {
        return;
    }
    let Some(name) = real_tenants().first().cloned() else {
        skip!("no real tenant on this machine; TEST_ODOO_TENANTS names their folder");
    };
    let site = Site::new();
    let tenant = load_real(&site.cluster, &site.data_dir(), &name, "real").unwrap();
    site.run(&["backup"]).ok();
    let target = Cluster::start_default();
    site.break_glass(&target, "real").run().ok();
    assert_restored(&site, &target, &tenant);
}
