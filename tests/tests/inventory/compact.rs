//! Filestores: `--full`, and old snapshots of which little is needed. What a list still needs of them is
//! stored again from the disk, so that they can expire; nothing is lost by that, whatever the disk does.

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use lifeboat_tests::compare::walk;
use lifeboat_tests::site::Site;
use lifeboat_tests::tenant::Tenant;
use lifeboat_tests::{Cluster, small_tenant};
use serde_json::Value;

const LARGE: usize = 14;

/// A file that cannot be compressed.
fn noise(megabytes: usize) -> Vec<u8> {
    let mut bytes = vec![0; megabytes << 20];
    fs::File::open("/dev/urandom")
        .and_then(|mut file| std::io::Read::read_exact(&mut file, &mut bytes))
        .unwrap();
    bytes
}

/// A backup of so many days ago, by both clocks; the manifest of the filestore.
fn back_up(site: &Site, days: u64, more: &[&str]) -> Value {
    let folder = site.stored.join("instances/prod/snapshots");
    let folders = || -> Vec<PathBuf> {
        fs::read_dir(&folder).into_iter().flatten().map(|entry| entry.unwrap().path()).collect()
    };
    let before = folders();
    let run = site.backup(&["--tenant", "shop", "--json"]).args(more.to_vec()).off_by(&format!("-{days}d"));
    let done = run.run().ok().json()["tenants"][0]["filestore"].clone();
    let then = SystemTime::now() - Duration::from_secs(days * 86_400);
    for made in folders().iter().filter(|folder| !before.contains(folder)) {
        walk(made, &mut |path| {
            if path.is_file() {
                fs::File::options().append(true).open(path).unwrap().set_modified(then).unwrap();
            }
        });
    }
    done
}

fn id(manifest: &Value) -> &str {
    manifest["id"].as_str().unwrap()
}

/// Whether a filestore needs another one: its packs or its index.
fn needs(manifest: &Value, other: &Value) -> bool {
    let facts = &manifest["filestore"];
    let all = [&facts["sources"], &facts["index_chain"]];
    all.iter().any(|ids| ids.as_array().unwrap().iter().any(|one| one == id(other)))
}

/// A tenant with a snapshot that holds large files, which are gone now.
fn with_large_files(cluster: &Cluster, site: &Site) -> (Tenant, Value) {
    let tenant = small_tenant(cluster, &site.data_dir(), "shop", 3);
    let large: Vec<String> = (0..LARGE).map(|_| tenant.filestore().put(&noise(3))).collect();
    let first = back_up(site, 9, &["--kind", "filestore"]);
    large.iter().for_each(|name| fs::remove_file(tenant.filestore().path(name)).unwrap());
    (tenant, first)
}

#[test]
fn what_is_left_of_an_old_filestore_is_stored_again_and_the_old_one_expires() {
    let cluster = Cluster::start_default();
    let mut site = Site::local(&cluster);
    let (_, first) = with_large_files(&cluster, &site);
    site.set("LIFEBOAT_BACKUP_FILESTORE_COMPACT", "0");
    assert!(needs(&back_up(&site, 8, &["--kind", "filestore"]), &first), "it is off");
    site.set("LIFEBOAT_BACKUP_FILESTORE_COMPACT", "25");
    site.set("LIFEBOAT_BACKUP_FILESTORE_COMPACT_MAX", "1MiB");
    assert!(needs(&back_up(&site, 7, &["--kind", "filestore"]), &first), "more than one run may store again");
    site.set("LIFEBOAT_BACKUP_FILESTORE_COMPACT_MAX", "100MiB");
    let compact = back_up(&site, 4, &[]);
    assert!(!needs(&compact, &first), "{compact}");
    assert!(
        compact["filestore"]["files"].as_u64() == compact["filestore"]["new_files"].as_u64(),
        "{compact}"
    );
    let after = back_up(&site, 0, &[]);
    assert!(needs(&after, &compact) && !needs(&after, &first), "{after}");
    assert_eq!(after["filestore"]["new_files"], 0, "nothing is stored twice: {after}");

    let text = fs::read_to_string(site.config()).unwrap();
    let class = "\n[class.all]\ntenants = ['*']\nwindow = '2d'\ndaily = 1\nweekly = 0\nmonthly = 0\n";
    fs::write(site.config(), format!("{text}{class}")).unwrap();
    site.run(&["expire", "--yes", "--max-percent", "100"]).run().ok();
    site.run(&["expire", "--yes"]).off_by("+25h").run().ok();
    assert!(!site.stored.join("instances/prod/snapshots").join(id(&first)).exists());
    let identity = ["--identity", "lifeboat-identity.txt"];
    site.run(&["verify", "--deep", "--no-progress"]).args(identity).run().ok();
    site.run(&["restore", "--tenant", "shop", "--as", "copy", "--yes"]).args(identity).run().ok();
    for folder in ["shop", "copy"] {
        let files = site.data_dir().join("filestore").join(folder);
        let mut count = 0;
        walk(&files, &mut |path| {
            count += usize::from(path.is_file() && !path.to_string_lossy().contains("checklist"))
        });
        assert!(count > 100, "{folder}: {count}");
    }
}

#[test]
fn a_file_that_was_damaged_on_the_disk_stays_where_it_is_stored() {
    let cluster = Cluster::start_default();
    let site = Site::local(&cluster);
    let (tenant, first) = with_large_files(&cluster, &site);
    let content = noise(1);
    let name = tenant.filestore().put(&content);
    let second = back_up(&site, 8, &["--kind", "filestore", "--full"]);
    assert!(!needs(&second, &first) && second["filestore"]["full_because"] == "--full was given", "{second}");

    // Most of what the second holds goes; of the rest, one file is damaged.
    let mut others: Vec<PathBuf> = Vec::new();
    walk(&site.data_dir().join("filestore/shop"), &mut |path| {
        others.extend((path.is_file() && !path.ends_with(&name)).then(|| path.to_owned()));
    });
    let kept = others.pop().unwrap();
    others.iter().for_each(|path| fs::remove_file(path).unwrap());
    fs::write(tenant.filestore().path(&name), noise(1)).unwrap();
    let site_env = site.run(&["backup", "--kind", "filestore", "--tenant", "shop", "--json"]);
    let run = site_env.env("LIFEBOAT_BACKUP_FILESTORE_COMPACT", "90").run();
    let third = run.json()["tenants"][0]["filestore"].clone();
    assert!(needs(&third, &second), "the only undamaged copy is there: {run}");
    assert!(kept.is_file());
    let restore = ["restore", "--tenant", "shop", "--filestore-only", "--as", "copy", "--yes"];
    site.run(&restore).args(["--identity", "lifeboat-identity.txt"]).run().ok();
    let restored = fs::read(site.data_dir().join("filestore/copy").join(&name)).unwrap();
    assert!(restored == content, "as it was stored before the damage");
}
