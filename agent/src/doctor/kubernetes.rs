//! Checks of kubectl and of what its account may read, where `[configuration]` names namespaces.

use std::collections::BTreeMap;

use tokio_util::sync::CancellationToken;

use super::Check;
use crate::capture::access::{self, MissingRight};
use crate::config::Config;
use crate::names::counted;

/// Every check; none where no namespace is named.
pub async fn checks(config: &Config) -> Vec<Check> {
    if config.configuration.namespaces.is_empty() {
        return Vec::new();
    }
    let cancel = CancellationToken::new();
    let program = &config.configuration.kubectl;
    let found = match access::version(&config.configuration, &cancel).await {
        Ok(version) => Check::ok("kubectl", format!("{program} {version}")),
        Err(error) => {
            let untried = Check::not_checked("kubernetes", "it needs kubectl");
            return vec![Check::error("kubectl", &error), untried];
        }
    };
    let rights = match access::missing_rights(&config.configuration, &cancel).await {
        Err(error) => vec![Check::error("kubernetes", &error)],
        Ok((missing, kinds)) if missing.is_empty() => {
            let namespaces = config.configuration.namespaces.join(", ");
            let kinds = counted(kinds, "kind");
            vec![Check::ok("kubernetes", format!("{kinds} of objects can be read in {namespaces}"))]
        }
        Ok((missing, _)) => by_namespace(&missing),
    };
    std::iter::once(found).chain(rights).collect()
}

/// One finding for each namespace: what may not be read there, by verb.
fn by_namespace(missing: &[MissingRight]) -> Vec<Check> {
    let mut of: BTreeMap<&str, BTreeMap<&str, Vec<&str>>> = BTreeMap::new();
    for right in missing {
        of.entry(&right.namespace).or_default().entry(right.verb).or_default().push(&right.what);
    }
    let line = |(verb, what): (&&str, &Vec<&str>)| format!("{verb} {}", what.join(", "));
    of.iter()
        .map(|(namespace, verbs)| {
            let verbs: Vec<String> = verbs.iter().map(line).collect();
            let text = format!("rights of the account are missing in namespace {namespace}: {}", verbs.join("; "));
            let next = "add these rights to its role (docs/least-privilege.md has the whole role); until then, \
                        no configuration is captured";
            Check::fail("kubernetes", text, next)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_namespace_has_one_finding_that_names_every_missing_right() {
        let right = |namespace: &str, verb, what: &str| MissingRight {
            namespace: namespace.to_owned(),
            verb,
            what: what.to_owned(),
        };
        let missing =
            [right("b", "list", "services"), right("a", "get", "secrets"), right("b", "list", "jobs.batch")];
        let found = by_namespace(&missing);
        assert_eq!(found.len(), 2);
        assert!(found[0].text.ends_with("in namespace a: get secrets"), "{}", found[0].text);
        assert!(found[1].text.ends_with("in namespace b: list services, jobs.batch"), "{}", found[1].text);
    }
}
