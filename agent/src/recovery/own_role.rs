//! The role that loads a dump: one that is created for the load and always removed, or the configured
//! role. After the tenant's code has run for the last time, we set owners and privileges.

use crate::error::Result;
use crate::postgres::load::NotMade;
use crate::postgres::load::divide::Estate;
use crate::postgres::load::give::{Giver, give};
use crate::postgres::load::role::{self, Loader};
use crate::postgres::session::Session;
use crate::recovery::fill::{Fill, Watched};
use crate::recovery::loaded::Loaded;
use crate::recovery::loading::Who;
use crate::recovery::server::Seen;

impl Fill<'_> {
    pub(super) async fn load_by_own_role(
        &self,
        seen: &Seen,
        jobs: u32,
        watched: Watched<'_>,
    ) -> Result<Option<Loaded>> {
        let mut ours = Session::maintenance(self.postgres).await?;
        let left_over = role::sweep(&mut ours, self.postgres, self.incomplete).await?;
        ours.close().await;
        // A stop while the role is created must not leave the role; work with the role can be stopped.
        let to_the_end = self.postgres.to_the_end();
        let mut ours = Session::maintenance(&to_the_end).await?;
        let mut loader = Loader::make(&mut ours, &to_the_end, self.incomplete, jobs).await?;
        ours.close().await;
        loader.options = loader.options.stopped_by(&self.postgres.stop);
        let mut estate = None;
        let who = Who { options: &loader.options, loader: Some(&loader), jobs };
        let done = self.run_as(&who, seen, &mut estate, watched).await;
        let right = matches!(done, Ok(Some(_)));
        let ended = self.end(loader, right, estate.as_ref()).await;
        match (done, ended) {
            (Ok(None), ended) => ended.map(|_| None),
            (Ok(Some(mut loaded)), ended) => {
                loaded.not_made.extend(ended?);
                loaded.warnings.extend(left_over);
                loaded.heed(estate);
                Ok(Some(loaded))
            }
            (Err(e), Ok(_)) => Err(e),
            (Err(e), Err(more)) => {
                let what = format!("{}: {}", more.what(), more.causes().join("; "));
                Err(e.next(format!(
                    "the role of this load could not be dropped ({what}); the next restore drops it"
                )))
            }
        }
    }

    /// The configured role loads: what it creates belongs to the heir at once, or to the owners that
    /// pg_restore sets.
    pub(super) async fn load_by_configured_role(
        &self,
        seen: &Seen,
        jobs: u32,
        watched: Watched<'_>,
    ) -> Result<Option<Loaded>> {
        let mut estate = None;
        let who = Who { options: self.postgres, loader: None, jobs };
        let Some(mut loaded) = self.run_as(&who, seen, &mut estate, watched).await? else { return Ok(None) };
        if let Some(estate) = &estate {
            let mut there = Session::connect(self.postgres, self.incomplete).await?;
            loaded.not_made.extend(give(&mut there, Giver::Heir, estate, self.choices.partial).await?);
            there.close().await;
        }
        loaded.heed(estate);
        Ok(Some(loaded))
    }

    /// Ends the role. After a successful load, everything then has its owner, and privileges are set. After a
    /// failed one, everything belongs to the heir, so that a person can look at it.
    async fn end(&self, loader: Loader, right: bool, estate: Option<&Estate>) -> Result<Vec<NotMade>> {
        let to_the_end = self.postgres.to_the_end();
        let mut ours = Session::maintenance(&to_the_end).await?;
        let closed = loader.close(&mut ours).await?;
        let given = match estate.filter(|_| right) {
            Some(estate) => {
                let mut there = Session::connect(self.postgres, self.incomplete).await?;
                give(&mut there, Giver::OwnRole(&closed.name), estate, self.choices.partial).await
            }
            None => Ok(Vec::new()),
        };
        tracing::debug!(role = closed.name, "the role of the load was dropped");
        closed.drop(&mut ours, &to_the_end, estate.map(|estate| estate.heir.as_str())).await?;
        ours.close().await;
        given
    }
}

impl Loaded {
    fn heed(&mut self, estate: Option<Estate>) {
        let Some(estate) = estate else { return };
        self.warnings.extend(estate.warnings);
        self.not_made.extend(estate.left);
    }
}
