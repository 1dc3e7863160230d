//! What people of a made-up site hold, and let go again.

use super::periods::at;
use super::world::{DAY, World};
use crate::retention::hold::{Held, Hold};

impl World {
    pub(super) fn hold(&mut self) {
        self.may_be_short = false;
        if self.dice.one_of(3) && !self.holds.is_empty() {
            let now = at(self.now);
            self.holds[0].removed.get_or_insert(now);
            self.holds.rotate_left(1);
            return;
        }
        let held = match self.dice.below(4) {
            0 if !self.items.is_empty() => {
                let which = self.dice.below(self.items.len() as u64) as usize;
                Held::Snapshot(self.items[which].id.clone())
            }
            1 if !self.releases.is_empty() => {
                let which = self.dice.below(self.releases.len() as u64) as usize;
                Held::Release(self.releases[which].release.clone())
            }
            2 => Held::Tenant(self.tenants[0].clone()),
            _ => {
                let from = self.now - self.dice.below(20) as i64 * DAY;
                Held::Span(at(from), at(from + 2 * DAY))
            }
        };
        self.number += 1;
        self.add_hold(format!("h{}", self.number), held);
    }

    pub(super) fn add_hold(&mut self, name: String, held: Held) {
        let (reason, by, since) = ("case 7".to_owned(), "counsel".to_owned(), at(self.now));
        self.holds.push(Hold { name, held, reason, by, since, removed: None });
    }
}
