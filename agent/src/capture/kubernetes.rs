//! Captures the objects of namespaces: workloads and what belongs to them, Secrets as names and keyed
//! digests, values of Helm releases.

use std::collections::BTreeMap;

use base64ct::{Base64, Encoding};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::helm;
use super::item::{Captured, HELM, ITEM_BYTES_MAX, Item, KUBERNETES, SECRETS};
use super::kubectl::Kubectl;
use super::objects::{KINDS, TRAEFIK_GROUPS, clean, is_made_by_hand, is_traefik, kind_of, name_of};
use super::redact::Redactor;
use super::values::{by_names, config_map, custom_object, known_object};
use crate::archive::keyed::DigestKey;
use crate::archive::path::escape;
use crate::config::Configuration;
use crate::error::{Error, Kind, Result};

/// Secrets that the server makes for service accounts.
const ACCOUNT_TOKEN: &str = "kubernetes.io/service-account-token";

/// Helm releases that one call reads.
const RELEASES_AT_ONCE: usize = 20;

/// Adds the objects of all configured namespaces.
///
/// # Errors
/// Those of kubectl; `Config` where it is too much.
pub(super) async fn capture(
    config: &Configuration,
    key: &DigestKey,
    captured: &mut Captured,
    cancel: &CancellationToken,
) -> Result<()> {
    if config.namespaces.is_empty() {
        return Ok(());
    }
    let kubectl = Kubectl::new(config, cancel);
    let kinds = kinds(&kubectl).await?;
    let kinds: Vec<&str> = kinds.iter().map(String::as_str).collect();
    for namespace in &config.namespaces {
        capture_namespace(&kubectl, namespace, &kinds, key, captured).await?;
    }
    Ok(())
}

/// The kinds of objects that are captured, besides Secrets, as far as the server has them.
pub(super) async fn kinds(kubectl: &Kubectl) -> Result<Vec<String>> {
    let groups =
        KINDS.iter().filter_map(|kind| Some(kind.split_once('.')?.1)).chain(TRAEFIK_GROUPS.iter().copied());
    let mut there = kubectl.kinds(&groups.collect::<Vec<_>>()).await?;
    there.retain(|kind| {
        let group = kind.split_once('.').map_or("", |(_, group)| group);
        KINDS.contains(&kind.as_str()) || TRAEFIK_GROUPS.contains(&group)
    });
    Ok(there)
}

async fn capture_namespace(
    kubectl: &Kubectl,
    namespace: &str,
    kinds: &[&str],
    key: &DigestKey,
    captured: &mut Captured,
) -> Result<()> {
    let of_helm = format!("type={}", helm::TYPE);
    let own = format!("type!={},type!={ACCOUNT_TOKEN}", helm::TYPE);
    // A list of a missing namespace is empty, so that is asked as well.
    let ((), objects, secrets, releases) = tokio::try_join!(
        kubectl.check_namespace(namespace),
        kubectl.list(namespace, kinds, ""),
        kubectl.list(namespace, &["secrets"], &own),
        kubectl.names(namespace, "secrets", &of_helm),
    )?;
    for object in objects {
        if is_made_by_hand(&object) {
            add_object(namespace, object, key, captured)?;
        }
    }
    for secret in &secrets {
        add_secret(namespace, secret, key, captured)?;
    }
    let newest = helm::newest(&releases);
    // Each has up to 1 MiB, and Helm keeps ten revisions: only the newest is read.
    for names in newest.chunks(RELEASES_AT_ONCE) {
        for secret in kubectl.get(namespace, "secrets", names).await? {
            add_release(namespace, &secret, key, captured)?;
        }
    }
    Ok(())
}

fn add_release(namespace: &str, secret: &Value, key: &DigestKey, captured: &mut Captured) -> Result<()> {
    let release = helm::read(secret)?;
    let folder = format!("{HELM}/{}/{}", part(namespace), part(&release.name));
    add(format!("{folder}/chart.json"), &release.chart, captured)?;
    let (path, mut values) = (format!("{folder}/values.json"), release.values);
    by_names(&mut values, Redactor::new(key, &path));
    add(path, &values, captured)
}

fn add_object(namespace: &str, mut object: Value, key: &DigestKey, captured: &mut Captured) -> Result<()> {
    let (kind, name) = (file_kind(&object), part(name_of(&object)));
    let path = format!("{KUBERNETES}/{}/{}-{name}.json", part(namespace), part(&kind));
    clean(&mut object);
    let redactor = Redactor::new(key, &path);
    match kind.as_str() {
        "configmap" => config_map(&mut object, redactor),
        _ if is_traefik(&object) => {
            if let Some(spec) = object.get_mut("spec") {
                custom_object(spec, redactor);
            }
            if let Some(metadata) = object.get_mut("metadata") {
                known_object(metadata, redactor);
            }
        }
        _ => known_object(&mut object, redactor),
    }
    add(path, &object, captured)
}

/// The kind as in a file's name. Where two groups have a kind of that name, the older one is named whole.
fn file_kind(object: &Value) -> String {
    let kind = kind_of(object).to_lowercase();
    match object["apiVersion"].as_str().and_then(|version| version.split('/').next()) {
        Some(group) if group == TRAEFIK_GROUPS[0] => format!("{kind}.{group}"),
        _ => kind,
    }
}

/// A Secret as names and keyed digests. It is no object that `kubectl apply` would take: a digest must never
/// replace a secret.
fn add_secret(namespace: &str, secret: &Value, key: &DigestKey, captured: &mut Captured) -> Result<()> {
    let name = name_of(secret);
    let path = format!("{SECRETS}/{}/{}.json", part(namespace), part(name));
    let mut keys = BTreeMap::new();
    for (field, value) in secret["data"].as_object().into_iter().flatten() {
        let stored = value.as_str().unwrap_or_default();
        // A value that is no base64 cannot come from a server; its text then counts as it is.
        let plain = Base64::decode_vec(stored).unwrap_or_else(|_| stored.as_bytes().to_owned());
        keys.insert(field.clone(), key.of_secret(&path, field, &plain).placeholder());
    }
    let value = json!({ "namespace": namespace, "name": name, "type": secret["type"], "keys": keys });
    add(path, &value, captured)
}

fn add(path: String, value: &Value, captured: &mut Captured) -> Result<()> {
    let mut content = serde_json::to_vec_pretty(value)
        .map_err(|e| Error::new(Kind::Internal, format!("cannot write {path}")).because(e))?;
    content.push(b'\n');
    if content.len() as u64 > ITEM_BYTES_MAX {
        captured.leave_out(path, format!("it is larger than {} MiB", ITEM_BYTES_MAX >> 20));
        return Ok(());
    }
    captured.add(Item { path, content, mode: 0o600, mtime_ns: 0 })
}

/// One part of a path.
fn part(name: &str) -> String {
    escape(name.as_bytes()).replace('/', "%2F")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::archive::signature::SigningKey;

    #[test]
    fn a_secret_is_names_and_digests_that_change_with_the_values() {
        let key = DigestKey::of(&SigningKey::generate("test").unwrap()).unwrap();
        let stored = |value: &str| {
            let secret = json!({ "kind": "Secret", "type": "Opaque", "metadata": { "name": "odoo", "uid": value },
                "data": { "password": Base64::encode_string(value.as_bytes()), "user": "b2Rvbw==" } });
            let mut captured = Captured::default();
            add_secret("prod", &secret, &key, &mut captured).unwrap();
            let item = captured.items.remove(0);
            assert_eq!(item.path, "secrets/prod/odoo.json");
            String::from_utf8(item.content).unwrap()
        };
        let (one, two) = (stored("s3cr3t"), stored("other"));
        assert!(one.contains("\"password\": \"lifeboat-hmac-sha256:") && one.contains("\"user\""), "{one}");
        assert!(!one.contains("s3cr3t") && !one.contains("b2Rvbw"), "{one}");
        assert_ne!(one, two);
        assert_eq!(one, stored("s3cr3t"));
    }
}
