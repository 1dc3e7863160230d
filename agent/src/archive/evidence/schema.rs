//! The JSON Schema of the predicate: published in docs/ and stored beside each checkpoint, so that a reader
//! in ten years knows what the fields mean.

/// The schema, JSON Schema draft 2020-12.
pub const JSON: &str = include_str!("../../../../docs/evidence-checkpoint-v1.schema.json");

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::Value;

    use super::*;
    use crate::archive::evidence::gate::Gate;
    use crate::archive::evidence::sample;
    use crate::archive::evidence::statement::PREDICATE_TYPE;

    fn schema() -> Value {
        serde_json::from_str(JSON).unwrap()
    }

    /// The schema that a `$ref` names, or itself.
    fn followed<'a>(root: &'a Value, at: &'a Value) -> &'a Value {
        match at.get("$ref").and_then(Value::as_str) {
            Some(name) => {
                root.pointer(name.strip_prefix('#').unwrap()).unwrap_or_else(|| panic!("no {name}"))
            }
            None => at,
        }
    }

    /// Of `anyOf` the alternative that is not null.
    fn chosen<'a>(root: &'a Value, at: &'a Value) -> &'a Value {
        let at = followed(root, at);
        let alternatives = at.get("anyOf").and_then(Value::as_array);
        alternatives.map_or(at, |all| followed(root, all.iter().find(|one| one["type"] != "null").unwrap()))
    }

    /// Differences between values at one place and the schema of that place.
    fn differences(root: &Value, at: &Value, values: &[&Value], path: &str, out: &mut Vec<String>) {
        let at = chosen(root, at);
        if at.get("description").is_none() && !path.ends_with("[]") {
            out.push(format!("{path}: no description"));
        }
        let objects: Vec<_> = values.iter().filter_map(|value| value.as_object()).collect();
        let arrays: Vec<_> = values.iter().filter_map(|value| value.as_array()).collect();
        if !objects.is_empty() || at.get("properties").is_some() {
            let fields: BTreeSet<&str> =
                objects.iter().flat_map(|one| one.keys()).map(String::as_str).collect();
            let Some(properties) = at["properties"].as_object() else {
                out.push(format!("{path}: the schema has no properties"));
                return;
            };
            let known: BTreeSet<&str> = properties.keys().map(String::as_str).collect();
            out.extend(fields.difference(&known).map(|name| format!("{path}.{name}: not in the schema")));
            out.extend(known.difference(&fields).map(|name| format!("{path}.{name}: only in the schema")));
            for name in at["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
                let everywhere = objects.iter().all(|one| one.contains_key(name));
                out.extend((!everywhere).then(|| format!("{path}.{name}: required, but absent somewhere")));
            }
            for name in fields.intersection(&known) {
                let below: Vec<&Value> = objects.iter().filter_map(|one| one.get(*name)).collect();
                let is_required =
                    at["required"].as_array().is_some_and(|all| all.iter().any(|one| one == *name));
                if is_required != (below.len() == objects.len()) {
                    out.push(format!("{path}.{name}: whether it is required differs"));
                }
                differences(root, &properties[*name], &below, &format!("{path}.{name}"), out);
            }
        } else if !arrays.is_empty() {
            let below: Vec<&Value> = arrays.into_iter().flatten().collect();
            differences(root, &at["items"], &below, &format!("{path}[]"), out);
        }
        out.extend(values.iter().filter_map(|value| wrong_type(at, value, path)));
    }

    fn wrong_type(at: &Value, value: &Value, path: &str) -> Option<String> {
        let name = match value {
            Value::Null => return None, // the other alternative
            Value::Bool(_) => "boolean",
            Value::Number(number) if number.is_f64() => "number",
            Value::Number(_) => "integer",
            Value::String(_) => "string",
            Value::Array(_) => "array",
            Value::Object(_) => "object",
        };
        let types: Vec<&str> = match &at["type"] {
            Value::Array(all) => all.iter().filter_map(Value::as_str).collect(),
            one => one.as_str().into_iter().collect(),
        };
        let fits = types.contains(&name) || (name == "integer" && types.contains(&"number"));
        let listed = at["enum"].as_array().is_none_or(|all| all.contains(value));
        (!fits || !listed).then(|| format!("{path}: {value} is not of {types:?}, or not among its values"))
    }

    #[test]
    fn the_schema_has_the_fields_of_the_predicate_and_no_other() {
        let root = schema();
        let sample = serde_json::to_value(sample::checkpoint()).unwrap();
        let mut out = Vec::new();
        differences(&root, &root, &[&sample], "predicate", &mut out);
        assert!(out.is_empty(), "{out:#?}");
    }

    #[test]
    fn the_schema_knows_every_gate_and_its_own_name() {
        let root = schema();
        assert_eq!(root["$id"], PREDICATE_TYPE);
        let gates: Vec<&str> = Gate::ALL.iter().map(|gate| gate.as_str()).collect();
        assert_eq!(root["$defs"]["gateResult"]["properties"]["gate"]["enum"], serde_json::json!(gates));
    }
}
