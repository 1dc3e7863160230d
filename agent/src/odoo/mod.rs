//! Odoo: its tenants, their content and filestores, and how a copy is neutralized.

pub mod attachments;
pub mod baseline;
pub mod blob;
pub mod business;
pub mod changes;
pub mod compare;
pub mod counters;
pub mod fence;
pub mod filestore;
pub mod lasting;
pub mod neutralize;
pub mod neutralized;
pub mod outside;
pub mod rpc;
pub mod tenants;

pub use attachments::{AttachmentFile, attachments_named_now, each_attachment_file};
pub use baseline::Baseline;
pub use blob::BlobName;
pub use changes::{Change, changes};
pub use compare::{Difference, compare};
pub use fence::{Fence, FenceEnd, Released};
pub use filestore::{WalkEntry, WalkKind, walk};
pub use neutralize::{Neutralized, Unknowns, neutralize, still_live, unknown};
pub use tenants::{Discovery, Tenant, discover};
