//! Places that others can write to, prepared by them: a restore, mostly as root, takes nothing there for its
//! own, and touches nothing that they point it to.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};

use lifeboat_tests::compare::walk;
use lifeboat_tests::damage::flip_bit;
use lifeboat_tests::site::{Site, words};
use lifeboat_tests::{Cluster, skip, small_tenant};

use crate::restore;

const ARGS: [&str; 5] = ["--tenant", "shop", "--as", "x", "--no-neutralize"];
/// Somebody who is neither root nor us.
const SOMEBODY: u32 = 4_000_000;

/// A directory elsewhere that a restore could be led to.
struct Outside(PathBuf);

impl Outside {
    fn make(site: &Site) -> Outside {
        let dir = site.path("outside");
        fs::create_dir_all(dir.join("sub")).unwrap();
        fs::write(dir.join("file"), "precious").unwrap();
        fs::write(dir.join("sub/file"), "precious").unwrap();
        Outside(dir)
    }

    #[track_caller]
    fn assert_untouched(&self) {
        let mut files = Vec::new();
        walk(&self.0, &mut |path| files.push(path.strip_prefix(&self.0).unwrap().to_owned()));
        files.sort();
        assert_eq!(files, ["file", "sub/file"].map(PathBuf::from));
        for file in files {
            assert_eq!(fs::read_to_string(self.0.join(file)).unwrap(), "precious");
        }
        assert_eq!(fs::metadata(&self.0).unwrap().uid(), rustix::process::geteuid().as_raw());
    }
}

fn mode(path: &Path, mode: u32) {
    fs::set_permissions(path, PermissionsExt::from_mode(mode)).unwrap();
}

fn staging(site: &Site) -> Vec<PathBuf> {
    let entries = fs::read_dir(site.data_dir().join("filestore")).unwrap();
    let paths = entries.map(|entry| entry.unwrap().path());
    paths.filter(|path| path.to_string_lossy().ends_with(".lifeboat-incomplete")).collect()
}

#[test]
fn a_link_as_staging_directory_of_an_earlier_try_leads_nowhere() {
    let cluster = Cluster::start_default();
    let site = Site::local(&cluster);
    small_tenant(&cluster, &site.data_dir(), "shop", 7);
    site.back_up(&[]);
    let outside = Outside::make(&site);
    let filestores = site.data_dir().join("filestore");
    // names that could be guessed, prepared
    for name in ["x.lifeboat-incomplete", "x.lifeboat-moved", "x.lifeboat-moved.new"] {
        symlink(
            if name.ends_with("new") { outside.0.join("file") } else { outside.0.clone() },
            filestores.join(name),
        )
        .unwrap();
    }
    // an earlier try that ended half-way
    let mut packs = Vec::new();
    walk(&site.stored, &mut |path| packs.push(path.to_owned()));
    packs.retain(|path| {
        path.to_string_lossy().contains("-filestore-") && path.to_string_lossy().contains("packs")
    });
    let bits = fs::metadata(&packs[0]).unwrap().len() * 4;
    flip_bit(&packs[0], bits);
    let failed = restore(&site, &ARGS).run();
    assert_ne!(failed.code, Some(0));
    flip_bit(&packs[0], bits);
    let left: Vec<_> = staging(&site).into_iter().filter(|path| !path.is_symlink()).collect();
    let [left] = left.as_slice() else { panic!("{left:?}: {failed}") };
    assert_eq!(fs::metadata(left).unwrap().mode() & 0o7777, 0o700, "closed while it is made");
    // Odoo's user puts a link in its place
    fs::rename(left, filestores.join("aside")).unwrap();
    symlink(&outside.0, left).unwrap();
    restore(&site, &ARGS).run().ok();
    outside.assert_untouched();
    assert!(left.is_symlink(), "nobody's business");
    // and where the target itself is a link, it is refused
    symlink(&outside.0, filestores.join("y")).unwrap();
    let refused = restore(&site, &["--tenant", "shop", "--as", "y", "--no-neutralize"]).run();
    assert!(refused.stderr.contains("not empty"), "{refused}");
    outside.assert_untouched();
}

#[test]
fn no_bits_of_a_mode_that_odoos_user_set_come_back() {
    let cluster = Cluster::start_default();
    let site = Site::local(&cluster);
    let tenant = small_tenant(&cluster, &site.data_dir(), "shop", 7);
    let odoo = if chown(site.data_dir(), Some(SOMEBODY), Some(SOMEBODY)).is_ok() {
        SOMEBODY
    } else {
        rustix::process::geteuid().as_raw()
    };
    fs::create_dir(tenant.filestore().dir().join("tools")).unwrap();
    for bits in [0o4755, 0o2755, 0o6777, 0o1777, 0o666, 0o600] {
        let file = tenant.filestore().path(&format!("tools/{bits:o}"));
        fs::write(&file, "#!/bin/sh\n").unwrap();
        mode(&file, bits);
    }
    site.back_up(&[]);
    restore(&site, &ARGS).run().ok();
    let mut seen = 0;
    walk(&site.data_dir().join("filestore/x"), &mut |path| {
        let meta = fs::symlink_metadata(path).unwrap();
        assert_eq!(meta.mode() & 0o7133, 0, "{} is {:o}", path.display(), meta.mode());
        assert_eq!(meta.uid(), odoo, "{}", path.display());
        seen += usize::from(path.to_string_lossy().contains("tools/"));
    });
    assert_eq!(seen, 6);
    let restored = fs::metadata(site.data_dir().join("filestore/x")).unwrap();
    assert_eq!((restored.uid(), restored.mode() & 0o7022), (odoo, 0));
}

#[test]
fn a_work_directory_is_ours_by_its_record_and_never_by_its_name() {
    let cluster = Cluster::start_default();
    let mut site = Site::local(&cluster);
    small_tenant(&cluster, &site.data_dir(), "shop", 7);
    site.back_up(&[]);
    let outside = Outside::make(&site);
    let work = site.path("work");
    fs::create_dir(&work).unwrap();
    site.set("LIFEBOAT_RESTORE_WORK_DIR", work.display());
    // prepared: everything that a restore was called here once, and a record that tells it to remove what
    // lies elsewhere
    symlink(&outside.0, work.join("x.restore")).unwrap();
    symlink(outside.0.join("file"), work.join("x.lock")).unwrap();
    let scratch = site.path("lifeboat-scratch-0");
    fs::create_dir(&scratch).unwrap();
    fs::write(work.join("evil.scratch"), scratch.display().to_string()).unwrap();

    // anybody could exchange what lies in it
    mode(&work, 0o777);
    let refused = restore(&site, &ARGS).run();
    assert!(refused.code == Some(16), "{refused}");
    assert!(
        words(&refused).contains("is not safe as a work directory of a restore")
            && words(&refused).contains("chmod go-w"),
        "{refused}"
    );
    if chown(&work, Some(SOMEBODY), None).is_ok() {
        mode(&work, 0o755);
        let refused = restore(&site, &ARGS).run();
        assert!(words(&refused).contains(&format!("belongs to user {SOMEBODY}")), "{refused}");
        chown(&work, Some(0), None).unwrap();
    } else {
        skip::announce("a work directory of somebody else's", "only root can make one");
    }
    // as /var/tmp is
    mode(&work, 0o1777);
    restore(&site, &ARGS).run().ok();
    outside.assert_untouched();
    assert!(scratch.is_dir() && work.join("x.restore").is_symlink());
    let mut left: Vec<_> = fs::read_dir(&work).unwrap().map(|e| e.unwrap().file_name()).collect();
    left.sort();
    assert_eq!(left, ["evil.scratch", "x.lock", "x.restore"], "what was made there is gone");
}
