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
    derived(tenant, "before", release)
}

/// The directory for what was written after the point: `shop_after_2026.11.20`.
fn salvage_dir(tenant: &TenantName, release: &ReleaseId) -> TenantName {
    derived(tenant, "after", release)
}

fn derived(tenant: &TenantName, word: &str, release: &ReleaseId) -> TenantName {
    let plain = |c: char| if c.is_ascii_alphanumeric() || "._-".contains(c) { c } else { '_' };
    let id: String = release.as_str().chars().map(plain).collect();
    let whole = format!("{tenant}_{word}_{id}");
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

/// What the steps of a tenant depend on.
#[derive(Clone, Copy, Debug)]
pub struct TenantWay<'a> {
    /// Which.
    pub tenant: &'a TenantName,
    /// Its way back.
    pub way: Way,
    /// Whether no database has its name.
    pub is_missing: bool,
    /// Whether it is known that no row was changed or deleted: then the image is enough.
    pub is_unchanged: bool,
}

/// The steps for these tenants. Those that depend say on what: where the way is not known, and where the
/// image is enough for the tables but perhaps not for what the release wrote.
pub fn steps(checkpoint: &Checkpoint, tenants: &[TenantWay<'_>]) -> Vec<Step> {
    let release = &checkpoint.release.id;
    let of = |wanted: fn(Way) -> bool| tenants.iter().filter(move |one| wanted(one.way));
    let sure = || of(|way| way == Way::Database);
    let unsure = || of(|way| way == Way::NotKnown);
    let image = || of(|way| way < Way::NotKnown).filter(|one| !one.is_unchanged);
    let mut out = Vec::new();
    let names: Vec<&str> = sure().map(|one| one.tenant.as_str()).collect();
    if !names.is_empty() {
        out.push(stop(None, &names.join(", ")));
    }
    for one in sure() {
        out.extend(database_steps(release, one));
    }
    let alone = |one: &TenantWay<'_>| {
        let steps = [stop(Some(one.tenant), one.tenant.as_str())].into_iter();
        steps.chain(database_steps(release, one))
    };
    let if_unsure = |tenant| format!("the database of {tenant} must go back");
    for one in unsure() {
        out.extend(only_if(alone(one), &if_unsure(one.tenant)));
    }
    let is_done = !tenants.is_empty() && tenants.iter().all(|one| one.way == Way::Nothing);
    let deployed = is_done.then(|| "the previous image is not running yet".to_owned());
    out.push(Step { only_if: deployed, ..deploy(checkpoint) });
    for one in image() {
        let tenant = one.tenant;
        let condition = match one.way {
            Way::Nothing => format!(
                "{tenant} was not restored to the point, or the release ran again and changed data that must \
                 be undone"
            ),
            _ => format!("the release changed data of {tenant} that must not stay"),
        };
        out.extend(only_if(alone(one), &condition));
    }
    out
}

fn only_if(steps: impl Iterator<Item = Step>, condition: &str) -> impl Iterator<Item = Step> {
    steps.map(move |step| Step { only_if: Some(condition.to_owned()), ..step })
}

fn stop(tenant: Option<&TenantName>, names: &str) -> Step {
    let what = format!(
        "stop Odoo, its workers and its scheduled jobs for {names}, and the integrations that write to it: \
         what is written from here on is lost"
    );
    Step::new(tenant, what).undo("start them again")
}

fn deploy(checkpoint: &Checkpoint) -> Step {
    let release = &checkpoint.release.id;
    let before = match &checkpoint.previous {
        Some(previous) => format!("deploy the image of release {}", previous.release),
        None => format!("deploy the image that ran before release {release}"),
    };
    let again = checkpoint.release.image.clone().unwrap_or_else(|| format!("release {release}"));
    Step::new(None, format!("{before}, and start Odoo")).undo(format!("deploy {again} again"))
}

/// While the tenant still has its name: after the promotion the state of now is closed for connections.
fn salvage(release: &ReleaseId, tenant: &TenantName) -> Step {
    let (copy, dir) = (copy_name(tenant, release), salvage_dir(tenant, release));
    let [release, tenant_word, copy, dir] =
        [release.as_str(), tenant.as_str(), copy.as_str(), dir.as_str()].map(shell_word);
    let what = format!(
        "export what was written to {tenant} after the point, so that it can be entered again; the files hold \
         customer data"
    );
    Step::new(Some(tenant), what)
        .command(format!(
            "lifeboat rollback salvage --release {release} --tenant {tenant_word} --against {copy} --to {dir}"
        ))
        .undo(format!("delete {dir}"))
}

fn database_steps(release: &ReleaseId, one: &TenantWay<'_>) -> Vec<Step> {
    let tenant = one.tenant;
    let copy = copy_name(tenant, release);
    let [release_word, tenant_word, copy_word] =
        [release.as_str(), tenant.as_str(), copy.as_str()].map(shell_word);
    let restore = format!("lifeboat restore --release {release_word} --tenant {tenant_word}");
    if one.is_missing {
        let what = format!("restore {tenant} to the point, under its own name, on a host with the identity");
        let step = Step::new(Some(tenant), what).command(format!("{restore} --as {tenant_word}"));
        return vec![step.undo(format!("drop database {tenant} and its filestore"))];
    }
    let what = format!(
        "restore {tenant} to the point, beside the current database, on a host with the identity; the copy is \
         not neutralized: let no Odoo serve it yet"
    );
    let promote = format!("make the copy {tenant}; the current database is kept");
    vec![
        Step::new(Some(tenant), what)
            .command(format!("{restore} --as {copy_word} --no-neutralize"))
            .undo(format!("drop database {copy} and its filestore")),
        salvage(release, tenant),
        Step::new(Some(tenant), promote)
            .command(format!("lifeboat promote {copy_word} --as {tenant_word}"))
            .undo(format!(
                "lifeboat promote {tenant_word}.replaced-TIME --as {tenant_word}: promote prints the name"
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
