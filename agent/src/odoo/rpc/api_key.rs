//! API keys, as Odoo stores them: hashed, with the beginning of the key as the name of its row.

use base64ct::{Base64Unpadded, Encoding};
use hmac::{Hmac, Mac};
use sha2::Sha512;

/// Odoo's number of rounds (`KEY_CRYPT_CONTEXT`): a key is random, so few are enough.
const ROUNDS: u32 = 6000;
/// How much of the key is stored in the clear, to find its row.
const INDEX_CHARS: usize = 8;

/// What is stored of a key: its index, and its hash in passlib's form of PBKDF2 with SHA-512.
pub fn stored(key: &str, salt: &[u8; 16]) -> (String, String) {
    let ab64 = |bytes: &[u8]| Base64Unpadded::encode_string(bytes).replace('+', ".");
    let hash = pbkdf2(key.as_bytes(), salt, ROUNDS);
    let index = key.chars().take(INDEX_CHARS).collect();
    (index, format!("$pbkdf2-sha512${ROUNDS}${}${}", ab64(salt), ab64(&hash)))
}

/// The first block of PBKDF2 (RFC 8018, section 5.2): 64 bytes.
fn pbkdf2(password: &[u8], salt: &[u8], rounds: u32) -> [u8; 64] {
    let keyed = Hmac::<Sha512>::new_from_slice(password);
    let Ok(keyed) = keyed else { unreachable!("HMAC takes keys of any length") };
    let mac = |message: &[&[u8]]| -> [u8; 64] {
        let mut mac = keyed.clone();
        message.iter().for_each(|part| mac.update(part));
        mac.finalize().into_bytes().into()
    };
    let mut last = mac(&[salt, &1_u32.to_be_bytes()]);
    let mut out = last;
    for _ in 1..rounds {
        last = mac(&[&last]);
        out.iter_mut().zip(last).for_each(|(out, last)| *out ^= last);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_hashed_as_passlib_does() {
        // From passlib 1.7.4: pbkdf2_sha512.using(rounds=6000, salt=b"0123456789abcdef").hash("k" * 40)
        let (index, hash) = stored(&"k".repeat(40), b"0123456789abcdef");
        assert_eq!(index, "kkkkkkkk");
        assert_eq!(
            hash,
            "$pbkdf2-sha512$6000$MDEyMzQ1Njc4OWFiY2RlZg$vtm7/LD99GCYyMqfpm9vWP7oImdpzZzu6pt4aMsoWdxtQr1Df.Iunf8LtnA83FBg4lFRX9ekhmUcsHrZCAkxAA"
        );
    }
}
