//! What the end-to-end tests, the demo and the benchmarks stand on: private PostgreSQL clusters, a real S3
//! server with faults, emulators of Azure and Google, the built programs, Odoo-shaped tenants, and
//! comparisons.
//!
//! Everything here belongs to the test that made it: own directories, own ports, gone when dropped,
//! on panic too. What cannot be set up is a panic that says why; what the machine does not have is
//! a counted skip ([`skip!`]).

pub mod azurite;
mod bodies;
pub mod checkpointed;
pub mod children;
pub mod client;
pub mod cluster;
pub mod compare;
pub mod damage;
mod data_dir;
mod emulator;
pub mod fake_gcs;
pub mod faults;
pub mod filestore;
pub mod http;
pub mod installed;
pub mod kube;
pub mod long_history;
pub mod ministack;
pub mod odoo;
pub mod outcome;
pub mod place;
pub mod program;
pub mod real;
pub mod s3;
pub mod site;
pub mod skip;
pub mod small_disk;
pub mod tenant;
pub mod terminal;
pub mod verifiers;
pub mod versioned;
pub mod wal_object;

pub use azurite::Azurite;
pub use cluster::{Cluster, Options};
pub use fake_gcs::FakeGcs;
pub use installed::available_majors;
pub use ministack::Ministack;
pub use outcome::Outcome;
pub use program::{Program, Running};
pub use real::{load_all_real, load_real, real_tenants};
pub use s3::S3;
pub use tenant::{Tenant, small_tenant};
pub use versioned::Versioned;
