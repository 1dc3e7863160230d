//! Which keys are valid: names that are safe in a URL and in any file system.

use crate::error::{Error, Kind, Result};

/// S3's own limit, minus room for the store's prefix.
const KEY_BYTES_MAX: usize = 900;
/// The longest file name, minus what a staged file adds to it.
const SEGMENT_BYTES_MAX: usize = 240;

/// Refuses a key that could lead elsewhere or that a store could take for another one.
pub(super) fn check(key: &str) -> Result<()> {
    match fault(key) {
        None => Ok(()),
        Some(why) => {
            let shown: String = key.chars().take(200).collect();
            Err(Error::new(Kind::Usage, format!("{shown:?} cannot be a key: {why}")))
        }
    }
}

/// A directory to list: a key, or empty; one trailing slash is dropped.
pub(super) fn prefix(text: &str) -> Result<&str> {
    let text = text.strip_suffix('/').unwrap_or(text);
    if !text.is_empty() {
        check(text)?;
    }
    Ok(text)
}

/// Why this is not a valid key.
pub(super) fn fault(key: &str) -> Option<&'static str> {
    if key.is_empty() {
        return Some("it is empty");
    }
    if key.len() > KEY_BYTES_MAX {
        return Some("it is longer than 900 bytes");
    }
    key.split('/').find_map(|segment| match segment {
        "" => Some("it has an empty segment"),
        "." | ".." => Some("it has a segment . or .."),
        _ if segment.len() > SEGMENT_BYTES_MAX => Some("it has a segment longer than 240 bytes"),
        _ if !segment.bytes().all(allowed) => Some("it has a character other than A-Z a-z 0-9 . _ - + : @ ="),
        _ => None,
    })
}

// `#` is not among them: it marks staged files.
fn allowed(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"._-+:@=".contains(&byte)
}

/// `a/b` of `a` and `b`; either may be empty.
pub(super) fn join(prefix: &str, key: &str) -> String {
    match (prefix, key) {
        ("", key) => key.to_owned(),
        (prefix, "") => prefix.to_owned(),
        (prefix, key) => format!("{prefix}/{key}"),
    }
}

/// The part below `prefix`: `b/c` of `a/b/c` and `a`.
pub(super) fn below<'a>(prefix: &str, key: &'a str) -> Option<&'a str> {
    let rest = match prefix {
        "" => key,
        _ => key.strip_prefix(prefix)?.strip_prefix('/')?,
    };
    (!rest.is_empty()).then_some(rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_stay_in_their_place() {
        for good in ["a", "a/b", "instances/x/releases/2026.1-rc+b:7@x/f.json", "..a/b..", "a=b"] {
            assert_eq!(fault(good), None, "{good}");
        }
        for bad in
            ["", "/a", "a/", "a//b", "../a", "a/../b", "./a", "a\\b", "a b", "a\nb", "a#1", "é", "%2e%2e"]
        {
            assert!(check(bad).is_err(), "{bad:?}");
        }
        assert!(check(&"x".repeat(241)).is_err());
        assert!(check(&"x/".repeat(460)).is_err());
        assert_eq!(prefix("a/b/").unwrap(), "a/b");
        assert_eq!(prefix("").unwrap(), "");
        assert!(prefix("a//").is_err());
    }

    #[test]
    fn below_takes_whole_segments() {
        assert_eq!(below("a", "a/b"), Some("b"));
        assert_eq!(below("a", "ab/c"), None);
        assert_eq!(below("a", "a/"), None);
        assert_eq!(below("", "a/b"), Some("a/b"));
    }
}
