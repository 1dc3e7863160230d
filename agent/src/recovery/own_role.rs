//! The load by a role that is made for it: the server's part before, the tenant's part as that role,
//! owners and rights after it; the role goes whatever happens.

use crate::archive::manifest::DUMP_PATH;
use crate::disk;
use crate::error::{Error, Kind, Result};
use crate::postgres::load::give::{Estate, divide, give};
use crate::postgres::load::ready::ready;
use crate::postgres::load::rights::far_reaching;
use crate::postgres::load::role::{self, Loader};
use crate::postgres::load::sift::{sift, use_list};
use crate::postgres::load::toc::{self, Entry};
use crate::postgres::restore::{Only, Restore};
use crate::postgres::session::Session;
use crate::recovery::database::Loaded;
use crate::recovery::fill::{Fill, Watched};

impl Fill<'_> {
    pub(super) async fn load_by_own_role(&self, watched: Watched<'_>) -> Result<Loaded> {
        let dump = self.work.dir.join(DUMP_PATH);
        let entries = tokio::task::spawn_blocking(move || toc::read(&dump))
            .await
            .unwrap_or_else(|e| Err(Error::new(Kind::Internal, "reading the dump panicked").because(e)))?;
        let mut ours = Session::maintenance(self.postgres).await?;
        let left_over = role::sweep(&mut ours, self.postgres, self.incomplete).await?;
        ours.close().await;
        // A stop while the role is made must not leave it behind; what is done with the role heeds it.
        let to_the_end = self.postgres.to_the_end();
        let mut ours = Session::maintenance(&to_the_end).await?;
        let mut loader = Loader::make(&mut ours, &to_the_end, self.incomplete, self.jobs).await?;
        ours.close().await;
        loader.options = loader.options.stopped_by(&self.postgres.stop);
        let mut estate = None;
        let done = self.as_loader(&loader, &entries, &mut estate, watched).await;
        let ended = self.end(loader, done.is_ok(), estate.as_ref()).await;
        let (mut loaded, name) = match (done, ended) {
            (Ok(loaded), ended) => (loaded, ended?),
            (Err(e), Ok(_)) => return Err(e),
            (Err(e), Err(more)) => {
                let what = format!("{}: {}", more.what(), more.causes().join("; "));
                return Err(e.next(format!(
                    "the role of this load is still there ({what}); the next restore drops it"
                )));
            }
        };
        tracing::debug!(role = name, "the dump was loaded by a role of its own, which is gone");
        loaded.warnings.extend(left_over);
        loaded.warnings.extend(estate.map(|estate| estate.warnings).unwrap_or_default());
        Ok(loaded)
    }

    /// Until the tenant's code has run for the last time.
    async fn as_loader(
        &self,
        loader: &Loader,
        entries: &[Entry],
        estate: &mut Option<Estate>,
        watched: Watched<'_>,
    ) -> Result<Loaded> {
        let mut there = Session::connect(self.postgres, self.incomplete).await?;
        let made = ready(&mut there, &loader.name, entries).await?;
        let sifted = sift(entries, &made)?;
        let kept: Vec<&Entry> = entries.iter().filter(|entry| !sifted.gone.contains(&entry.id)).collect();
        let owners = entries.iter().map(|entry| entry.owner.as_str()).filter(|owner| !owner.is_empty());
        let far = far_reaching(&mut there, owners.chain([self.owner])).await?;
        let divided = estate.insert(divide(&kept, self.owner, self.by_owner, &far)?);
        loader.note_heir(&mut there, &divided.heir).await?;
        there.close().await;
        let list = self.work.list();
        disk::replace_durable(&list, use_list(&sifted.load).as_bytes())?;
        let only = Only { list: list.clone(), entries: sifted.load.len() as u64 };
        let restore = Restore { no_owner: true, only: Some(only), ..self.restore() };
        let loaded = self.load_as(&loader.options, restore, watched).await;
        disk::remove_file(&list)?;
        let mut loaded = loaded?;
        loaded.warnings.extend(sifted.left_out);
        Ok(loaded)
    }

    /// Ends the role; where the load was right, everything has its owner then, and rights are set. Where
    /// it was not, what is there belongs to the heir, so that a person can look at it.
    async fn end(&self, loader: Loader, right: bool, estate: Option<&Estate>) -> Result<String> {
        let to_the_end = self.postgres.to_the_end();
        let mut ours = Session::maintenance(&to_the_end).await?;
        let closed = loader.close(&mut ours).await?;
        let name = closed.name.clone();
        let given = match estate.filter(|_| right) {
            Some(estate) => {
                let mut there = Session::connect(self.postgres, self.incomplete).await?;
                give(&mut there, &name, estate).await
            }
            None => Ok(()),
        };
        closed.drop(&mut ours, &to_the_end, estate.map(|estate| estate.heir.as_str())).await?;
        ours.close().await;
        given.map(|()| name)
    }
}
