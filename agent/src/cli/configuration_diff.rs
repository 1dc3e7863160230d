//! `lifeboat config diff`.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

use serde_json::json;

use super::trust::TrustArgs;
use super::{App, Done, identity};
use crate::archive::keyed::DigestKey;
use crate::archive::manifest::{ConfigFacts, Manifest, Origin};
use crate::archive::seal::Identities;
use crate::archive::signature::SigningKey;
use crate::capture::capture;
use crate::capture::diff::Differences;
use crate::capture::item::{Captured, HELM, KUBERNETES, folder};
use crate::capture::lines::unified;
use crate::config::Config;
use crate::error::{Error, Kind, Result};
use crate::recovery::configuration::{ConfigPick, contents, find};
use crate::repository::Repository;
use crate::repository::snapshots::Trust;

/// Show what changed in the configuration between two releases, or since one
///
/// Each side is a release ID, the ID of a config snapshot, or `now`: what is configured at this moment. The
/// paths that were added, removed or changed come from signed manifests: no identity is needed. With
/// --content and an identity, the lines are shown, too. A changed secret shows as a changed digest.
///
/// Exit code 3: there are differences. 0: there are none.
#[derive(clap::Args, Debug)]
pub struct DiffArgs {
    /// Before: a release, a config snapshot, or `now`
    #[arg(value_name = "A")]
    a: String,
    /// After: the same
    #[arg(value_name = "B")]
    b: String,
    /// Show the lines that changed; needs an identity, except for `now`
    #[arg(long)]
    content: bool,
    /// The age identity, with --content; may be repeated [default: seal.identity_files]
    #[arg(long, value_name = "FILE", requires = "content")]
    identity: Vec<PathBuf>,
    #[command(flatten)]
    trust: TrustArgs,
}

/// One side of the comparison.
enum Side {
    Stored(Box<Manifest>),
    Now { facts: Box<ConfigFacts>, captured: Captured },
}

impl Side {
    fn facts(&self) -> Result<&ConfigFacts> {
        match self {
            Side::Stored(manifest) => manifest.config_facts(),
            Side::Now { facts, .. } => Ok(facts),
        }
    }

    fn value(&self) -> serde_json::Value {
        match self {
            Side::Stored(manifest) => {
                let sha256 = manifest.config().map(|facts| facts.sha256);
                json!({ "snapshot": manifest.id, "release": manifest.release, "point": manifest.point, "sha256": sha256 })
            }
            Side::Now { facts, .. } => json!({ "snapshot": null, "sha256": facts.sha256 }),
        }
    }
}

/// Where the sides come from.
struct Source<'a> {
    config: &'a Config,
    repository: Repository,
    origin: Origin,
    trust: Trust,
    app: &'a App,
}

/// Compares and says what differs.
pub async fn diff(args: DiffArgs, app: &App) -> Result<Done> {
    let config = app.config()?;
    let trust = args.trust.trust(&config)?;
    let identities = match args.content {
        true => Some(Arc::new(identity::identities(&args.identity, &config)?)),
        false => None,
    };
    let repository = Repository::configured(&config).await?;
    let origin = repository.origin().await?;
    let source = Source { config: &config, repository, origin, trust, app };
    let (a, b) = (source.side(&args.a).await?, source.side(&args.b).await?);
    let found = Differences::between(a.facts()?, b.facts()?)?;
    let content = match &identities {
        Some(identities) => source.content((&args.a, &a), (&args.b, &b), &found, identities).await?,
        None => BTreeMap::new(),
    };
    let value = json!({
        "a": a.value(),
        "b": b.value(),
        "same": found.is_empty(),
        "differences": found,
        "content": identities.is_some().then_some(&content),
    });
    app.print(&value, || text(&found, &content))?;
    Ok(if found.is_empty() { Done::Complete } else { Done::Incomplete })
}

impl Source<'_> {
    async fn side(&self, text: &str) -> Result<Side> {
        if text != "now" {
            let pick: ConfigPick = text.parse()?;
            let manifest = find(&self.repository, &self.origin, &self.trust, &pick).await?;
            return Ok(Side::Stored(Box::new(manifest)));
        }
        let Some(file) = &self.config.signing.key_file else {
            return Err(Error::new(Kind::Config, "signing.key_file is not set")
                .effect(
                    "the current configuration cannot be compared: the digests need a key that is derived from that file",
                )
                .next("run this on the host that stores the configuration"));
        };
        let key = DigestKey::of(&SigningKey::load(file)?)?;
        let captured = capture(&self.config.configuration, &key, &self.app.cancel).await?;
        Ok(Side::Now { facts: Box::new(captured.facts(&key)), captured })
    }

    /// The differing lines of each path.
    async fn content(
        &self,
        (a_name, a): (&str, &Side),
        (b_name, b): (&str, &Side),
        found: &Differences,
        identities: &Arc<Identities>,
    ) -> Result<BTreeMap<String, String>> {
        let paths = |lists: [&Vec<String>; 2]| lists.into_iter().flatten().cloned().collect::<BTreeSet<_>>();
        let before = self.read(a, &paths([&found.removed, &found.changed]), identities).await?;
        let after = self.read(b, &paths([&found.added, &found.changed]), identities).await?;
        let all: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
        let nothing = Vec::new();
        let lines = |path: &String| {
            let (old, new) = (before.get(path).unwrap_or(&nothing), after.get(path).unwrap_or(&nothing));
            let (a, b) = (format!("{a_name}/{path}"), format!("{b_name}/{path}"));
            (path.clone(), unified((&a, &readable(path, old)), (&b, &readable(path, new))))
        };
        Ok(all.into_iter().map(lines).collect())
    }

    async fn read(
        &self,
        side: &Side,
        paths: &BTreeSet<String>,
        identities: &Arc<Identities>,
    ) -> Result<BTreeMap<String, Vec<u8>>> {
        match side {
            Side::Stored(manifest) => {
                let place = (self.config, &self.repository);
                contents(place, manifest, paths, identities, &self.app.cancel).await
            }
            Side::Now { captured, .. } => {
                let wanted = captured.items.iter().filter(|item| paths.contains(&item.path));
                Ok(wanted.map(|item| (item.path.clone(), item.content.clone())).collect())
            }
        }
    }
}

/// Texts in an object (a file in a ConfigMap) line by line, so that the line shows that changed.
fn readable<'a>(path: &str, content: &'a [u8]) -> Cow<'a, [u8]> {
    match std::str::from_utf8(content) {
        Ok(text) if [KUBERNETES, HELM].contains(&folder(path)) => {
            text.replace("\\n", "\n").into_bytes().into()
        }
        _ => content.into(),
    }
}

fn text(found: &Differences, content: &BTreeMap<String, String>) -> String {
    let mut lines = found.lines();
    if found.is_empty() {
        lines.push("no difference in the captured configuration".to_owned());
    }
    let lines = lines.into_iter().chain(content.values().map(|text| text.trim_end().to_owned()));
    lines.collect::<Vec<_>>().join("\n")
}
