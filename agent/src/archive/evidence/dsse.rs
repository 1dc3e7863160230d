//! DSSE envelopes (github.com/secure-systems-lab/dsse, version 1.0.2): what is signed are the payload's exact
//! bytes and its type, so no canonical form of JSON is needed.
//!
//! An envelope of ours has one form only: indented by two spaces, one signature, a line end. A reader that
//! accepts another form would accept altered bytes, and the digest of the stored object, which the next
//! checkpoint names, would not be one of the content.

use base64ct::{Base64, Encoding};
use serde::{Deserialize, Serialize};

use super::key::{EvidenceKey, TrustedEvidenceKeys};
use crate::error::{Error, Kind, Result};

/// The type of an in-toto Statement.
pub const PAYLOAD_TYPE: &str = "application/vnd.in-toto+json";
/// Largest envelope that is written or read.
pub const BYTES_MAX: u64 = 8 << 20;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Envelope {
    payload: String,
    payload_type: String,
    signatures: Vec<Signature>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Signature {
    keyid: String,
    sig: String,
}

/// What a trusted key signed.
#[derive(Debug, PartialEq, Eq)]
pub struct Opened {
    /// The payload's bytes.
    pub payload: Vec<u8>,
    /// The ID of the key.
    pub keyid: String,
}

/// The bytes that are signed: DSSE's pre-authentication encoding.
pub fn pae(payload_type: &str, payload: &[u8]) -> Vec<u8> {
    let mut out = format!("DSSEv1 {} {payload_type} {} ", payload_type.len(), payload.len()).into_bytes();
    out.extend_from_slice(payload);
    out
}

/// The envelope of a payload as it is stored.
///
/// # Errors
/// `Internal` where it is larger than [`BYTES_MAX`].
pub fn sign(payload: &[u8], key: &EvidenceKey) -> Result<Vec<u8>> {
    let sig = Base64::encode_string(&key.sign(&pae(PAYLOAD_TYPE, payload))?);
    let bytes = written(&Envelope {
        payload: Base64::encode_string(payload),
        payload_type: PAYLOAD_TYPE.to_owned(),
        signatures: vec![Signature { keyid: key.public().id().to_owned(), sig }],
    })?;
    match bytes.len() as u64 > BYTES_MAX {
        true => Err(Error::new(Kind::Internal, format!("the evidence is larger than {BYTES_MAX} bytes"))),
        false => Ok(bytes),
    }
}

fn written(envelope: &Envelope) -> Result<Vec<u8>> {
    let mut bytes = serde_json::to_vec_pretty(envelope)
        .map_err(|e| Error::new(Kind::Internal, "cannot write an envelope").because(e))?;
    bytes.push(b'\n');
    Ok(bytes)
}

/// Verifies an envelope. `name` is what it is called in errors.
///
/// # Errors
/// `Integrity` where it is not an envelope as [`sign`] writes it; `Signature` where no trusted key signed it.
pub fn open(name: &str, bytes: &[u8], trusted: &TrustedEvidenceKeys) -> Result<Opened> {
    let damaged = |why: String| Error::new(Kind::Integrity, format!("{name} is damaged")).because(why);
    if bytes.len() as u64 > BYTES_MAX {
        return Err(damaged(format!("it has {} bytes; at most {BYTES_MAX} are allowed", bytes.len())));
    }
    let envelope: Envelope =
        serde_json::from_slice(bytes).map_err(|e| damaged(format!("it is not a DSSE envelope: {e}")))?;
    if envelope.payload_type != PAYLOAD_TYPE {
        return Err(damaged(format!("its payload is not of type {PAYLOAD_TYPE}")));
    }
    let [signature] = envelope.signatures.as_slice() else {
        return Err(damaged(format!("it has {} signatures; one is expected", envelope.signatures.len())));
    };
    if written(&envelope)? != bytes {
        return Err(damaged("it is not written as Lifeboat writes an envelope".to_owned()));
    }
    let binary = |what: &str, text: &str| {
        Base64::decode_vec(text).map_err(|_| damaged(format!("its {what} is not base64")))
    };
    let payload = binary("payload", &envelope.payload)?;
    let sig = binary("signature", &signature.sig)?;
    let Some(key) = trusted.find(&signature.keyid) else {
        let what = format!("{name} is signed by the key {:.64}, which is not trusted", signature.keyid);
        return Err(Error::new(Kind::Signature, what).next(
            "if the key is yours, pass its public half with --key, or add it to checkpoint.trusted_key_files",
        ));
    };
    if !key.signed(&pae(PAYLOAD_TYPE, &payload), &sig) {
        let what = format!("the signature of {name} does not match its content");
        return Err(Error::new(Kind::Signature, what).because("it was altered, or forged"));
    }
    Ok(Opened { payload, keyid: key.id().to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Numbers that are the same in every run (splitmix64).
    fn next(state: &mut u64) -> u64 {
        *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = *state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    #[test]
    fn what_is_signed_is_what_the_specification_says() {
        let expected = b"DSSEv1 29 http://example.com/HelloWorld 11 hello world";
        assert_eq!(pae("http://example.com/HelloWorld", b"hello world"), expected);
        assert_eq!(pae("", b""), b"DSSEv1 0  0 ");
    }

    #[test]
    fn ten_thousand_flipped_bytes_are_all_found() {
        let key = EvidenceKey::generate().unwrap();
        let trusted = TrustedEvidenceKeys::new([key.public().clone()]);
        let payload = serde_json::to_vec(&crate::archive::evidence::sample::checkpoint()).unwrap();
        let envelope = sign(&payload, &key).unwrap();
        let opened = open("evidence", &envelope, &trusted).unwrap();
        assert_eq!((&opened.payload, opened.keyid.as_str()), (&payload, key.public().id()));
        let seed = 20_261_129;
        let mut state = seed;
        for n in 0..10_000 {
            let mut flipped = envelope.clone();
            // Each byte of the ends once, where the signature is; others by chance.
            let at = match n {
                0..400 => n,
                400..1_200 => envelope.len() - 1 - (n - 400),
                _ => next(&mut state) as usize % envelope.len(),
            };
            let with = 1 + (next(&mut state) % 255) as u8;
            flipped[at] ^= with;
            let error = open("evidence", &flipped, &trusted).err();
            let kind = error.map(|e| e.kind());
            let is_found = matches!(kind, Some(Kind::Integrity | Kind::Signature));
            assert!(is_found, "seed {seed}: byte {at} xor {with:#x} gives {kind:?}");
        }
    }

    #[test]
    fn another_form_another_key_and_another_type_are_refused() {
        let key = EvidenceKey::generate().unwrap();
        let trusted = TrustedEvidenceKeys::new([key.public().clone()]);
        let text = String::from_utf8(sign(b"{}", &key).unwrap()).unwrap();
        let kind = |bytes: &[u8]| open("evidence", bytes, &trusted).unwrap_err().kind();
        let value: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(kind(value.to_string().as_bytes()), Kind::Integrity, "compact");
        assert_eq!(kind(text.trim_end().as_bytes()), Kind::Integrity);
        assert_eq!(kind(text.replace("in-toto+json", "in-toto+JSON").as_bytes()), Kind::Integrity);
        assert_eq!(kind(text.replace("\"sig\"", "\"more\": 1, \"sig\"").as_bytes()), Kind::Integrity);
        assert_eq!(kind(b""), Kind::Integrity);
        assert_eq!(kind(&vec![b' '; BYTES_MAX as usize + 1]), Kind::Integrity);
        let other = EvidenceKey::generate().unwrap();
        assert_eq!(kind(&sign(b"{}", &other).unwrap()), Kind::Signature);
        // The right key's ID on another key's signature.
        let forged = String::from_utf8(sign(b"{}", &other).unwrap()).unwrap();
        let forged = forged.replace(other.public().id(), key.public().id());
        assert_eq!(kind(forged.as_bytes()), Kind::Signature);
    }
}
