//! Who can decrypt what a configuration stores: everything for `seal.recipients`, and what is of one tenant
//! alone for those of its class as well.

use std::collections::BTreeMap;

use crate::archive::seal::Recipients;
use crate::config::{Class, Config, class_of};
use crate::error::Result;
use crate::names::TenantName;

/// The recipients of a configuration.
#[derive(Clone)]
pub struct SealedFor {
    all: Recipients,
    classes: BTreeMap<String, Class>,
    /// Of each class that has recipients of its own: these, and those of the instance.
    of_classes: BTreeMap<String, Recipients>,
}

impl SealedFor {
    /// Reads them.
    ///
    /// # Errors
    /// `Config` where there are none, or too many for an object of a class.
    pub fn load(config: &Config) -> Result<SealedFor> {
        let all = Recipients::load(&config.seal.recipients, config.seal.recipients_file.as_deref())?;
        let mut of_classes = BTreeMap::new();
        for (name, class) in config.classes.iter().filter(|(_, class)| !class.recipients.is_empty()) {
            let of_class = all.and(&class.recipients);
            let of_class = of_class.map_err(|e| e.context(format!("class.{name}.recipients")))?;
            of_classes.insert(name.clone(), of_class);
        }
        Ok(SealedFor { all, classes: config.classes.clone(), of_classes })
    }

    /// Of base backups, batches, roles: of what holds more than one tenant.
    pub fn instance(&self) -> &Recipients {
        &self.all
    }

    /// Of dumps and files of this tenant. One that is not in exactly one class has those of the instance.
    pub fn tenant(&self, tenant: &TenantName) -> &Recipients {
        let class = class_of(&self.classes, tenant).ok();
        class.and_then(|(name, _)| self.of_classes.get(name)).unwrap_or(&self.all)
    }

    /// How many more a class has than the instance.
    pub fn more(&self) -> impl Iterator<Item = (&str, usize)> {
        let all = self.all.texts().count();
        self.of_classes.iter().map(move |(name, own)| (name.as_str(), own.texts().count() - all))
    }
}
