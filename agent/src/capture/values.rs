//! Replaces secrets in JSON documents by keyed digests: environment, arguments and texts of workloads, data
//! of ConfigMaps, values of Helm and of custom resources.

use base64ct::{Base64, Encoding};
use serde_json::{Map, Value};

use super::redact::Redactor;
use super::words::{is_reference, is_secret};

/// Flags whose next argument is a password although their name does not say so: `odoo -w`.
const PASSWORD_FLAGS: &[&str] = &["-w"];
/// Beside one of these, `key` names something and is no secret (selectors, tolerations, references).
const BESIDE_A_NAME: &[&str] = &["operator", "effect", "name", "values"];
/// Fields of Kubernetes' own and of Traefik's resources that name a Secret.
const REFERENCES: &[&str] = &["secret", "secretName", "certSecret", "caSecret", "tokenSecret"];

/// Replaces what is secret in an object of Kubernetes itself, whose fields are known: environment,
/// arguments, and secrets inside of any text.
pub(super) fn known_object(value: &mut Value, redactor: Redactor<'_>) {
    match value {
        Value::String(text) => *text = redactor.text(text),
        Value::Array(items) => items.iter_mut().for_each(|item| known_object(item, redactor)),
        Value::Object(fields) => {
            for (name, field) in fields.iter_mut() {
                match (name.as_str(), field) {
                    ("env", Value::Array(variables)) => {
                        variables.iter_mut().for_each(|variable| environment(variable, redactor));
                    }
                    ("args" | "command", Value::Array(words)) => arguments(words, redactor),
                    ("annotations", Value::Object(notes)) => annotations(notes, redactor),
                    (_, field) => known_object(field, redactor),
                }
            }
        }
        _ => {}
    }
}

/// Replaces by the names of keys, at any depth: values of Helm, custom resources.
pub(super) fn by_names(value: &mut Value, redactor: Redactor<'_>) {
    match value {
        Value::String(text) => *text = redactor.text(text),
        Value::Array(items) => items.iter_mut().for_each(|item| by_names(item, redactor)),
        Value::Object(fields) => {
            let names_something = fields.keys().any(|name| BESIDE_A_NAME.contains(&name.as_str()));
            for (name, field) in fields.iter_mut() {
                match is_secret(name) && !(name == "key" && names_something) {
                    true => all_below(name, field, redactor),
                    false => by_names(field, redactor),
                }
            }
        }
        _ => {}
    }
}

/// [`by_names`] for custom resources: their fields that name a Secret stay.
pub(super) fn custom_object(value: &mut Value, redactor: Redactor<'_>) {
    let Value::Object(fields) = value else { return by_names(value, redactor) };
    for (name, field) in fields.iter_mut() {
        match field {
            Value::String(_) if REFERENCES.contains(&name.as_str()) => {}
            Value::Array(items) if !is_secret(name) => {
                items.iter_mut().for_each(|item| custom_object(item, redactor));
            }
            Value::Object(_) if !is_secret(name) => custom_object(field, redactor),
            field if is_secret(name) => all_below(name, field, redactor),
            field => by_names(field, redactor),
        }
    }
}

/// Data of a ConfigMap: whole files, or single values.
pub(super) fn config_map(object: &mut Value, redactor: Redactor<'_>) {
    let Some(fields) = object.as_object_mut() else { return };
    if let Some(Value::Object(data)) = fields.get_mut("data") {
        for (name, value) in data.iter_mut() {
            match value {
                Value::String(text) if is_secret(name) => *text = redactor.value(name, text),
                Value::String(text) => *text = redactor.text(text),
                _ => {}
            }
        }
    }
    if let Some(Value::Object(data)) = fields.get_mut("binaryData") {
        for (name, value) in data.iter_mut().filter(|(name, _)| is_secret(name)) {
            if let Value::String(text) = value {
                // Base64, so that the object stays valid.
                *text = Base64::encode_string(redactor.value(name, text).as_bytes());
            }
        }
    }
    if let Some(metadata) = fields.get_mut("metadata") {
        known_object(metadata, redactor);
    }
}

/// One variable of a container.
fn environment(variable: &mut Value, redactor: Redactor<'_>) {
    let Some(fields) = variable.as_object_mut() else { return };
    let name = fields.get("name").and_then(Value::as_str).unwrap_or_default().to_owned();
    if let Some(Value::String(text)) = fields.get_mut("value") {
        *text = if is_secret(&name) { redactor.value(&name, text) } else { redactor.text(text) };
    }
}

/// The words of a command line.
fn arguments(words: &mut [Value], redactor: Redactor<'_>) {
    let mut flag: Option<String> = None;
    for word in words {
        let Value::String(text) = word else { continue };
        *text = match flag.take() {
            Some(name) if !text.starts_with('-') => redactor.value(&name, text),
            _ => {
                let name = text.trim_start_matches('-');
                let alone = text.starts_with('-') && !text.contains('=') && is_secret(name);
                if alone || PASSWORD_FLAGS.contains(&text.as_str()) {
                    flag = Some(name.to_owned());
                }
                redactor.text(text)
            }
        };
    }
}

/// Annotations refer to secrets by name; only a checksum of a secret would let it be guessed.
fn annotations(notes: &mut Map<String, Value>, redactor: Redactor<'_>) {
    for (name, note) in notes.iter_mut() {
        if let Value::String(text) = note {
            let checksum = name.starts_with("checksum/") && is_secret(name);
            *text = if checksum { redactor.value(name, text) } else { redactor.text(text) };
        }
    }
}

/// Every value below a secret name; `true`, `false` and null say nothing.
fn all_below(name: &str, value: &mut Value, redactor: Redactor<'_>) {
    match value {
        Value::String(text) => *text = redactor.value(name, text),
        Value::Number(number) => *value = Value::String(redactor.value(name, &number.to_string())),
        Value::Array(items) => items.iter_mut().for_each(|item| all_below(name, item, redactor)),
        Value::Object(fields) => {
            for (inner, field) in fields.iter_mut().filter(|(inner, _)| !is_reference(inner)) {
                all_below(&format!("{name}.{inner}"), field, redactor);
            }
        }
        Value::Bool(_) | Value::Null => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::archive::keyed::{DigestKey, PLACEHOLDER};
    use crate::archive::signature::SigningKey;
    use serde_json::json;

    fn redacted(mut value: Value, how: fn(&mut Value, Redactor<'_>)) -> Value {
        let key = DigestKey::of(&SigningKey::generate("test").unwrap()).unwrap();
        how(&mut value, Redactor::new(&key, "kubernetes/prod/x.json"));
        value
    }

    #[test]
    fn a_workload_keeps_everything_but_its_secrets() {
        let pod = json!({ "spec": { "containers": [{
            "name": "odoo", "image": "odoo:17",
            "env": [{ "name": "DB_PASSWORD", "value": "s3cr3t" }, { "name": "DB_HOST", "value": "db" },
                { "name": "URL", "value": "redis://:s3cr3t@cache" },
                { "name": "TOKEN", "valueFrom": { "secretKeyRef": { "name": "odoo", "key": "token" } } }],
            "args": ["odoo", "--db_password", "s3cr3t", "-w", "s3cr3t", "--smtp-password=s3cr3t", "--workers", "4"],
        }], "volumes": [{ "secret": { "secretName": "odoo-tls" } }] } });
        let out = redacted(pod, known_object);
        assert!(!out.to_string().contains("s3cr3t"), "{out}");
        let container = &out["spec"]["containers"][0];
        assert_eq!(container["env"][1]["value"], "db");
        assert_eq!(container["env"][3]["valueFrom"]["secretKeyRef"]["key"], "token");
        assert_eq!(container["args"][7], "4");
        assert_eq!(out["spec"]["volumes"][0]["secret"]["secretName"], "odoo-tls");
        assert!(container["env"][0]["value"].as_str().unwrap().starts_with(PLACEHOLDER));
    }

    #[test]
    fn values_are_judged_by_their_names_and_references_stay() {
        let values = json!({ "postgresql": { "auth": { "password": "s3cr3t", "username": "odoo", "pin_secret": 31337 } },
            "tolerations": [{ "key": "dedicated", "operator": "Exists" }], "existingSecret": "odoo-db",
            "tokens": ["s3cr3t", { "a": "s3cr3t" }], "conf": "[options]\ndb_password = s3cr3t\n", "tokenEnabled": true });
        let out = redacted(values, by_names);
        assert!(!out.to_string().contains("s3cr3t") && !out.to_string().contains("31337"), "{out}");
        assert_eq!(out["tolerations"][0]["key"], "dedicated");
        assert_eq!((&out["existingSecret"], &out["tokenEnabled"]), (&json!("odoo-db"), &json!(true)));
        let middleware = json!({ "spec": { "basicAuth": { "secret": "users" }, "headers": {
            "customRequestHeaders": { "X-Api-Key": "s3cr3t", "X-Name": "y" } }, "tls": { "secretName": "odoo-tls" } } });
        let out = redacted(middleware, custom_object);
        assert!(!out.to_string().contains("s3cr3t"), "{out}");
        assert_eq!(out["spec"]["basicAuth"]["secret"], "users");
        assert_eq!(out["spec"]["tls"]["secretName"], "odoo-tls");
    }

    #[test]
    fn a_config_map_is_redacted_file_by_file() {
        let map = json!({ "kind": "ConfigMap", "data": { "odoo.conf": "db_host = db\ndb_password = s3cr3t\n",
            "api-token": "s3cr3t" }, "binaryData": { "tls.key": "czNjcjN0" } });
        let out = redacted(map, config_map);
        assert!(!out.to_string().contains("s3cr3t") && !out.to_string().contains("czNjcjN0"), "{out}");
        assert!(out["data"]["odoo.conf"].as_str().unwrap().starts_with("db_host = db\n"));
    }
}
