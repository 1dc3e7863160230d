//! What a person does to go back, in order, each step with its undo.

use serde::Serialize;

use crate::archive::digest::Sha256;
use crate::archive::evidence::predicate::Checkpoint;
use crate::names::{ReleaseId, TenantName, shell_word};
use crate::release::decision::Way;

/// The longest name of a database.
const NAME_BYTES_MAX: usize = 63;

/// One step.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Step {
    /// The tenant that it is for; `None` for all.
    pub tenant: Option<TenantName>,
    /// What to do.
    pub what: String,
    /// The command, where it is one of ours.
    pub command: Option<String>,
    /// How it is undone.
    pub undo: Option<String>,
    /// When it is needed, where that depends.
    pub only_if: Option<String>,
}

impl Step {
    fn new(tenant: Option<&TenantName>, what: impl Into<String>) -> Step {
        Step { tenant: tenant.cloned(), what: what.into(), command: None, undo: None, only_if: None }
    }

    fn command(self, command: String) -> Step {
        Step { command: Some(command), ..self }
    }

    fn undo(self, undo: impl Into<String>) -> Step {
        Step { undo: Some(undo.into()), ..self }
    }
}

/// The database that holds a tenant's state before the release: `shop_before_2026.11.20`.
pub fn copy_name(tenant: &TenantName, release: &ReleaseId) -> TenantName {
    let plain = |c: char| if c.is_ascii_alphanumeric() || "._-".contains(c) { c } else { '_' };
    let id: String = release.as_str().chars().map(plain).collect();
    let whole = format!("{tenant}_before_{id}");
    if whole.len() <= NAME_BYTES_MAX && id == release.as_str() {
        return whole.parse().unwrap_or_else(|_| tenant.clone());
    }
    // Two releases or two tenants whose names are cut, or written in other letters, are told apart.
    let digest = Sha256::of(format!("{tenant}/{release}").as_bytes()).to_string();
    let mut cut = String::new();
    for c in whole.chars() {
        if cut.len() + c.len_utf8() > NAME_BYTES_MAX - 9 {
            break;
        }
        cut.push(c);
    }
    format!("{cut}_{}", &digest[..8]).parse().unwrap_or_else(|_| tenant.clone())
}

/// The steps for these tenants, with the way of each and whether its database is gone.
pub fn steps(checkpoint: &Checkpoint, tenants: &[(&TenantName, Way, bool)]) -> Vec<Step> {
    let release = &checkpoint.release.id;
    let go_back = |way: Way| way == Way::Database || way == Way::NotKnown;
    let mut out = Vec::new();
    let names = |fits: &dyn Fn(Way) -> bool| {
        let names: Vec<&str> =
            tenants.iter().filter(|one| fits(one.1)).map(|(name, ..)| name.as_str()).collect();
        names.join(", ")
    };
    if tenants.iter().any(|(_, way, _)| go_back(*way)) {
        let what = format!(
            "stop Odoo, its workers and its scheduled jobs for {}, and the integrations that write to it: \
             what is written from here on is lost",
            names(&go_back)
        );
        out.push(Step::new(None, what).undo("start them again"));
    }
    for (tenant, way, gone) in tenants.iter().filter(|(_, way, _)| go_back(*way)) {
        out.extend(database_steps(release, tenant, *gone).into_iter().map(|step| match way {
            Way::NotKnown => Step { only_if: Some(format!("the database of {tenant} goes back")), ..step },
            _ => step,
        }));
    }
    let image = checkpoint
        .release
        .image
        .as_ref()
        .map_or_else(|| format!("deploy release {release} again"), |image| format!("deploy {image} again"));
    let before = checkpoint.previous.as_ref().map_or_else(
        || format!("deploy the image that ran before release {release}"),
        |previous| format!("deploy the image of release {}", previous.release),
    );
    out.push(Step::new(None, before).undo(image));
    for (tenant, ..) in tenants.iter().filter(|(_, way, gone)| go_back(*way) && !gone) {
        let command = format!(
            "lifeboat rollback salvage --release {} --tenant {}",
            word(release),
            shell_word(tenant.as_str())
        );
        let what = format!("save what was written to {tenant} after the point, from the old state");
        out.push(
            Step::new(Some(tenant), what).command(command).undo("a dry run comes first: it changes nothing"),
        );
    }
    for (tenant, ..) in tenants.iter().filter(|(_, way, _)| !go_back(*way)) {
        let condition = format!("the release changed data of {tenant} that must not stay");
        let conditional = |step| Step { only_if: Some(condition.clone()), ..step };
        out.extend(database_steps(release, tenant, false).into_iter().map(conditional));
    }
    out
}

fn word(release: &ReleaseId) -> String {
    shell_word(release.as_str())
}

fn database_steps(release: &ReleaseId, tenant: &TenantName, gone: bool) -> Vec<Step> {
    let copy = copy_name(tenant, release);
    let [tenant_word, copy_word] = [tenant, &copy].map(|name| shell_word(name.as_str()));
    let restore = format!("lifeboat restore --release {} --tenant {tenant_word}", word(release));
    if gone {
        let what = format!("restore {tenant} to the point, under its own name, on a host with the identity");
        return vec![
            Step::new(Some(tenant), what)
                .command(format!("{restore} --as {tenant_word}"))
                .undo(format!("drop database {tenant} and its filestore")),
        ];
    }
    let what = format!("restore {tenant} to the point, beside the state of now, on a host with the identity");
    let promote = format!("make that state {tenant}; the state of now is kept");
    vec![
        Step::new(Some(tenant), what)
            .command(format!("{restore} --as {copy_word} --no-neutralize"))
            .undo(format!("drop database {copy} and its filestore")),
        Step::new(Some(tenant), promote)
            .command(format!("lifeboat promote {copy_word} --as {tenant_word}"))
            .undo(format!(
                "lifeboat promote {}.replaced-TIME --as {tenant_word} (it prints the name)",
                tenant_word
            )),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_the_copy_is_a_database_name_whatever_the_release_is_called() {
        let name = |tenant: &str, release: &str| {
            copy_name(&tenant.parse().unwrap(), &release.parse().unwrap()).to_string()
        };
        assert_eq!(name("shop", "2026.11.20"), "shop_before_2026.11.20");
        let odd = name("shop", "v1:2@x");
        assert!(odd.starts_with("shop_before_v1_2_x_") && odd != name("shop", "v1@2:x"), "{odd}");
        let long = name(&"é".repeat(31), &"9".repeat(128));
        assert!(long.len() <= NAME_BYTES_MAX && long.starts_with(&"é".repeat(26)), "{long}");
    }
}
