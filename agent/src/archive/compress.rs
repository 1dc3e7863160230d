//! zstd for data that is complete in memory: a frame of a pack, a piece of WAL.

use zstd::zstd_safe::{CParameter, Strategy};

use crate::error::{Error, Kind, Result};

/// zstd's level by default. At this level the parameters below are used in place of zstd's own; another level
/// gets all of zstd's own choice.
const FITTED_LEVEL: i32 = 3;
/// A window and tables that fit into a core's own cache (512 KiB is common) in place of 2 MiB and 768 KiB.
const WINDOW: CParameter = CParameter::WindowLog(19);
/// For text, which is mostly dumps: two tables of matches, as zstd has at this level.
const TEXT: &[CParameter] = &[WINDOW, CParameter::HashLog(15), CParameter::ChainLog(15)];
/// For pages, WAL and files: one table of matches of five bytes. It takes a fifth to a third less time, for
/// -12 to +4 % of the size (docs/benchmarks.md).
const PAGES: &[CParameter] =
    &[WINDOW, CParameter::Strategy(Strategy::ZSTD_fast), CParameter::HashLog(14), CParameter::MinMatch(5)];

/// What is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Content {
    /// The dump of a database.
    Text,
    /// Pages of a cluster, WAL, attachments.
    Pages,
}

/// Compresses frames; one per worker, reused (9 % less CPU than a new stream).
pub struct Compressor(zstd::bulk::Compressor<'static>);

impl Compressor {
    /// `level` is zstd's, 1 to 19.
    pub fn new(level: i32, content: Content) -> Result<Compressor> {
        let fail = |e| Error::new(Kind::Internal, format!("zstd refuses level {level}")).because(e);
        let mut inner = zstd::bulk::Compressor::new(level).map_err(fail)?;
        inner.include_checksum(true).map_err(fail)?;
        if level == FITTED_LEVEL {
            let parameters = if content == Content::Text { TEXT } else { PAGES };
            parameters.iter().try_for_each(|parameter| inner.set_parameter(*parameter)).map_err(fail)?;
        }
        Ok(Compressor(inner))
    }

    /// Compresses `data` as one frame into `out`, replacing its content.
    pub fn frame(&mut self, data: &[u8], out: &mut Vec<u8>) -> Result<()> {
        out.clear();
        out.reserve(zstd::zstd_safe::compress_bound(data.len()));
        self.0
            .compress_to_buffer(data, out)
            .map(|_| ())
            .map_err(|e| Error::new(Kind::Internal, "zstd cannot compress a frame").because(e))
    }
}
