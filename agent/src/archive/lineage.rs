//! The part of a timeline's history that planning needs, in clear text and signed: so it is known without an
//! identity where each timeline came from. The history file itself is stored encrypted.

use serde::{Deserialize, Serialize};

use crate::archive::digest::Sha256;
use crate::archive::manifest::{FORMAT, Origin};
use crate::archive::signature::{SIGNATURE_BYTES_MAX, SigningKey, TrustedKeys};
use crate::archive::wal_history::{Ancestor, parse_history};
use crate::error::{Error, Kind, Result};
use crate::names::wal::{TimelineId, WalFile};

/// Largest object that is read: some hundreds of ancestors.
pub const BYTES_MAX: u64 = 64 << 10;

/// What is signed: one line of JSON, with its line end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Statement {
    format: u32,
    origin: Origin,
    file: String,
    /// Digest of the history file.
    sha256: Sha256,
    /// Oldest first.
    ancestors: Vec<Ancestor>,
}

/// The object for the history file of `timeline`, whose text is `text`: the statement, followed by its
/// signature.
///
/// # Errors
/// `Integrity` where it is not a history file.
pub fn sign(signing: &SigningKey, origin: &Origin, timeline: TimelineId, text: &[u8]) -> Result<Vec<u8>> {
    let statement = Statement {
        format: FORMAT,
        origin: origin.clone(),
        file: WalFile::History(timeline).to_string(),
        sha256: Sha256::of(text),
        ancestors: parse_history(timeline, &String::from_utf8_lossy(text))?,
    };
    let mut line = serde_json::to_vec(&statement)
        .map_err(|e| Error::new(Kind::Internal, "cannot write JSON").because(e))?;
    line.push(b'\n');
    let signature = signing.sign(&line)?;
    line.extend_from_slice(signature.as_bytes());
    Ok(line)
}

/// The ancestors of `timeline` according to such an object. With `trusted` `None`, every writer is trusted.
///
/// # Errors
/// `Signature` where no trusted key signed it for that timeline, repository and instance; `Integrity`.
pub fn read(
    trusted: Option<&TrustedKeys>,
    origin: &Origin,
    timeline: TimelineId,
    stored: &[u8],
) -> Result<Vec<Ancestor>> {
    let name = format!("the ancestors of timeline {timeline}");
    let end = stored.iter().position(|byte| *byte == b'\n').map_or(0, |at| at + 1);
    let (line, signature) = stored.split_at(end);
    if signature.len() as u64 > SIGNATURE_BYTES_MAX {
        return Err(Error::new(Kind::Signature, format!("the signature of {name} is too long")));
    }
    if let Some(trusted) = trusted {
        trusted.verify(&name, line, signature)?;
    }
    let said: Statement = serde_json::from_slice(line)
        .map_err(|e| Error::new(Kind::Integrity, format!("{name} cannot be read")).because(e))?;
    if said.format != FORMAT || said.origin != *origin || said.file != WalFile::History(timeline).to_string()
    {
        let what = format!(
            "{name}: the signature is for {}, for another repository or instance, or in another format",
            said.file
        );
        return Err(Error::new(Kind::Signature, what));
    }
    Ok(said.ancestors)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::names::Lsn;

    #[test]
    fn only_what_was_signed_for_this_timeline_here_is_read() {
        let digest = Sha256::of(b"meta");
        let origin = Origin {
            repository: "r".into(),
            repository_sha256: digest,
            instance: "prod".parse().unwrap(),
            instance_sha256: digest,
        };
        let signing = SigningKey::generate("test").unwrap();
        let trusted = TrustedKeys::parse([signing.public_text().unwrap().as_str()]).unwrap();
        let (two, three) = (TimelineId(2), TimelineId(3));
        let stored = sign(&signing, &origin, two, b"1\t0/3000110\tno recovery target specified\n").unwrap();
        let known = read(Some(&trusted), &origin, two, &stored).unwrap();
        assert_eq!(known, [Ancestor { timeline: TimelineId(1), until: Lsn(0x300_0110) }]);
        let kind = |trusted, origin: &Origin, timeline, stored: &[u8]| {
            read(trusted, origin, timeline, stored).unwrap_err().kind()
        };
        assert_eq!(kind(Some(&trusted), &origin, three, &stored), Kind::Signature);
        let elsewhere = Origin { repository: "s".into(), ..origin.clone() };
        assert_eq!(kind(Some(&trusted), &elsewhere, two, &stored), Kind::Signature);
        let mut altered = stored.clone();
        let at = altered.windows(7).position(|part| part == b"3000110").unwrap();
        altered[at] = b'4';
        assert_eq!(kind(Some(&trusted), &origin, two, &altered), Kind::Signature);
        let stranger = SigningKey::generate("other").unwrap();
        let forged = sign(&stranger, &origin, two, b"1\t0/1\tx\n").unwrap();
        assert_eq!(kind(Some(&trusted), &origin, two, &forged), Kind::Signature);
        assert!(read(None, &origin, two, &forged).is_ok());
        assert!(read(Some(&trusted), &origin, two, b"").is_err());
        assert!(sign(&signing, &origin, two, b"no history").is_err());
    }
}
