//! The freeze windows of the configuration for other systems: Argo CD's sync windows, the business hours of
//! Azure DevOps, and a list for people. All from the one source.
//!
//! **An export is never shorter than the configuration.** Where another system cannot say a window exactly,
//! it is written longer, with a comment; where that is not possible either, the export is refused by name.
//! The gate of `lifeboat checkpoint` decides in any case.

pub mod argo;
pub mod azure;
mod clocks;
mod fields;
pub mod openings;

#[cfg(test)]
mod tests;
