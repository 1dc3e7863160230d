//! `lifeboat verify`, and `list` and `show` beside it, over real backups that were damaged, forged
//! or are out of reach: whatever is not as it was signed is found and named, whatever could not be
//! looked at is called so, and neither is ever said to be right.

mod damage;
mod drills;
mod forge;
mod forged;
mod memory;
mod odd;
mod place;
mod progress;
mod reach;
mod remembered;
mod remote;
mod show;
mod wal;

use std::path::{Path, PathBuf};

use lifeboat_tests::Outcome;
use lifeboat_tests::site::Site;

/// Every stored object but the lease, which nothing is restored from.
pub fn objects(root: &Path) -> Vec<PathBuf> {
    let mut out = Vec::new();
    lifeboat_tests::compare::walk(root, &mut |path| out.push(path.to_owned()));
    out.retain(|p| p.is_file() && !p.ends_with("lease"));
    out.sort();
    out
}

/// The objects whose key contains this text.
pub fn those<'a>(all: &'a [PathBuf], text: &str) -> Vec<&'a PathBuf> {
    let found: Vec<_> = all.iter().filter(|path| path.to_string_lossy().contains(text)).collect();
    assert!(!found.is_empty(), "no {text} in {all:?}");
    found
}

/// `lifeboat verify` with these arguments.
pub fn verify(site: &Site, args: &[&str]) -> Outcome {
    site.run(&["verify", "--no-progress"]).args(args.to_vec()).run()
}

/// Verify must name the object as foreign, without any loss, and end with this code.
#[track_caller]
pub fn foreign(site: &Site, args: &[&str], object: &Path, code: i32) -> Outcome {
    let outcome = verify(site, args).exits(code);
    let key = object.strip_prefix(&site.stored).unwrap().to_string_lossy().into_owned();
    assert!(outcome.stdout.contains(&format!("foreign: {key}\n")), "{key} is not named: {outcome}");
    assert!(!outcome.stdout.contains("bad: "), "nothing is lost by it: {outcome}");
    outcome
}

/// Verify must end with 10 and name the object as bad.
#[track_caller]
pub fn found(site: &Site, args: &[&str], object: &Path) -> Outcome {
    let outcome = verify(site, args).exits(10);
    let key = object.strip_prefix(&site.stored).unwrap().to_string_lossy().into_owned();
    assert!(outcome.stdout.contains(&format!("bad: {key}\n")), "{key} is not named: {outcome}");
    outcome
}
