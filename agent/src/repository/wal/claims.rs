//! Objects that are stored as a whole segment and contain less: other objects that go further are used
//! instead, where they agree with them as far as these go.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};

use super::WalReader;
use super::compare::is_block;
use crate::archive::wal::WalName;
use crate::error::{Error, Kind, Result};
use crate::names::wal::SegmentBytes;

/// Objects that contain less than their names say, and how many bytes of the file are WAL with them.
pub(super) struct Claims {
    pub(super) names: Vec<WalName>,
    pub(super) upto: u64,
}

impl Claims {
    /// The objects of a segment that make it look whole where it `holds_less`: those that are stored as parts
    /// of a whole one, and continue after the end of its WAL.
    pub(super) fn among(names: &[WalName], size: SegmentBytes, holds_less: Option<u64>) -> Claims {
        let upto = holds_less.unwrap_or(size.get());
        let goes_on = |name: &&WalName| u64::from(name.end) > upto && is_block(name, size.get() as u32);
        Claims { names: names.iter().filter(goes_on).copied().collect(), upto }
    }
}

impl WalReader {
    /// Compares what was written with objects that were skipped, as far as these contain WAL.
    ///
    /// # Errors
    /// `Integrity` naming two objects with different bytes for the same place.
    pub(super) async fn check_agreement(
        &self,
        passed: &[Claims],
        names: &[WalName],
        out: &mut File,
    ) -> Result<()> {
        let written =
            out.metadata().map_err(|e| Error::new(Kind::Io, "cannot look at a file").because(e))?.len();
        for Claims { names: claims, upto } in passed {
            for claim in claims.iter().filter(|claim| u64::from(claim.begin) < *upto) {
                let content = self.get(*claim).await?;
                let common = written.min(*upto).min(claim.end.into()).saturating_sub(claim.begin.into());
                let mut own = vec![0; common as usize];
                tokio::task::block_in_place(|| {
                    out.seek(SeekFrom::Start(claim.begin.into())).and_then(|_| out.read_exact(&mut own))
                })
                .map_err(|e| Error::new(Kind::Io, "cannot read a WAL segment").because(e))?;
                let Some(at) = content.iter().zip(&own).position(|(one, other)| one != other) else {
                    tracing::warn!(
                        "{claim} has WAL only up to byte {upto}; other objects have more and were used"
                    );
                    continue;
                };
                let at = claim.begin + at as u32;
                let others = names.iter().filter(|name| !passed.iter().any(|one| one.names.contains(name)));
                let other =
                    others.filter(|name| (name.begin..name.end).contains(&at)).map(WalName::to_string).next();
                let what = format!("byte {at} of {} is stored twice with different content", claim.file);
                return Err(Error::new(Kind::Integrity, what)
                    .because(format!("{claim} and {}", other.unwrap_or_default()))
                    .next("two servers stored WAL as one instance: move the wrong object away, and give the other server its own instance name"));
            }
        }
        Ok(())
    }
}
