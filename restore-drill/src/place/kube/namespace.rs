//! The namespace of a drill: created, removed, and removed later when its drill was killed.
//!
//! Only a namespace that we created is removed: with its UID, so that another one with its name stays; one
//! that another drill left only with our label, our annotations, and after its time. Times are those of the
//! API server, so that no clock of ours decides. Finalizers are never touched.

use std::time::Duration;

use lifeboat::clock::{self, Timestamp};
use lifeboat::error::{Error, Kind, Result};
use serde_json::Value;

use super::api::Api;
use super::objects::{DRILL, MANAGED, SECONDS, namespace_name};
use crate::report::finding::shortened;

/// How long a namespace may take to go.
const GONE_MAX: Duration = Duration::from_secs(120);
const POLL: Duration = Duration::from_secs(1);
/// How much longer than its time a namespace is left alone: its drill removes it itself.
const GRACE: Duration = Duration::from_secs(60);
const WORDS_CHARS_MAX: usize = 400;

/// A namespace that we created.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Namespace {
    /// Its name.
    pub name: String,
    /// What makes it ours.
    pub uid: String,
    /// When the API server created it.
    pub created: Timestamp,
}

impl Namespace {
    /// Creates it.
    ///
    /// # Errors
    /// `AlreadyExists` if there is one with this name: it stays as it is. Those of [`Api::create`].
    pub async fn create(api: &Api, object: &Value) -> Result<Namespace> {
        let made = api.create("/api/v1/namespaces", object).await.map_err(|e| match e.kind() {
            Kind::AlreadyExists => e.effect("the namespace is not of this drill: it was not touched"),
            _ => e,
        })?;
        let found = Namespace::read(&made);
        found.ok_or_else(|| {
            Error::new(Kind::Unreachable, "the API server's namespace has no name, UID or time")
        })
    }

    fn read(object: &Value) -> Option<Namespace> {
        let meta = &object["metadata"];
        Some(Namespace {
            name: meta["name"].as_str()?.to_owned(),
            uid: meta["uid"].as_str()?.to_owned(),
            created: meta["creationTimestamp"].as_str()?.parse().ok()?,
        })
    }

    fn path(&self) -> String {
        format!("/api/v1/namespaces/{}", self.name)
    }

    /// Deletes it, and waits until it is gone. `Err` in the answer says what holds it.
    ///
    /// # Errors
    /// `Conflict` if another one has its name now; those of [`Api::delete`].
    pub async fn remove(&self, api: &Api) -> Result<Result<(), String>> {
        let begun = clock::instant();
        let mut asked = false;
        loop {
            let step = match asked {
                false => api.delete(&self.path(), Some(&self.uid)).await.map(|()| Value::Null),
                true => api.get(&self.path()).await,
            };
            match step {
                Err(e) if e.kind() == Kind::NotFound => return Ok(Ok(())),
                Ok(other) if asked && other["metadata"]["uid"] != *self.uid => return Ok(Ok(())),
                Err(e) if e.kind() == Kind::Unreachable && begun.elapsed() < GONE_MAX => {}
                Err(e) => return Err(e),
                Ok(found) if asked && begun.elapsed() > GONE_MAX => return Ok(Err(holds(&found))),
                Ok(_) => asked = true,
            }
            clock::sleep(POLL).await;
        }
    }
}

/// What keeps a namespace that is being deleted.
fn holds(namespace: &Value) -> String {
    let conditions = namespace["status"]["conditions"].as_array().into_iter().flatten();
    let said = conditions.filter(|condition| condition["status"] == "True");
    let said: Vec<&str> = said.filter_map(|condition| condition["message"].as_str()).collect();
    match said.is_empty() {
        true => "the API server does not say what holds it".to_owned(),
        false => shortened(&said.join("; "), WORDS_CHARS_MAX),
    }
}

/// Removes what killed drills left: the names, and an error for each one that could not be removed. It does
/// not wait until they are gone. `now` is the namespace that was just created.
///
/// # Errors
/// Those of [`Api::get`].
pub async fn sweep(api: &Api, now: &Namespace) -> Result<Vec<Result<String>>> {
    let selector = format!("{}%3D{}", MANAGED.0.replace('/', "%2F"), MANAGED.1);
    let list = api.get(&format!("/api/v1/namespaces?labelSelector={selector}")).await?;
    let mut swept = Vec::new();
    for object in list["items"].as_array().into_iter().flatten() {
        if let Some(left) = left_over(object, now.created) {
            let done = api.delete(&left.path(), Some(&left.uid)).await;
            swept.push(done.map(|()| left.name));
        }
    }
    Ok(swept)
}

/// The namespace, if a drill left it: ours by label, annotations and name, not being deleted, and older than
/// its drill could be.
fn left_over(object: &Value, now: Timestamp) -> Option<Namespace> {
    let meta = &object["metadata"];
    let found = Namespace::read(object)?;
    let drill = meta["annotations"][DRILL].as_str()?;
    let seconds: u64 = meta["annotations"][SECONDS].as_str()?.parse().ok()?;
    let ours = meta["labels"][MANAGED.0] == MANAGED.1 && namespace_name(drill) == found.name;
    let age: Duration = now.duration_since(found.created).try_into().ok()?;
    let over = age > Duration::from_secs(seconds).checked_add(GRACE)?;
    (ours && over && meta["deletionTimestamp"].is_null()).then_some(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::place::kube::objects;

    #[test]
    fn only_what_is_ours_and_over_is_left_over() {
        let drill = "20261130T152139Z-drill-4f3a9c1e";
        let mut object = objects::namespace(drill, 3600);
        object["metadata"]["uid"] = "u".into();
        object["metadata"]["creationTimestamp"] = "2026-11-30T15:21:39Z".into();
        let at = |object: &Value, time: &str| left_over(object, time.parse().unwrap()).is_some();
        let later = "2026-11-30T16:22:40Z";
        assert!(at(&object, later));
        assert!(!at(&object, "2026-11-30T16:22:39Z"), "its drill may be alive");
        assert!(!at(&object, "2026-11-29T00:00:00Z"), "a clock that was set back");
        for (path, value) in [
            ("/metadata/labels/app.kubernetes.io~1managed-by", "helm"),
            ("/metadata/annotations/lifeboat.example~1seconds-to-live", "soon"),
            ("/metadata/annotations/lifeboat.example~1drill", "another"),
            ("/metadata/name", "production"),
        ] {
            let mut other = object.clone();
            *other.pointer_mut(path).unwrap() = value.into();
            assert!(!at(&other, later), "{path}");
        }
        let mut going = object.clone();
        going["metadata"]["deletionTimestamp"] = "2026-11-30T16:00:00Z".into();
        assert!(!at(&going, later));
        object["metadata"]["annotations"] = Value::Null;
        assert!(!at(&object, later));
    }
}
