//! The release checkpoint.
pub mod agent;
pub mod files;
pub mod gates;
pub mod modules;
pub mod point;
pub mod proof;
