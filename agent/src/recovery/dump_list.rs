//! Reads the table of contents of a dump from the beginning of its packs, before anything else is fetched.
//!
//! Only the plan uses it: these bytes are not compared with the signed digest of the whole dump, which is
//! checked before the dump is loaded.

use std::collections::VecDeque;
use std::io::{BufReader, Read};
use std::sync::Arc;

use tokio::runtime::Handle;

use crate::archive::index::{self, IndexReader, Line, Part};
use crate::archive::manifest::{DUMP_PATH, Manifest};
use crate::archive::pack;
use crate::archive::seal::Identities;
use crate::error::{Error, Kind, Result};
use crate::postgres::load::toc::{self, Entry};
use crate::repository::Repository;

/// The most bytes of a dump that a plan reads.
const BYTES_MAX: u64 = 128 << 20;

/// The entries; `None` if they can only be read from the complete dump.
///
/// # Errors
/// `Integrity` if the stored data is not a dump.
pub(super) async fn dump_list(
    repository: &Repository,
    dump: &Manifest,
    identities: &Arc<Identities>,
) -> Result<Option<Vec<Entry>>> {
    let (repository, dump, identities) = (repository.clone(), dump.clone(), identities.clone());
    tokio::task::spawn_blocking(move || {
        let runtime = Handle::current();
        let object = dump.object(index::NAME)?;
        let parts = repository.read_sealed(&runtime, &dump.id, object, &identities, |input| {
            let lines = IndexReader::new(&format!("of snapshot {}", dump.id), input)?;
            let mut parts = Vec::new();
            for line in lines {
                if let Line::File(entry) = line?
                    && entry.path == DUMP_PATH
                {
                    parts = entry.parts;
                }
            }
            Ok(parts)
        })?;
        let mut in_frames = true;
        for part in &parts {
            in_frames &= !dump.object(&pack::name(part.pack))?.frames.is_empty();
        }
        if !in_frames {
            return Ok(None); // of an older program
        }
        let head = Head {
            repository: &repository,
            runtime: &runtime,
            dump: &dump,
            identities: &identities,
            parts: parts.into(),
            extent: Vec::new(),
            at: 0,
            failed: None,
        };
        let mut input = BufReader::new(head.take(BYTES_MAX));
        let read = toc::read_from(&mut input, &format!("dump {}", dump.id));
        match (read, input.get_mut().get_mut().failed.take()) {
            (Err(_), Some(e)) => Err(e), // the store failed or it is damaged: not a property of the dump
            (Err(_), None) if input.get_ref().limit() == 0 => Ok(None),
            (read, _) => read.map(Some),
        }
    })
    .await
    .unwrap_or_else(|e| Err(Error::new(Kind::Internal, "reading the dump's list panicked").because(e)))
}

/// The dump's bytes, extent by extent.
struct Head<'a> {
    repository: &'a Repository,
    runtime: &'a Handle,
    dump: &'a Manifest,
    identities: &'a Identities,
    parts: VecDeque<Part>,
    extent: Vec<u8>,
    at: usize,
    /// Why the next bytes could not be read.
    failed: Option<Error>,
}

impl Head<'_> {
    fn fetch(&mut self, part: Part) -> Result<()> {
        let Head { repository, runtime, dump, identities, extent, .. } = self;
        let object = dump.object(&pack::name(part.pack))?;
        extent.clear();
        self.at = 0;
        let frame = part.frame..part.frame + 1;
        let frames = std::slice::from_ref(&frame);
        repository.read_frames(
            runtime,
            &dump.id,
            object,
            identities,
            frames,
            |member, content| match member.path == DUMP_PATH && member.offset == part.offset {
                true => member.read(content, extent),
                false => Ok(()),
            },
        )?;
        match extent.len() as u64 == part.bytes {
            true => Ok(()),
            false => {
                Err(Error::new(Kind::Integrity, format!("dump {} is not where its index says", dump.id)))
            }
        }
    }
}

impl Read for Head<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        while self.at == self.extent.len() {
            let Some(part) = self.parts.pop_front() else { return Ok(0) };
            if let Err(e) = self.fetch(part) {
                self.failed = Some(e);
                return Err(std::io::ErrorKind::Other.into());
            }
        }
        let n = buffer.len().min(self.extent.len() - self.at);
        buffer[..n].copy_from_slice(&self.extent[self.at..self.at + n]);
        self.at += n;
        Ok(n)
    }
}
