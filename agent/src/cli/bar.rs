//! The progress bar that is on the screen, and what is printed above it.

use std::sync::{Mutex, PoisonError};

use indicatif::ProgressBar;

/// The bar that is on the screen, if one is; what else is printed goes above it.
pub(super) static BAR: Mutex<Option<ProgressBar>> = Mutex::new(None);

/// Runs `print` with the bar out of its way.
pub fn above_bar<T>(print: impl FnOnce() -> T) -> T {
    let bar = BAR.lock().unwrap_or_else(PoisonError::into_inner).clone();
    match bar {
        Some(bar) => bar.suspend(print),
        None => print(),
    }
}
