//! File names as text: any bytes, reversibly, and sorted the same everywhere.

use crate::error::{Error, Kind, Result};

/// A relative path of any bytes as text that can stand in a line of JSON or on a terminal: bytes
/// that are not UTF-8, control characters and `%` become `%XX`; all else, `/` too, stays. Two
/// paths never give the same text.
pub fn escape_path(path: &[u8]) -> String {
    let mut out = String::with_capacity(path.len());
    for chunk in path.utf8_chunks() {
        for c in chunk.valid().chars() {
            if c.is_control() || c == '%' {
                c.encode_utf8(&mut [0; 4]).bytes().for_each(|byte| push(&mut out, byte));
            } else {
                out.push(c);
            }
        }
        chunk.invalid().iter().for_each(|byte| push(&mut out, *byte));
    }
    out
}

fn push(out: &mut String, byte: u8) {
    out.push_str(&format!("%{byte:02X}"));
}

/// The bytes of an escaped path.
///
/// # Errors
/// `Integrity` for a text that [`escape_path`] never gives, so that a path has one spelling.
pub fn unescape_path(text: &str) -> Result<Vec<u8>> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        if byte != b'%' {
            out.push(byte);
            continue;
        }
        let hex = after.get(..2).and_then(|two| std::str::from_utf8(two).ok());
        let Some(byte) =
            hex.filter(|two| !two.starts_with('+')).and_then(|two| u8::from_str_radix(two, 16).ok())
        else {
            return Err(wrong(text));
        };
        out.push(byte);
        rest = &after[2..];
    }
    match escape_path(&out) == text {
        true => Ok(out),
        false => Err(wrong(text)),
    }
}

fn wrong(text: &str) -> Error {
    Error::new(Kind::Integrity, format!("{text:?} is not an escaped path"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn readable_names_stay_readable() {
        assert_eq!(escape_path("ab/été 1.pdf".as_bytes()), "ab/été 1.pdf");
        assert_eq!(escape_path(b"a%b\n\xff\x7f"), "a%25b%0A%FF%7F");
        assert_eq!(escape_path("\u{85}".as_bytes()), "%C2%85");
    }

    #[test]
    fn every_path_comes_back_and_no_two_share_a_text() {
        let mut seed = 7u64;
        let mut random = move || {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (seed >> 33) as usize
        };
        let alphabet =
            [b'a', b'%', b'2', b'5', b'F', b'/', 0, b'\n', 0x7f, 0x80, 0xc2, 0x85, 0xc3, 0xa9, 0xff];
        let mut seen = std::collections::HashMap::new();
        for _ in 0..20_000 {
            let path: Vec<u8> = (0..random() % 7).map(|_| alphabet[random() % alphabet.len()]).collect();
            let text = escape_path(&path);
            assert_eq!(unescape_path(&text).unwrap(), path);
            assert!(!text.chars().any(char::is_control));
            assert_eq!(seen.entry(text).or_insert_with(|| path.clone()), &path);
        }
    }

    #[test]
    fn other_spellings_are_refused() {
        for bad in ["%", "%4", "%zz", "%+1", "%41", "%ff", "a\nb", "%C3%A9"] {
            assert!(unescape_path(bad).is_err(), "{bad:?}");
        }
    }
}
