//! Damage to stored files, as disks, people and attackers do it.

use std::fs::{self, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::Path;

/// Flips one bit of a file in place; `bit` counts from the start of the file.
///
/// # Panics
/// When the file has no such bit.
pub fn flip_bit(path: &Path, bit: u64) {
    let file =
        OpenOptions::new().read(true).write(true).open(path).unwrap_or_else(|e| panic!("{path:?}: {e}"));
    let mut byte = [0];
    file.read_exact_at(&mut byte, bit / 8).unwrap_or_else(|e| panic!("{path:?} has no bit {bit}: {e}"));
    file.write_all_at(&[byte[0] ^ (1 << (bit % 8))], bit / 8).unwrap();
}

/// Cuts a file to its first `bytes`.
pub fn cut(path: &Path, bytes: u64) {
    assert!(path.metadata().unwrap().len() > bytes, "{path:?} has no more than {bytes} bytes");
    OpenOptions::new().write(true).open(path).unwrap().set_len(bytes).unwrap();
}

/// Puts the content of each of two files under the name of the other.
pub fn swap(a: &Path, b: &Path) {
    let (left, right) = (fs::read(a).unwrap(), fs::read(b).unwrap());
    fs::write(a, right).unwrap();
    fs::write(b, left).unwrap();
}
