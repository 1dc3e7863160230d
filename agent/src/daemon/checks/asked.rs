//! What Azure DevOps asks: a body of JSON, whose values its variables fill in. Everything in it is foreign.

use reqwest::Url;
use serde::Deserialize;

use crate::error::shown::is_control;
use crate::names::ReleaseId;

/// Characters of one value.
const CHARS_MAX: usize = 1_000;
/// Characters of Azure's token, which is a signed document.
const TOKEN_CHARS_MAX: usize = 16 << 10;
/// People in one list.
const NAMES_MAX: usize = 20;

/// The body. What is empty is not given.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Body {
    plan_url: String,
    project_id: String,
    hub_name: String,
    plan_id: String,
    job_id: String,
    task_instance_id: String,
    auth_token: String,
    release: String,
    #[serde(default)]
    image: String,
    #[serde(default)]
    commit: String,
    #[serde(default)]
    tier: String,
    #[serde(default)]
    cohort: String,
    #[serde(default)]
    ticket: String,
    /// Names with commas between them.
    #[serde(default)]
    approved_by: String,
    #[serde(default)]
    migration_approved_by: String,
}

/// A request that is understood.
#[derive(Clone, Debug)]
pub struct Asked {
    /// The run of the pipeline that asks.
    pub plan: String,
    /// What `lifeboat checkpoint` is called with: first the release.
    pub arguments: Vec<String>,
    /// Where the decision goes.
    pub callback: Callback,
}

/// Where the decision goes.
#[derive(Clone)]
pub struct Callback {
    /// The events of the plan.
    pub url: Url,
    /// The job of the check.
    pub job: String,
    /// The task of the check.
    pub task: String,
    /// The header of the request.
    pub authorization: String,
}

/// Azure's token is a secret.
impl std::fmt::Debug for Callback {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Callback({})", self.url)
    }
}

impl Asked {
    /// Reads a body. The error says what is wrong with it, without its secrets.
    pub fn parse(body: &[u8], hosts: &[String]) -> Result<Asked, String> {
        let body: Body =
            serde_json::from_slice(body).map_err(|e| format!("the body is not what a check sends: {e}"))?;
        let release: ReleaseId =
            body.release.parse().map_err(|_| "release is not a release ID".to_owned())?;
        let mut arguments = vec![format!("--release={release}")];
        let one = [
            ("image", &body.image),
            ("commit", &body.commit),
            ("tier", &body.tier),
            ("cohort", &body.cohort),
            ("ticket", &body.ticket),
        ];
        for (name, value) in one.into_iter().filter(|(_, value)| !value.is_empty()) {
            arguments.push(format!("--{name}={}", plain(name, value)?));
        }
        let people =
            [("approved-by", &body.approved_by), ("migration-approved-by", &body.migration_approved_by)];
        for (name, value) in people {
            let names: Vec<&str> = value.split(',').map(str::trim).filter(|one| !one.is_empty()).collect();
            if names.len() > NAMES_MAX {
                return Err(format!("{name} has more than {NAMES_MAX} names"));
            }
            for one in names {
                arguments.push(format!("--{name}={}", plain(name, one)?));
            }
        }
        let token = body.auth_token.as_str();
        if token.is_empty() || token.len() > TOKEN_CHARS_MAX || !token.bytes().all(|b| b.is_ascii_graphic()) {
            return Err("authToken is not a token".to_owned());
        }
        let url = address(&body, hosts)?;
        let authorization = format!("Bearer {token}");
        let callback = Callback { url, job: body.job_id, task: body.task_instance_id, authorization };
        Ok(Asked { plan: body.plan_id, arguments, callback })
    }

    /// The release, for the log.
    pub fn release(&self) -> &str {
        self.arguments.first().and_then(|first| first.strip_prefix("--release=")).unwrap_or_default()
    }
}

fn plain<'a>(name: &str, value: &'a str) -> Result<&'a str, String> {
    match value.chars().count() <= CHARS_MAX && !value.chars().any(|c| is_control(c) || c == '\t') {
        true => Ok(value),
        false => Err(format!("{name} is longer than {CHARS_MAX} characters, or has control characters")),
    }
}

/// `PLANURL/PROJECT/_apis/distributedtask/hubs/HUB/plans/PLAN/events`, at a host of the configuration.
fn address(body: &Body, hosts: &[String]) -> Result<Url, String> {
    let ids = [
        ("projectId", &body.project_id),
        ("planId", &body.plan_id),
        ("jobId", &body.job_id),
        ("taskInstanceId", &body.task_instance_id),
    ];
    for (name, id) in ids {
        let is_id = id.len() == 36 && id.bytes().all(|b| b.is_ascii_hexdigit() || b == b'-');
        if !is_id {
            return Err(format!("{name} is not an ID of Azure DevOps"));
        }
    }
    if body.hub_name.is_empty()
        || body.hub_name.len() > 40
        || !body.hub_name.bytes().all(|b| b.is_ascii_alphanumeric())
    {
        return Err("hubName is not a name of letters".to_owned());
    }
    let mut url = Url::parse(&body.plan_url).map_err(|_| "planUrl is not a URL".to_owned())?;
    if url.scheme() != "https" {
        return Err("planUrl must begin with https://".to_owned());
    }
    let is_plain = url.username().is_empty() && url.password().is_none() && url.query().is_none();
    if !is_plain || url.fragment().is_some() {
        return Err("planUrl has more than a host and a path".to_owned());
    }
    let host = url.host_str().unwrap_or_default();
    let host = url.port().map_or(host.to_owned(), |port| format!("{host}:{port}"));
    if !hosts.iter().any(|known| known.eq_ignore_ascii_case(&host)) {
        return Err(format!("the host of planUrl is not in agent.checks_hosts: {host}"));
    }
    url.path_segments_mut()
        .map_err(|()| "planUrl has no path".to_owned())?
        .pop_if_empty()
        .extend([body.project_id.as_str(), "_apis", "distributedtask", "hubs", body.hub_name.as_str()])
        .extend(["plans", body.plan_id.as_str(), "events"]);
    url.set_query(Some("api-version=2.0-preview.1"));
    Ok(url)
}
