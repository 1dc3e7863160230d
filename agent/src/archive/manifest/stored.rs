//! The JSON form of a manifest (docs/format.md): its kind is a word, and its facts are a field named after
//! the kind.

use std::borrow::Cow;

use serde::{Deserialize, Serialize, Serializer};

use super::{
    ArrivalFacts, ConfigFacts, DumpFacts, Facts, FilestoreFacts, Manifest, Object, Origin, SnapshotKind,
};
use crate::archive::base::BaseFacts;
use crate::clock::Timestamp;
use crate::names::{Lsn, ReleaseId, SnapshotId, TenantName};

/// In the order in which it is written.
#[derive(Serialize, Deserialize)]
pub(super) struct StoredManifest<'a> {
    format: u32,
    origin: Cow<'a, Origin>,
    id: Cow<'a, SnapshotId>,
    kind: SnapshotKind,
    tenant: Option<Cow<'a, TenantName>>,
    release: Option<Cow<'a, ReleaseId>>,
    begun: Timestamp,
    point: Timestamp,
    ended: Timestamp,
    lsn: Option<Lsn>,
    parent: Option<Cow<'a, SnapshotId>>,
    recipients: Cow<'a, [String]>,
    plain_bytes: u64,
    objects: Cow<'a, [Object]>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    dump: Option<Cow<'a, DumpFacts>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    filestore: Option<Cow<'a, FilestoreFacts>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    base: Option<Cow<'a, BaseFacts>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    arrivals: Option<Cow<'a, ArrivalFacts>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    config: Option<Cow<'a, ConfigFacts>>,
    written_by: Cow<'a, str>,
}

impl<'a> From<&'a Manifest> for StoredManifest<'a> {
    fn from(manifest: &'a Manifest) -> StoredManifest<'a> {
        let mut stored = StoredManifest {
            format: manifest.format,
            origin: Cow::Borrowed(&manifest.origin),
            id: Cow::Borrowed(&manifest.id),
            kind: manifest.kind(),
            tenant: manifest.tenant.as_ref().map(Cow::Borrowed),
            release: manifest.release.as_ref().map(Cow::Borrowed),
            begun: manifest.begun,
            point: manifest.point,
            ended: manifest.ended,
            lsn: manifest.lsn,
            parent: manifest.parent.as_ref().map(Cow::Borrowed),
            recipients: Cow::Borrowed(&manifest.recipients),
            plain_bytes: manifest.plain_bytes,
            objects: Cow::Borrowed(&manifest.objects),
            dump: None,
            filestore: None,
            base: None,
            arrivals: None,
            config: None,
            written_by: Cow::Borrowed(&manifest.written_by),
        };
        match &manifest.facts {
            Facts::Dump(facts) => stored.dump = Some(Cow::Borrowed(facts)),
            Facts::Filestore(facts) => stored.filestore = Some(Cow::Borrowed(facts)),
            Facts::Globals => {}
            Facts::Base(facts) => stored.base = Some(Cow::Borrowed(facts)),
            Facts::Arrivals(facts) => stored.arrivals = Some(Cow::Borrowed(facts)),
            Facts::Config(facts) => stored.config = Some(Cow::Borrowed(facts)),
        }
        stored
    }
}

impl StoredManifest<'_> {
    /// The manifest; `None` where it does not have exactly the facts of its kind.
    pub(super) fn into_manifest(self) -> Option<Manifest> {
        let given = (self.dump, self.filestore, self.base, self.arrivals, self.config);
        let facts = match (self.kind, given) {
            (SnapshotKind::Dump, (Some(facts), None, None, None, None)) => Facts::Dump(facts.into_owned()),
            (SnapshotKind::Filestore, (None, Some(facts), None, None, None)) => {
                Facts::Filestore(facts.into_owned())
            }
            (SnapshotKind::Globals, (None, None, None, None, None)) => Facts::Globals,
            (SnapshotKind::Base, (None, None, Some(facts), None, None)) => Facts::Base(facts.into_owned()),
            (SnapshotKind::Arrivals, (None, None, None, Some(facts), None)) => {
                Facts::Arrivals(facts.into_owned())
            }
            (SnapshotKind::Config, (None, None, None, None, Some(facts))) => {
                Facts::Config(facts.into_owned())
            }
            _ => return None,
        };
        Some(Manifest {
            format: self.format,
            origin: self.origin.into_owned(),
            id: self.id.into_owned(),
            tenant: self.tenant.map(Cow::into_owned),
            release: self.release.map(Cow::into_owned),
            begun: self.begun,
            point: self.point,
            ended: self.ended,
            lsn: self.lsn,
            parent: self.parent.map(Cow::into_owned),
            recipients: self.recipients.into_owned(),
            plain_bytes: self.plain_bytes,
            objects: self.objects.into_owned(),
            facts,
            written_by: self.written_by.into_owned(),
        })
    }
}

impl Serialize for Manifest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        StoredManifest::from(self).serialize(serializer)
    }
}
