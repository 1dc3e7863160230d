//! Releases of Helm: the newest revision of each, its chart and its values, without secrets.
//!
//! Helm 3 and 4 keep a release in a Secret `sh.helm.release.v1.<release>.v<revision>` of type
//! `helm.sh/release.v1`: base64 of gzip of JSON, and base64 once more because it is a Secret.

use std::collections::BTreeMap;
use std::io::Read;

use base64ct::{Base64, Encoding};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::error::{Error, Kind, Result};

/// The type of such a Secret.
pub(super) const TYPE: &str = "helm.sh/release.v1";
/// Largest release, unpacked: a Secret has at most 1 MiB.
const RELEASE_BYTES_MAX: u64 = 64 << 20;

/// A release.
#[derive(Debug)]
pub(super) struct Release {
    /// Its name.
    pub name: String,
    /// Name and version of its chart, and the version of the application.
    pub chart: Value,
    /// The values that it was given.
    pub values: Value,
}

/// What is read of a stored release: the templates of its chart are not.
#[derive(Deserialize)]
struct Stored {
    #[serde(default)]
    config: Value,
    chart: Chart,
}

#[derive(Deserialize)]
struct Chart {
    metadata: Value,
}

/// The Secret of the newest revision of each release, among Secrets of these names, sorted by release.
pub(super) fn newest(secrets: &[String]) -> Vec<&str> {
    let mut newest: BTreeMap<&str, (u64, &str)> = BTreeMap::new();
    for secret in secrets {
        let Some((release, revision)) = parts(secret) else { continue };
        let known = newest.entry(release).or_insert((revision, secret));
        if revision > known.0 {
            *known = (revision, secret);
        }
    }
    newest.into_values().map(|(_, secret)| secret).collect()
}

/// Release and revision of `sh.helm.release.v1.shop.v12`.
fn parts(secret: &str) -> Option<(&str, u64)> {
    let (release, revision) = secret.strip_prefix("sh.helm.release.v1.")?.rsplit_once(".v")?;
    Some((release, revision.parse().ok()?))
}

/// Reads a release.
///
/// # Errors
/// `Io` where it cannot be read, naming its Secret.
pub(super) fn read(secret: &Value) -> Result<Release> {
    let secret_name = secret["metadata"]["name"].as_str().unwrap_or_default();
    let name = parts(secret_name).map_or(secret_name, |(release, _)| release).to_owned();
    let bad = |why: String| {
        Error::new(Kind::Io, format!("the Helm release in Secret {secret_name} cannot be read"))
            .because(why)
            .effect("nothing was stored")
            .next("helm history shows whether Helm can read it")
    };
    let stored = secret["data"]["release"].as_str().ok_or_else(|| bad("it has no key release".to_owned()))?;
    let once = Base64::decode_vec(stored).map_err(|e| bad(e.to_string()))?;
    let text = std::str::from_utf8(&once).map_err(|e| bad(e.to_string()))?;
    let packed = Base64::decode_vec(text.trim()).map_err(|e| bad(e.to_string()))?;
    let mut unpacked = Vec::new();
    match packed.starts_with(&[0x1f, 0x8b]) {
        true => {
            let mut input = flate2::read::GzDecoder::new(packed.as_slice()).take(RELEASE_BYTES_MAX + 1);
            input.read_to_end(&mut unpacked).map_err(|e| bad(e.to_string()))?;
        }
        false => unpacked = packed, // Helm reads such ones, too
    }
    if unpacked.len() as u64 > RELEASE_BYTES_MAX {
        return Err(bad(format!("it has more than {} MiB", RELEASE_BYTES_MAX >> 20)));
    }
    let release: Stored = serde_json::from_slice(&unpacked).map_err(|e| bad(e.to_string()))?;
    let chart = &release.chart.metadata;
    let chart = json!({
        "release": name,
        "name": chart["name"],
        "version": chart["version"],
        "appVersion": chart["appVersion"],
    });
    let values = match release.config {
        Value::Null => json!({}),
        values => values,
    };
    Ok(Release { name, chart, values })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn secret(release: &str, revision: u32, values: &Value) -> Value {
        let text = json!({ "name": release, "config": values,
            "chart": { "metadata": { "name": "odoo", "version": "1.2.3", "appVersion": "17.0" } } });
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        gzip.write_all(text.to_string().as_bytes()).unwrap();
        let inner = Base64::encode_string(&gzip.finish().unwrap());
        json!({ "type": TYPE, "metadata": { "name": format!("sh.helm.release.v1.{release}.v{revision}"),
            "labels": { "name": release, "version": revision.to_string() } },
            "data": { "release": Base64::encode_string(inner.as_bytes()) } })
    }

    #[test]
    fn the_newest_revision_of_each_release_is_read() {
        let names = ["shop.v2", "shop.v10", "shop.v9", "cache.v1", "a.v2.v1"]
            .map(|name| format!("sh.helm.release.v1.{name}"));
        let newest_of = newest(&names);
        assert_eq!(
            newest_of,
            ["a.v2.v1", "cache.v1", "shop.v10"].map(|name| format!("sh.helm.release.v1.{name}"))
        );
        assert!(newest(&["other".to_owned()]).is_empty());
        let found = read(&secret("shop", 10, &json!({ "n": 10 }))).unwrap();
        assert_eq!((found.name.as_str(), &found.values), ("shop", &json!({ "n": 10 })));
        assert_eq!(found.chart["version"], "1.2.3");
        assert_eq!(read(&secret("cache", 1, &Value::Null)).unwrap().values, json!({}));
    }

    #[test]
    fn a_broken_release_is_named() {
        let mut broken = secret("shop", 1, &json!({}));
        broken["data"]["release"] = json!("AAAA");
        let e = read(&broken).unwrap_err();
        assert!(e.what().contains("sh.helm.release.v1.shop.v1"), "{e}");
    }
}
