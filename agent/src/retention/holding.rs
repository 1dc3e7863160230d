//! Adds, removes and lists holds. What is held must exist: a hold on a name with a typing error would keep
//! nothing, and nobody would notice.

use crate::archive::evidence::key::TrustedEvidenceKeys;
use crate::archive::hold::{Held, HoldRecord, RemovalRecord};
use crate::archive::manifest::Origin;
use crate::archive::signature::{SigningKey, TrustedKeys};
use crate::config::Config;
use crate::error::{Error, Kind, Result};
use crate::inventory::take::Wanted;
use crate::inventory::{Inventory, Look};
use crate::names::{HoldName, ReleaseId};
use crate::repository::Repository;
use crate::repository::holds::{HoldLook, Removal, StoredHold};
use crate::repository::snapshots::Trust;

/// A hold that is to be added.
#[derive(Clone, Debug)]
pub struct HoldRequest {
    /// Its name, which must be new.
    pub name: HoldName,
    /// What it holds.
    pub held: Held,
    /// Why.
    pub reason: String,
    /// The person who asks for it.
    pub by: String,
}

/// A hold that is to be removed.
#[derive(Clone, Debug)]
pub struct RemovalRequest {
    /// Which.
    pub name: HoldName,
    /// Why.
    pub reason: String,
    /// The person who asks for it.
    pub by: String,
}

/// What is stored now.
#[derive(Debug)]
pub struct HoldDone {
    /// The hold.
    pub hold: StoredHold,
    /// Whether it was so before.
    pub existed: bool,
}

/// An opened repository whose holds can be read.
pub struct Holds {
    /// The repository.
    pub repository: Repository,
    origin: Origin,
    trusted: TrustedKeys,
}

impl Holds {
    /// Opens the repository.
    ///
    /// # Errors
    /// `Config` where no key is trusted; those of the store; `NotFound` before the instance's first backup.
    pub async fn open(config: &Config) -> Result<Holds> {
        let trusted = TrustedKeys::parse(&config.signing.trusted_keys)?;
        if trusted.is_empty() {
            return Err(Error::new(Kind::Config, "signing.trusted_keys is empty")
                .effect("no hold could be believed")
                .next("put the public half of the signing key there"));
        }
        let repository = Repository::configured(config).await?;
        let origin = repository.origin().await?;
        Ok(Holds { repository, origin, trusted })
    }

    /// What is stored under each name.
    ///
    /// # Errors
    /// Those of [`Repository::holds`].
    pub async fn all(&self) -> Result<Vec<(HoldName, HoldLook)>> {
        self.repository.holds(&self.origin, &self.trusted).await
    }

    async fn look(&self, name: &HoldName) -> HoldLook {
        self.repository.hold(name, &self.origin, &self.trusted).await
    }

    /// Adds a hold. Idempotent: the same one again changes nothing.
    ///
    /// # Errors
    /// `NotFound` where what it holds does not exist; `AlreadyExists` where the name was used for another
    /// one, or for one that was removed; `Usage`; `Config` where no key signs, or the key is not trusted;
    /// those of the store.
    pub async fn add(&self, config: &Config, request: HoldRequest) -> Result<HoldDone> {
        let HoldRequest { name, held, reason, by } = request;
        let record = HoldRecord::new(self.origin.clone(), name, held, (&reason, &by))?;
        match self.look(&record.name).await {
            HoldLook::Stored(stored) => return Ok(HoldDone { hold: same(*stored, &record)?, existed: true }),
            HoldLook::Nothing | HoldLook::Half => {}
            look @ HoldLook::Unknown(_) => return Err(unknown(look, &record.name)),
        }
        let signing = self.signing(config)?;
        self.check_exists(config, &record.held).await?;
        match self.repository.store_hold(&record, &signing).await {
            Err(e) if e.kind() == Kind::AlreadyExists => {
                return Err(Error::new(
                    Kind::AlreadyExists,
                    format!("the name {} is already used, by another hold or an incomplete one", record.name),
                )
                .because(e)
                .effect("it does not hold what you asked for")
                .next("lifeboat hold list shows it; choose another name"));
            }
            stored => stored?,
        }
        match self.look(&record.name).await {
            HoldLook::Stored(stored) => Ok(HoldDone { hold: same(*stored, &record)?, existed: false }),
            look => Err(unknown(look, &record.name)),
        }
    }

    /// Removes a hold. Idempotent: the same removal again changes nothing.
    ///
    /// # Errors
    /// `NotFound` where there is no such hold; `AlreadyExists` where it was removed for another reason or by
    /// somebody else; where the hold is not believed, why not; `Usage`; `Config`; those of the store.
    pub async fn remove(&self, config: &Config, request: RemovalRequest) -> Result<HoldDone> {
        let RemovalRequest { name, reason, by } = request;
        let hold = match self.look(&name).await {
            HoldLook::Stored(stored) => *stored,
            HoldLook::Nothing => {
                return Err(Error::new(Kind::NotFound, format!("there is no hold {name}"))
                    .effect("nothing was removed")
                    .next("lifeboat hold list --all shows every name"));
            }
            look => return Err(unknown(look, &name)),
        };
        let removal = RemovalRecord::new(&hold.record, hold.sha256, (&reason, &by))?;
        if matches!(hold.removal, Removal::Done(..)) {
            return Ok(HoldDone { hold: removed(hold, &removal)?, existed: true });
        }
        let signing = self.signing(config)?;
        match self.repository.store_removal(&removal, &signing).await {
            Err(e) if e.kind() == Kind::AlreadyExists => {
                let what = format!("something else is stored in place of the removal of hold {name}");
                let next = "find out who stored it (lifeboat verify), remove it with the store's own tools, \
                            then run this again";
                return Err(Error::new(Kind::AlreadyExists, what)
                    .because(e)
                    .effect("the hold still holds")
                    .next(next));
            }
            stored => stored?,
        }
        match self.look(&name).await {
            HoldLook::Stored(stored) => Ok(HoldDone { hold: removed(*stored, &removal)?, existed: false }),
            look => Err(unknown(look, &name)),
        }
    }

    /// The key that signs: one that is trusted, because a hold of another key would hold nothing known.
    fn signing(&self, config: &Config) -> Result<SigningKey> {
        let file = config.signing.key_file.as_deref().ok_or_else(|| {
            Error::new(Kind::Config, "signing.key_file is not set")
                .effect("nothing was stored: a hold counts only if a trusted key signed it")
                .next("run this on a host that has a signing key")
        })?;
        let signing = SigningKey::load(file)?;
        let tried = signing.sign(b"hold")?;
        self.trusted.verify("hold", b"hold", tried.as_bytes()).map_err(|e| {
            let what = format!("{}: its public half is not in signing.trusted_keys", file.display());
            let public = signing.public_text().unwrap_or_default();
            Error::new(Kind::Config, what)
                .because(e)
                .effect("nothing was stored: it would not be believed")
                .next(format!("add {public:?} to signing.trusted_keys, here and where expire runs"))
        })?;
        Ok(signing)
    }

    async fn check_exists(&self, config: &Config, held: &Held) -> Result<()> {
        let trust = Trust::Keys(self.trusted.clone());
        if let Held::Snapshot(id) = held {
            return match self.repository.manifest(id, &self.origin, &trust).await {
                Err(e) if e.kind() == Kind::NotFound => {
                    Err(missing(held, "lifeboat list shows what there is"))
                }
                found => found.map(drop).map_err(|e| e.context(format!("check {held}"))),
            };
        }
        let checkpoint = match held {
            Held::Release(release) => self.has_checkpoint(config, release).await,
            _ => Ok(false),
        };
        if matches!(checkpoint, Ok(true)) {
            return Ok(());
        }
        let inventory = Inventory::take(&self.repository, &trust, &Wanted::default()).await?;
        let (found, next) = match held {
            Held::Snapshot(_) => (true, ""),
            Held::Release(release) => (
                inventory.believed().any(|one| one.manifest.release.as_ref() == Some(release)),
                "lifeboat list --releases shows the checkpoints; lifeboat list shows the snapshots",
            ),
            Held::Tenant(tenant) => (
                inventory.believed().any(|one| one.manifest.tenant.as_ref() == Some(tenant)),
                "lifeboat list shows the tenants; to hold a tenant that only base backups contain, hold a \
                 span of time: --from TIME --to TIME",
            ),
            Held::Span(_, to) => (
                inventory.believed().any(|one| one.stored_at <= *to),
                "lifeboat window shows which times can be restored",
            ),
        };
        if found {
            return Ok(());
        }
        let could_not_look = inventory.snapshots.iter().find_map(|(_, look)| match look {
            Look::NotRead(e) => Some(e.again()),
            _ => None,
        });
        match checkpoint.err().or(could_not_look) {
            Some(e) => Err(e.context(format!("check {held}"))),
            None => Err(missing(held, next)),
        }
    }

    async fn has_checkpoint(&self, config: &Config, release: &ReleaseId) -> Result<bool> {
        let trusted = TrustedEvidenceKeys::configured(&config.checkpoint)?;
        Ok(self.repository.read_checkpoint(release, &self.origin, &trusted).await?.is_some())
    }
}

fn missing(held: &Held, next: &str) -> Error {
    Error::new(Kind::NotFound, format!("nothing is stored of {held}")).effect("no hold was added").next(next)
}

/// Why nobody knows what is stored under this name; the store does not have it where it was just written.
fn unknown(look: HoldLook, name: &HoldName) -> Error {
    let lost = || Error::new(Kind::Integrity, format!("hold {name} was stored, but is missing now"));
    look.why_unknown(name).unwrap_or_else(lost).effect("as long as this is so, expire deletes nothing")
}

/// The hold, if it is this one and was not removed.
fn same(hold: StoredHold, wanted: &HoldRecord) -> Result<StoredHold> {
    let HoldRecord { name, held, reason, by, .. } = &hold.record;
    let what = match &hold.removal {
        Removal::Done(removal, at) => {
            format!("hold {name} was removed {at} by {}: {}", removal.by, removal.reason)
        }
        _ if hold.record != *wanted => format!("there is another hold {name}, of {held}, by {by}: {reason}"),
        _ => return Ok(hold),
    };
    Err(Error::new(Kind::AlreadyExists, what)
        .effect("no hold was added")
        .next("choose another name: each is used once"))
}

/// The hold, if it was removed like this.
fn removed(hold: StoredHold, wanted: &RemovalRecord) -> Result<StoredHold> {
    let name = &hold.record.name;
    match &hold.removal {
        Removal::Done(removal, _) if **removal == *wanted => Ok(hold),
        Removal::Done(removal, at) => {
            let what = format!("hold {name} was removed {at} by {}: {}", removal.by, removal.reason);
            Err(Error::new(Kind::AlreadyExists, what).effect("it holds nothing; nothing was changed"))
        }
        Removal::Never => {
            let what = format!("the removal of hold {name} was stored, but is missing now");
            Err(Error::new(Kind::Integrity, what).effect("the hold still holds"))
        }
        Removal::InDoubt(e) => Err(e.again().effect("the hold still holds")),
    }
}
