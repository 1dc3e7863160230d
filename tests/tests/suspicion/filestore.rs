//! What is lost in a filestore, and what Odoo does in it every day.

use std::fs;
use std::path::PathBuf;

use lifeboat_tests::compare::walk;
use lifeboat_tests::filestore::{Filestore, Seeded};
use lifeboat_tests::site::Site;
use lifeboat_tests::{Cluster, Tenant};

use crate::world::{backed_up, found, status, tenants, with, without};

const SEED: u64 = 20_261_120;
const FILES: [&str; 2] = ["--kind", "filestore"];

/// The stored files of a tenant, in the order of their names.
fn blobs(site: &Site, tenant: &str) -> Vec<PathBuf> {
    let mut blobs = Vec::new();
    walk(Filestore::of(&site.data_dir(), tenant).dir(), &mut |path| {
        if path.is_file() && !path.to_str().unwrap().contains("/checklist/") {
            blobs.push(path.to_owned());
        }
    });
    blobs.sort();
    assert!(blobs.len() > 200, "{}", blobs.len());
    blobs
}

#[test]
fn files_that_were_encrypted_in_place_are_noticed() {
    let cluster = Cluster::start_default();
    let site = Site::local(&cluster);
    let names = tenants(&cluster, &site);
    let name = names[0].as_str();
    backed_up(&site, name, &FILES);
    // Odoo's own work: new files, and some that the collector deletes
    let tenant = Tenant { name: name.to_owned(), data_dir: site.data_dir() };
    for n in 0..40_u8 {
        tenant.upload(&cluster, "new", &[n; 3_000]);
    }
    blobs(&site, name).iter().take(20).for_each(|path| fs::remove_file(path).unwrap());
    fs::remove_dir_all(Filestore::of(&site.data_dir(), name).dir().join("checklist")).unwrap();
    let report = backed_up(&site, name, &FILES);
    assert_eq!(found(&report), [""; 0], "{report}");
    let good = report["filestore"]["id"].as_str().unwrap();

    let (mut random, mut written) = (Seeded::new(SEED), 0);
    for (n, path) in blobs(&site, name).iter().enumerate() {
        let meta = fs::metadata(path).unwrap();
        if n % 5 < 3 && meta.len() > 0 {
            fs::write(path, random.noise(meta.len() as usize)).unwrap();
            fs::File::options()
                .write(true)
                .open(path)
                .unwrap()
                .set_modified(meta.modified().unwrap())
                .unwrap();
            written += 1;
        }
    }
    println!("{written} files");
    let outcome = site.backup(&FILES).args(["--tenant", name]).run().ok();
    with(outcome, "files, read at random, do not have the content that their names say");
    with(status(&site).run().exits(3), good);
    let json = status(&site).arg("--json").run().exits(3).json();
    let found = &json["suspicious"][0]["alarms"][0]["findings"][0];
    let (altered, read) = (found["altered"].as_u64().unwrap(), found["read"].as_u64().unwrap());
    assert!(read > 100 && altered * 10 > read * 4, "{found}");
}

#[test]
fn files_that_were_encrypted_under_other_names_are_noticed() {
    let cluster = Cluster::start_default();
    let site = Site::local(&cluster);
    let names = tenants(&cluster, &site);
    let name = names[0].as_str();
    backed_up(&site, name, &FILES);
    let mut random = Seeded::new(SEED);
    for path in blobs(&site, name).iter().step_by(2) {
        let bytes = fs::metadata(path).unwrap().len() as usize;
        fs::write(path.with_extension("locked"), random.noise(bytes.max(30_000))).unwrap();
        fs::remove_file(path).unwrap();
    }
    let report = backed_up(&site, name, &FILES);
    assert!(found(&report).contains(&"files-gone".to_owned()), "{report}");
    without(site.backup(&FILES).args(["--tenant", name]).run().ok(), "SUSPICIOUS");
}
