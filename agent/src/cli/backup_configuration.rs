//! `lifeboat backup --kind config`.

use std::fmt::Write as _;
use std::path::PathBuf;

use serde_json::json;

use super::{App, Done, configuration_text, print};
use crate::archive::manifest::{ConfigFacts, Manifest};
use crate::backup::configuration::store;
use crate::config::Config;
use crate::error::{Error, Kind, Result};
use crate::names::{ReleaseId, bytes_text, counted};

/// How many missing paths are printed.
const NAMED_MAX: usize = 20;

/// Captures, stores, and says what is stored.
pub async fn run(config: &Config, release: Option<ReleaseId>, attach: &[PathBuf], app: &App) -> Result<Done> {
    let shown = app.progress("configuration", None);
    let stored = store(config, release, attach, shown.clone(), app.cancel.clone()).await;
    shown.finish();
    let Some(manifest) = stored? else {
        return Err(Error::new(Kind::Config, "there is no configuration to store")
            .because(
                "neither configuration.files nor configuration.namespaces is set, and nothing is attached",
            )
            .effect("nothing was stored")
            .next("name the files of Odoo in configuration.files, or pass --attach PATH"));
    };
    let facts = manifest.config_facts()?;
    let missing = missing(facts);
    let error = missing.as_ref().map(print::error_value);
    app.print(&json!({ "manifest": manifest, "error": error }), || text(&manifest, facts))?;
    match missing {
        None => Ok(Done::Complete),
        Some(e) => {
            print::error(&e, false); // its JSON is part of the report: one document, not two
            Ok(Done::Incomplete)
        }
    }
}

/// What the configuration names and the snapshot lacks.
fn missing(facts: &ConfigFacts) -> Option<Error> {
    let first = facts.left_out.first()?;
    let count = counted(facts.left_out.len() as u64, "path");
    Some(
        Error::new(Kind::Incomplete, format!("{count} of the configuration could not be captured"))
            .because(first.to_string())
            .effect("the snapshot is stored and names what is missing in it; everything else can be restored")
            .next("correct each of them, or leave it out with configuration.exclude; then run it again"),
    )
}

fn text(manifest: &Manifest, facts: &ConfigFacts) -> String {
    let release = manifest.release.as_ref().map_or(String::new(), |r| format!(", release {r}"));
    let mut out = format!("instance {}{release}\n", manifest.origin.instance);
    let stored = bytes_text(manifest.stored_bytes());
    let _ =
        writeln!(out, "  config    {}  {}, {stored} stored", manifest.id, configuration_text::counts(facts));
    let _ = writeln!(out, "    digest {}", facts.sha256);
    for left in facts.left_out.iter().take(NAMED_MAX) {
        let _ = writeln!(out, "    missing: {left}");
    }
    if facts.left_out.len() > NAMED_MAX {
        let _ = writeln!(out, "    missing: {} more (--json lists them)", facts.left_out.len() - NAMED_MAX);
    }
    out.trim_end().to_owned()
}
