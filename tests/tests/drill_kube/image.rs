//! The image that docs/drills-kubernetes.md asks for: both programs, PostgreSQL's server of the source's
//! version, a shell, `cp`, `mv`, `sleep`, `id`, CA certificates, time zones, and the
//! libraries that the programs name; kubectl, for a drill that runs from within the cluster.

use std::collections::BTreeSet;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use lifeboat_tests::program::bin_dir;
use lifeboat_tests::{Cluster, Program};

const FILES: [&str; 7] = [
    "/bin/sh",
    "/bin/cp",
    "/bin/mv",
    "/bin/sleep",
    "/usr/bin/id",
    "/etc/ssl/certs/ca-certificates.crt",
    "/usr/share/zoneinfo/UTC",
];

/// Fills a root directory for pods.
pub fn fill(root: &Path, cluster: &Cluster, kubectl: &Path) {
    let mut programs = vec![(kubectl.to_owned(), PathBuf::from("/usr/bin/kubectl"))];
    for name in ["lifeboat", "restore-drill"] {
        programs.push((bin_dir().join(name), PathBuf::from("/usr/bin").join(name)));
    }
    programs.extend(FILES.map(|file| (file.into(), file.into())));
    let of_postgres = cluster.bin_dir().parent().unwrap();
    let share = PathBuf::from("/usr/share/postgresql").join(of_postgres.file_name().unwrap());
    for dir in [of_postgres.to_owned(), share] {
        below(&dir, &mut |file| programs.push((file.to_owned(), file.to_owned())));
    }
    let libraries: BTreeSet<PathBuf> = programs.iter().flat_map(|(program, _)| libraries(program)).collect();
    programs.extend(libraries.into_iter().map(|path| (path.clone(), path)));
    for (from, to) in programs {
        let to = root.join(to.strip_prefix("/").unwrap());
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        fs::copy(from, to).unwrap();
    }
    fs::create_dir_all(root.join("tmp")).unwrap();
    fs::set_permissions(root.join("tmp"), Permissions::from_mode(0o1777)).unwrap();
    fs::create_dir_all(root.join("etc")).unwrap();
    fs::write(root.join("etc/passwd"), "root:x:0:0:root:/root:/bin/sh\n").unwrap();
}

fn below(dir: &Path, file: &mut dyn FnMut(&Path)) {
    let names = ["man", "bitcode"]; // large, and no program reads them
    for entry in fs::read_dir(dir).unwrap().flatten() {
        let (path, name) = (entry.path(), entry.file_name());
        match path.is_dir() {
            true if names.iter().any(|left_out| name == *left_out) => {}
            true => below(&path, file),
            false => file(&path),
        }
    }
}

/// The libraries of a program or of a library, by the paths at which it looks for them.
fn libraries(file: &Path) -> Vec<PathBuf> {
    let is_program = fs::read(file).is_ok_and(|bytes| bytes.starts_with(b"\x7fELF"));
    if !is_program {
        return Vec::new();
    }
    // kubectl is static: ldd says so, and fails.
    let told = Program::at("/usr/bin/ldd".into()).arg(file).run().stdout;
    let words = told.lines().filter_map(|line| line.split_whitespace().find(|word| word.starts_with('/')));
    words.map(PathBuf::from).collect()
}
