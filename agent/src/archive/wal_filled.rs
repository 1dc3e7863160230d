//! Whether an object that cannot be decrypted here contains the beginning of known WAL, and zeros after it: a
//! segment that was incomplete and was stored as a whole one by an older version. The digest in its name
//! proves it, without a key.

use sha2::Digest as _;

use super::digest::Sha256;
use super::wal::HalfDigest;

/// The most zeros that are hashed for one answer: a few seconds.
const ZEROS_MAX: usize = 4 << 30;
static ZEROS: [u8; 64 << 10] = [0; 64 << 10];

/// Where the zeros begin: the one of `ends` for which `content` up to there, followed by zeros to its length,
/// has the digest. `None` where there is no such end; that proves nothing. Some milliseconds of CPU for each
/// end.
pub fn filled_from(
    content: &[u8],
    digest: HalfDigest,
    ends: impl IntoIterator<Item = usize>,
) -> Option<usize> {
    let mut ends: Vec<usize> = ends.into_iter().filter(|end| *end < content.len()).collect();
    ends.sort_unstable();
    ends.dedup();
    let (mut hasher, mut done) = (sha2::Sha256::new(), 0);
    let states: Vec<(usize, sha2::Sha256)> = ends
        .into_iter()
        .map(|end| {
            hasher.update(&content[done..end]);
            done = end;
            (end, hasher.clone())
        })
        .collect();
    let mut hashed = 0;
    // the last one first: it costs least
    let affordable = states.into_iter().rev().take_while(|(end, _)| {
        hashed += content.len() - end;
        hashed <= ZEROS_MAX
    });
    let found = affordable.map(|(end, state)| (end, with_zeros(state, content.len() - end)));
    found.into_iter().find(|(_, found)| *found == digest).map(|(end, _)| end)
}

fn with_zeros(mut state: sha2::Sha256, mut count: usize) -> HalfDigest {
    while count > 0 {
        let step = count.min(ZEROS.len());
        state.update(&ZEROS[..step]);
        count -= step;
    }
    Sha256(state.finalize().into()).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zeros_after_a_known_end_are_proven_and_nothing_else_is() {
        let content: Vec<u8> = (0..300_000u32).map(|n| (n % 251) as u8 + 1).collect();
        for end in [0, 1, 8192, 299_999] {
            let mut filled = content.clone();
            filled[end..].fill(0);
            let of = |filled: &[u8], ends: &[usize]| {
                filled_from(&content, HalfDigest::of(filled), ends.iter().copied())
            };
            assert_eq!(of(&filled, &[0, 1, 8192, 8192, 299_999, 300_000]), Some(end));
            assert_eq!(of(&filled, &[77, 300_001]), None, "an end that nobody names");
            filled[end] = 255;
            assert_eq!(of(&filled, &[0, 1, 8192, 299_999]), None);
        }
    }
}
