//! The open archive format, version 1: what the bytes of each object mean. No I/O of its own: the caller
//! passes readers and writers. docs/format.md describes it; golden files of each version are committed and
//! must always decode.

pub mod absence;
pub mod base;
pub mod blake3;
pub mod compress;
pub mod digest;
pub mod drill;
pub mod elsewhere;
pub mod evidence;
pub mod hex;
pub mod hold;
pub mod index;
pub mod keyed;
pub mod lineage;
pub mod manifest;
pub mod pack;
pub mod path;
pub mod rehearsal;
pub mod seal;
pub mod seen_names;
pub mod signature;
pub mod suspicion;
pub mod tombstone;
pub mod unpack;
pub mod wal;
pub mod wal_extent;
pub mod wal_filled;
pub mod wal_history;
pub mod wal_name;
pub mod wal_page;
pub mod wal_records;
