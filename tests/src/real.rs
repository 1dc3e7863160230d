//! Dumps of real Odoo tenants, where this machine has some.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::filestore::make_dir;
use crate::tenant::Tenant;
use crate::{Cluster, children, program, skip};

/// How long unpacking a filestore may take.
const UNPACK_LIMIT: Duration = Duration::from_secs(300);

/// The names of the real tenants: a folder holds `<name>.dump` (`pg_dump -Fc`) and
/// `<name>.filestore.tar.zst` of each. The folder is `TEST_ODOO_TENANTS`, else `../shared/odoo`
/// beside the project.
pub fn real_tenants() -> Vec<String> {
    let Some(entries) = folder().and_then(|folder| std::fs::read_dir(folder).ok()) else { return Vec::new() };
    let names = entries.flatten().filter_map(|entry| entry.file_name().into_string().ok());
    let mut names: Vec<_> = names.filter_map(|name| name.strip_suffix(".dump").map(str::to_owned)).collect();
    names.retain(|name| {
        folder().is_some_and(|folder| folder.join(format!("{name}.filestore.tar.zst")).exists())
    });
    names.sort();
    names
}

/// The folder with real tenants, where there is one.
pub fn folder() -> Option<PathBuf> {
    let named = std::env::var_os("TEST_ODOO_TENANTS").map(PathBuf::from);
    let folder = named.unwrap_or_else(|| program::workspace_root().join("../shared/odoo"));
    folder.is_dir().then_some(folder)
}

/// Loads every real tenant under its own name; their names, none where this machine has none.
///
/// # Panics
/// As [`load_real`].
pub fn load_all_real(cluster: &Cluster, data_dir: &Path) -> Vec<String> {
    let names = real_tenants().into_iter();
    names.filter(|name| load_real(cluster, data_dir, name, name).is_some()).collect()
}

/// Loads a real tenant as database `as_name` with its filestore below `data_dir`. `None`, with
/// the skip printed and counted, where this machine does not have it.
///
/// # Panics
/// When it is there and cannot be loaded.
pub fn load_real(cluster: &Cluster, data_dir: &Path, name: &str, as_name: &str) -> Option<Tenant> {
    let Some(folder) = folder().filter(|_| real_tenants().iter().any(|found| found == name)) else {
        skip::announce(
            "real tenants",
            &format!("no {name}.dump and filestore; TEST_ODOO_TENANTS names their folder"),
        );
        return None;
    };
    let tenant = Tenant { name: as_name.to_owned(), data_dir: data_dir.to_owned() };
    cluster.create_db(as_name);
    let dump = folder.join(format!("{name}.dump"));
    cluster.run("pg_restore", &["--no-owner", "--exit-on-error", "-d", as_name, dump.to_str().unwrap()]);

    make_dir(tenant.filestore().dir());
    let mut tar = Command::new("tar");
    tar.args(["-I", "zstd", "--no-same-owner", "-xf"]).arg(folder.join(format!("{name}.filestore.tar.zst")));
    tar.arg("-C").arg(tenant.filestore().dir());
    let done = children::finish(tar, Vec::new(), UNPACK_LIMIT);
    assert!(
        done.status.success(),
        "unpack the filestore of {name}: {}",
        String::from_utf8_lossy(&done.stderr)
    );
    Some(tenant)
}
