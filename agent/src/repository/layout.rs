//! Where everything lies; docs/format.md tells the same.

use crate::names::{InstanceName, SnapshotId};

/// The repository's own description.
pub const META: &str = "lifeboat.json";

/// Everything of an instance.
pub fn instance_prefix(instance: &InstanceName) -> String {
    format!("instances/{instance}")
}

/// Which cluster the instance is.
pub fn instance_meta(instance: &InstanceName) -> String {
    format!("instances/{instance}/instance.json")
}

/// Who writes, until when.
pub fn lease(instance: &InstanceName) -> String {
    format!("instances/{instance}/lease")
}

/// The folder of all snapshots.
pub fn snapshots(instance: &InstanceName) -> String {
    format!("instances/{instance}/snapshots")
}

/// An object of a snapshot; `name` as its manifest has it.
pub fn object(instance: &InstanceName, id: &SnapshotId, name: &str) -> String {
    format!("instances/{instance}/snapshots/{id}/{name}")
}

/// The folder of all drills' reports.
pub fn drills(instance: &InstanceName) -> String {
    format!("instances/{instance}/drills")
}

/// A file of a drill's report.
pub fn drill(instance: &InstanceName, drill: &str, name: &str) -> String {
    format!("instances/{instance}/drills/{drill}/{name}")
}
