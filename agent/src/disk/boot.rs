//! Which boot of the machine this is, and how long ago it was: clocks that nobody can set.

use std::path::Path;
use std::time::Duration;

use crate::disk::read_text;
use crate::error::{Error, Kind, Result};

/// A new one after each start of the kernel.
pub fn boot_id() -> Result<String> {
    Ok(read_text(Path::new("/proc/sys/kernel/random/boot_id"), 100)?.trim().to_owned())
}

/// How long the kernel has been running, to a hundredth of a second, including time in which the machine was
/// suspended. Setting the clock does not change it.
pub fn uptime() -> Result<Duration> {
    let path = Path::new("/proc/uptime");
    let text = read_text(path, 100)?;
    let seconds = text.split_whitespace().next().and_then(|word| word.parse().ok());
    seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok()).ok_or_else(|| {
        Error::new(Kind::Io, format!("{} does not contain the uptime", path.display())).because(text)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_tells_both() {
        assert_eq!((boot_id().unwrap().len(), boot_id().unwrap()), (36, boot_id().unwrap()));
        let before = uptime().unwrap();
        assert!(before > Duration::ZERO && uptime().unwrap() >= before);
    }
}
