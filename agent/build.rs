//! Notes which git commit is built, for `lifeboat version`.
//!
//! It runs again only when HEAD moves. Whoever builds outside of a git repository can set `LIFEBOAT_COMMIT`.

use std::path::Path;

#[path = "build/head.rs"]
mod head;

fn main() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let head = head::of(&root);
    println!("cargo::rerun-if-changed=build");
    println!("cargo::rerun-if-env-changed=LIFEBOAT_COMMIT");
    for path in &head.watch {
        println!("cargo::rerun-if-changed={}", path.display());
    }
    let given = std::env::var("LIFEBOAT_COMMIT").ok().filter(|commit| head::is_commit(commit));
    let commit = given.or(head.commit).unwrap_or_else(|| "unknown".to_owned());
    println!("cargo::rustc-env=LIFEBOAT_COMMIT={commit}");
}
