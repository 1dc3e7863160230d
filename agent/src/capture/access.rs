//! Whether Kubernetes would let a capture read what it reads. Nothing is captured.

use futures::stream::{self, StreamExt, TryStreamExt};
use tokio_util::sync::CancellationToken;

use super::kubectl::Kubectl;
use super::kubernetes;
use crate::config::Configuration;
use crate::error::Result;

/// Questions that are asked at once.
const AT_ONCE: usize = 4;

/// A right that the account does not have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MissingRight {
    /// Where.
    pub namespace: String,
    /// `list` or `get`.
    pub verb: &'static str,
    /// The kind of objects, as `deployments.apps`; `namespaces/NAME` for the namespace itself.
    pub what: String,
}

/// The version of kubectl. Asks no server.
///
/// # Errors
/// `Config` where it cannot be started.
pub async fn version(config: &Configuration, cancel: &CancellationToken) -> Result<String> {
    Kubectl::new(config, cancel).version().await
}

/// What a capture needs and may not do, in the order of the configured namespaces; and how many kinds of
/// objects the server has that would be captured.
///
/// # Errors
/// Those of kubectl, where the server does not say.
pub async fn missing_rights(
    config: &Configuration,
    cancel: &CancellationToken,
) -> Result<(Vec<MissingRight>, usize)> {
    let kubectl = Kubectl::new(config, cancel);
    let mut kinds = kubernetes::kinds(&kubectl).await?;
    kinds.push("secrets".to_owned());
    let mut wanted = Vec::new();
    for namespace in &config.namespaces {
        let right =
            |verb, what: &str| MissingRight { namespace: namespace.clone(), verb, what: what.to_owned() };
        wanted.push(right("get", &format!("namespaces/{namespace}")));
        wanted.extend(kinds.iter().map(|kind| right("list", kind)));
        wanted.push(right("get", "secrets"));
    }
    let asked = stream::iter(wanted).map(|right| {
        let kubectl = &kubectl;
        async move {
            let may = kubectl.may(right.verb, &right.what, &right.namespace).await?;
            Ok((!may).then_some(right))
        }
    });
    let missing: Vec<Option<MissingRight>> = asked.buffered(AT_ONCE).try_collect().await?;
    Ok((missing.into_iter().flatten().collect(), kinds.len()))
}
