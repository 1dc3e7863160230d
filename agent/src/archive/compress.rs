//! zstd for data that is complete in memory: a frame of a pack, a piece of WAL.

use zstd::zstd_safe::CParameter;

use crate::error::{Error, Kind, Result};

/// zstd's level by default.
const FITTED_LEVEL: i32 = 3;
/// At that level, a window and tables that fit into a core's own cache (512 KiB is common) instead of 2 MiB
/// and 768 KiB: a fifth less time on pages of PostgreSQL, and the stored size differs by 2 % at most, either
/// way (docs/benchmarks.md). Another level uses zstd's own choice.
const FITTED: [CParameter; 3] =
    [CParameter::WindowLog(19), CParameter::HashLog(15), CParameter::ChainLog(15)];

/// Compresses frames; one per worker, reused (9 % less CPU than a new stream).
pub struct Compressor(zstd::bulk::Compressor<'static>);

impl Compressor {
    /// `level` is zstd's, 1 to 19.
    pub fn new(level: i32) -> Result<Compressor> {
        let fail = |e| Error::new(Kind::Internal, format!("zstd refuses level {level}")).because(e);
        let mut inner = zstd::bulk::Compressor::new(level).map_err(fail)?;
        inner.include_checksum(true).map_err(fail)?;
        if level == FITTED_LEVEL {
            FITTED.into_iter().try_for_each(|parameter| inner.set_parameter(parameter)).map_err(fail)?;
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
