//! Snapshots that are signed and whole, and still not as this host would have made them: somebody who has the
//! signing key may have. They are warnings: a slow clock, a copied repository or new recipients look the
//! same.

use std::collections::{BTreeMap, BTreeSet};

use crate::inventory::Snapshot;
use crate::inventory::pick::oldest_first;
use crate::names::{TenantName, counted};
use crate::repository::sealed_for::SealedFor;

/// Sentences about them. `own` are the recipients of this host; without them, none are compared.
pub fn doubtful(snapshots: &[Snapshot], own: Option<&SealedFor>) -> Vec<String> {
    let mut found = Vec::new();
    let mut off = snapshots.iter().filter_map(|one| Some((&one.manifest.id, one.clock_note()?)));
    if let Some((id, note)) = off.next() {
        let others = match off.count() {
            0 => String::new(),
            more => format!("; so is the time of {}", counted(more, "other snapshot")),
        };
        found.push(format!("the time of {id} is not the store's: it was {note}{others}"));
    }
    let Some(own) = own else { return found };
    let mut groups: BTreeMap<(&str, Option<&TenantName>), Vec<&Snapshot>> = BTreeMap::new();
    for one in snapshots {
        groups.entry((one.manifest.kind().as_str(), one.manifest.tenant.as_ref())).or_default().push(one);
    }
    for ((_, tenant), group) in groups {
        let own = tenant.map_or(own.instance(), |tenant| own.tenant(tenant));
        let own: BTreeSet<&str> = own.texts().collect();
        let Some(newest) = oldest_first(group).pop() else { continue };
        let recipients: BTreeSet<&str> = newest.manifest.recipients.iter().map(String::as_str).collect();
        if recipients != own {
            found.push(format!(
                "{} is the newest of its kind, and is encrypted for other recipients than this host encrypts for \
                 (lifeboat show {} names them)",
                newest.manifest.id, newest.manifest.id
            ));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, Inputs};
    use crate::inventory::made_up::{at, dump, stored};

    const OWN: &str = "age1qyqszqgpqyqszqgpqyqszqgpqyqszqgpqyqszqgpqyqszqgpqyqs3290gq";
    const THEIRS: &str = "age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p";

    #[test]
    fn other_recipients_of_the_newest_and_times_that_differ_are_named() {
        let config = format!(
            "instance = 'prod'\nrepository.url = '/r'\nseal.recipients = ['{OWN}']\n\
             [class.theirs]\ntenants = ['theirs']\nrecipients = ['{THEIRS}']\n"
        );
        let config = Config::parse("x".as_ref(), &config, &Inputs::default()).unwrap();
        let own = SealedFor::load(&config).unwrap();
        let one = |name: &str, hour: i64, recipients: &[&str]| {
            let mut manifest = dump(name, "shop", hour, 1, None);
            manifest.recipients = recipients.iter().map(|text| (*text).to_owned()).collect();
            stored(manifest, hour)
        };
        let (old, new) = (one("d1", 1, &["age1other"]), one("d2", 2, &[OWN]));
        assert_eq!(doubtful(&[old.clone(), new.clone()], Some(&own)), [""; 0]);
        let other = doubtful(&[new.clone(), one("d3", 3, &[OWN, "age1other"])], Some(&own));
        assert!(matches!(other.as_slice(), [only] if only.contains("other recipients")), "{other:?}");
        assert_eq!(doubtful(&[one("d3", 3, &["age1other"])], None), [""; 0]);
        let mut of_class = one("d4", 3, &[OWN, THEIRS]);
        of_class.manifest.tenant = Some("theirs".parse().unwrap());
        assert_eq!(doubtful(&[of_class.clone()], Some(&own)), [""; 0]);
        of_class.manifest.recipients.pop();
        assert_eq!(doubtful(&[of_class], Some(&own)).len(), 1);
        let mut late = new;
        late.stored_at = at(400);
        let late = doubtful(&[late, old], Some(&own));
        assert!(late[0].contains("a slow clock, or a copied repository"), "{late:?}");
    }
}
