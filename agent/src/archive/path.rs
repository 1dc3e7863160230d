//! Paths as the archive writes them: text that is the same in a shell, JSON and tar, and that can never lead
//! out of the directory it is restored into.

use crate::error::{Error, Kind, Result};

/// Longest escaped path that is read from an archive.
const PATH_BYTES_MAX: usize = 4096;

/// Writes the bytes of a relative path as text: UTF-8 is kept, except for control characters, `%`, `"` and
/// `\`; these, and every byte that is not UTF-8, become `%XX`. Reversible ([`unescape`]).
pub fn escape(path: &[u8]) -> String {
    let mut out = String::with_capacity(path.len());
    for chunk in path.utf8_chunks() {
        for c in chunk.valid().chars() {
            match c {
                '%' | '"' | '\\' => out.push_str(&format!("%{:02X}", c as u32)),
                c if c.is_control() => {
                    let mut utf8 = [0; 4];
                    for byte in c.encode_utf8(&mut utf8).bytes() {
                        out.push_str(&format!("%{byte:02X}"));
                    }
                }
                c => out.push(c),
            }
        }
        for byte in chunk.invalid() {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

/// The bytes of a path written by [`escape`], refused unless it is relative, without empty, `.` or `..`
/// components and without NUL: joined to a directory it stays inside.
pub fn unescape(text: &str) -> Result<Vec<u8>> {
    let refuse = |why: &str| {
        let shown: String = text.chars().take(200).collect();
        Err(Error::new(Kind::Integrity, format!("archive path {shown:?} {why}"))
            .effect("the file is not restored: its name could lead outside the target directory"))
    };
    if text.len() > PATH_BYTES_MAX {
        return refuse("is too long");
    }
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        if byte != b'%' {
            out.push(byte);
            continue;
        }
        let digits = [bytes.next().unwrap_or(0), bytes.next().unwrap_or(0)];
        match std::str::from_utf8(&digits).ok().and_then(|d| u8::from_str_radix(d, 16).ok()) {
            Some(value) if digits[0] != b'+' => out.push(value),
            _ => return refuse("has a % that is not followed by two hex digits"),
        }
    }
    if out.contains(&0) {
        return refuse("contains a NUL");
    }
    if out.split(|b| *b == b'/').any(|part| part.is_empty() || part == b"." || part == b"..") {
        return refuse("is not a plain relative path");
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escaping_is_reversible() {
        for path in [
            &b"3f/3fab"[..],
            b"a b",
            "\u{e9}\u{1F600}".as_bytes(),
            b"\xff\xfe%/x\ny",
            b"q\"\\",
            b"-/.x",
            b"\xc2\x85",
        ] {
            let text = escape(path);
            assert!(!text.contains(['"', '\\', '\n']), "{text}");
            assert_eq!(unescape(&text).unwrap(), path);
        }
    }

    #[test]
    fn what_could_leave_the_target_is_refused() {
        for bad in [
            "",
            "/etc/passwd",
            "../x",
            "a/../b",
            "a//b",
            "a/",
            "./a",
            "a%00b",
            "%2e%2e/x",
            "a%2f..%2fb",
            "%2F",
            "%",
            "%+1",
            "%zz",
        ] {
            assert!(unescape(bad).is_err(), "{bad}");
        }
    }
}
