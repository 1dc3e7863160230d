//! The image that deploy/kubernetes/README.md asks for: `lifeboat`, PostgreSQL's client programs, a shell, CA
//! certificates, and the libraries that the programs name. Nothing else: what else a file of ours needs would
//! be missing here.

use std::collections::BTreeSet;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use lifeboat_tests::program::bin_dir;
use lifeboat_tests::{Cluster, Program};

/// Where programs look for the certificates of Debian's `ca-certificates`.
const CERTIFICATES: &str = "/etc/ssl/certs/ca-certificates.crt";
/// PostgreSQL's programs that an agent starts.
const CLIENTS: [&str; 4] = ["pg_dump", "pg_dumpall", "pg_restore", "psql"];

/// Fills a root directory for pods, which the node reads.
pub fn fill(root: &Path, cluster: &Cluster) {
    let mut programs = vec![(bin_dir().join("lifeboat"), PathBuf::from("/usr/bin/lifeboat"))];
    programs.push(("/bin/sh".into(), "/bin/sh".into()));
    // The containers of Odoo's stand-in do nothing but wait.
    programs.push(("/bin/sleep".into(), "/usr/bin/sleep".into()));
    programs.extend(CLIENTS.map(|name| (cluster.bin(name), cluster.bin(name))));
    let libraries: BTreeSet<PathBuf> = programs.iter().flat_map(|(program, _)| libraries(program)).collect();
    programs.extend(libraries.into_iter().map(|path| (path.clone(), path)));
    let files = programs.into_iter().chain([(CERTIFICATES.into(), CERTIFICATES.into())]);
    for (from, to) in files {
        let to = root.join(to.strip_prefix("/").unwrap());
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        fs::copy(from, to).unwrap();
    }
    fs::create_dir(root.join("tmp")).unwrap();
    fs::set_permissions(root.join("tmp"), Permissions::from_mode(0o1777)).unwrap();
}

/// The libraries of a program, by the paths at which it looks for them.
fn libraries(program: &Path) -> Vec<PathBuf> {
    let told = Program::at("/usr/bin/ldd".into()).arg(program).run().ok().stdout;
    let words = told.lines().filter_map(|line| line.split_whitespace().find(|word| word.starts_with('/')));
    words.map(PathBuf::from).collect()
}
