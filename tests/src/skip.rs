//! Tests that this machine cannot run, said so and counted.

/// Prints `SKIPPED <module>: <reason>` on standard error, past the test runner's capture, and
/// returns from the test. A runner counts the lines that start with `SKIPPED`; a skip is never
/// silent and never looks like a pass.
#[macro_export]
macro_rules! skip {
    ($($reason:tt)+) => {{
        $crate::skip::announce(module_path!(), &format!($($reason)+));
        return;
    }};
}

/// Prints the line of [`skip!`]. It is for a skip inside something that goes on with other cases.
pub fn announce(place: &str, reason: &str) {
    use std::io::Write;
    // eprintln! would be captured and shown for failing tests only
    let line = format!("SKIPPED {place}: {}\n", reason.replace('\n', " "));
    let _ = std::io::stderr().write_all(line.as_bytes());
}
