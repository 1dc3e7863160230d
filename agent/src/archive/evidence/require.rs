//! What a release asks of its own evidence before it goes ahead. Pure.
//!
//! Nothing passes here because it was not said: an image that the evidence does not name is another image.

use std::time::Duration;

use super::predicate::Checkpoint;
use super::verdict::Verdict;
use crate::clock::{self, Timestamp};
use crate::error::{Error, Kind, Result};

/// What is asked.
#[derive(Clone, Debug, Default)]
pub struct Required {
    /// The image that is released: its digest, or a reference that ends with it.
    pub image: Option<String>,
    /// The commit that is released.
    pub commit: Option<String>,
    /// How old the checkpoint may be.
    pub age_max: Option<Duration>,
}

/// The digest in `sha256:…` or `registry/name@sha256:…`.
///
/// # Errors
/// `Usage` where there is none.
pub fn image_digest(image: &str) -> Result<&str> {
    let digest = image.rsplit_once('@').map_or(image, |(_, digest)| digest);
    let hex = digest.strip_prefix("sha256:").unwrap_or_default();
    let is_digest = hex.len() == 64 && hex.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
    match is_digest {
        true => Ok(digest),
        false => Err(Error::new(Kind::Usage, format!("{image:.200?} is not an image digest"))
            .next("pass sha256: and 64 hex digits, or NAME@sha256:...; a tag can be moved to another image")),
    }
}

/// Whether this checkpoint lets the release go ahead. `stored_at` and `now` are times of the store's clock.
///
/// # Errors
/// `Refused` with what differs; `Usage` where [`Required::image`] is not a digest.
pub fn check(
    checkpoint: &Checkpoint,
    stored_at: Timestamp,
    now: Timestamp,
    required: &Required,
) -> Result<()> {
    let release = &checkpoint.release;
    let refused = |what: String| Err(Error::new(Kind::Refused, what));
    if let Some(image) = &required.image {
        let digest = image_digest(image)?;
        match &release.image {
            None => return refused(format!("the checkpoint of release {} names no image", release.id)),
            Some(found) if found != digest => {
                return refused(format!(
                    "the checkpoint of release {} is for image {found}, not for {digest}",
                    release.id
                ));
            }
            Some(_) => {}
        }
    }
    match (&required.commit, &release.commit) {
        (None, _) => {}
        (Some(_), None) => {
            return refused(format!("the checkpoint of release {} names no commit", release.id));
        }
        (Some(asked), Some(found)) if asked.to_ascii_lowercase() != *found => {
            return refused(format!(
                "the checkpoint of release {} is for commit {found}, not for {asked}",
                release.id
            ));
        }
        _ => {}
    }
    if let Some(age_max) = required.age_max {
        // Stored again later, it would look new; by a host whose clock is ahead, too.
        let taken = checkpoint.ended.min(stored_at);
        let age = Duration::try_from(now.duration_since(taken)).unwrap_or_default();
        if age > age_max {
            return refused(format!(
                "the checkpoint of release {} is too old: taken at {}, {} ago; the limit is {}",
                release.id,
                clock::text(taken),
                clock::span_text(age),
                clock::span_text(age_max)
            ));
        }
    }
    match checkpoint.verdict() {
        Verdict::Blocked => refused(format!("release {}: {}", release.id, checkpoint.verdict_sentence())),
        Verdict::Passed | Verdict::Overridden => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::archive::evidence::gate::Outcome;
    use crate::archive::evidence::sample;

    #[test]
    fn an_image_is_named_by_its_digest() {
        let digest = format!("sha256:{}", "3".repeat(64));
        assert_eq!(image_digest(&digest).unwrap(), digest);
        assert_eq!(image_digest(&format!("registry.example/odoo:17@{digest}")).unwrap(), digest);
        for bad in ["odoo:17", "", "sha256:33", &digest.to_uppercase(), &format!("{digest}@x")] {
            assert_eq!(image_digest(bad).unwrap_err().kind(), Kind::Usage, "{bad}");
        }
    }

    #[test]
    fn everything_that_differs_is_refused() {
        let checkpoint = sample::checkpoint();
        let release = checkpoint.release.clone();
        let after = |seconds: u64| checkpoint.ended + Duration::from_secs(seconds);
        let what = |checkpoint: &Checkpoint, now: Timestamp, required: &Required| {
            check(checkpoint, after(1), now, required).map_err(|e| {
                assert_eq!(e.kind(), Kind::Refused);
                e.what().to_owned()
            })
        };
        let asked = Required {
            image: release.image.clone(),
            commit: release.commit.as_ref().map(|commit| commit.to_uppercase()),
            age_max: Some(Duration::from_secs(60)),
        };
        assert_eq!(what(&checkpoint, after(60), &asked), Ok(()));
        assert!(
            what(&checkpoint, after(61), &asked)
                .unwrap_err()
                .contains("too old: taken at 2026-11-29T01:58:14Z")
        );
        let other = Required { image: Some(format!("x@sha256:{}", "4".repeat(64))), ..asked.clone() };
        assert!(what(&checkpoint, after(1), &other).unwrap_err().contains("is for image sha256:333"));
        let other = Required { commit: Some("9fceb02".to_owned()), ..asked.clone() };
        assert!(what(&checkpoint, after(1), &other).unwrap_err().contains("not for 9fceb02"));
        let mut bare = checkpoint.clone();
        (bare.release.image, bare.release.commit) = (None, None);
        assert!(what(&bare, after(1), &asked).unwrap_err().contains("names no image"));
        let commit_only = Required { image: None, ..asked.clone() };
        assert!(what(&bare, after(1), &commit_only).unwrap_err().contains("names no commit"));
        let mut blocked = checkpoint.clone();
        blocked.gates[0].outcome = Outcome::Unknown;
        assert!(
            what(&blocked, after(1), &Required::default()).unwrap_err().ends_with("is blocked by: chain.")
        );
        // The host's clock was ahead by an hour: the store's time counts.
        let early = Timestamp::from_second(checkpoint.ended.as_second() - 3_600).unwrap();
        let late = check(&checkpoint, early, after(1), &asked).unwrap_err();
        assert!(late.what().contains("60 min 1 s ago"), "{late}");
        // The store's clock seems to go backwards: not older than now.
        check(&checkpoint, after(1), early, &asked).unwrap();
    }
}
