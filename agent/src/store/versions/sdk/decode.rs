//! Keys as listings encode them.

/// Decodes `%2F`; what is no such code stays as it is, and so does text that is not UTF-8 then.
pub(super) fn percent(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let code = after.get(..2).and_then(|hex| std::str::from_utf8(hex).ok());
        // from_str_radix takes a sign.
        let code = code.filter(|hex| hex.bytes().all(|b| b.is_ascii_hexdigit()));
        match (first, code.and_then(|hex| u8::from_str_radix(hex, 16).ok())) {
            (b'%', Some(byte)) => {
                bytes.push(byte);
                rest = &after[2..];
            }
            // As in forms.
            (b'+', _) => {
                bytes.push(b' ');
                rest = after;
            }
            (byte, _) => {
                bytes.push(*byte);
                rest = after;
            }
        }
    }
    String::from_utf8(bytes).unwrap_or_else(|_| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_decoded_and_all_else_stays() {
        for (text, plain) in [
            ("a/b-c_d.e", "a/b-c_d.e"),
            ("a%2Fb%3Ac%2B", "a/b:c+"),
            ("a+b", "a b"),
            ("%0a%00", "\n\0"),
            ("100%", "100%"),
            ("%zz%+1%1", "%zz% 1%1"),
            ("%ff", "%ff"),
        ] {
            assert_eq!(percent(text), plain, "{text}");
        }
    }
}
