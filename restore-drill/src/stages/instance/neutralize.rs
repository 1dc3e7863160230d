//! Neutralizes a tenant of a restored instance, which is live as production was, and looks for what is live
//! afterwards.

use lifeboat::error::Result;
use lifeboat::odoo::neutralize::{BASE_URL, neutralize};

use crate::drill::stage::Stage;
use crate::place::Room;
use crate::report::Report;
use crate::stages::neutralized::Neutralized;

/// One tenant.
pub struct Neutralize<'a> {
    /// Where it is.
    pub room: &'a Room,
}

impl Stage for Neutralize<'_> {
    const NAME: &'static str = Neutralized::NAME;
    type Output = ();

    async fn run(self, report: &mut Report) -> Result<((), String)> {
        let mut session = self.room.connect(&self.room.database).await?;
        neutralize(&mut session, BASE_URL).await?;
        session.close().await;
        Neutralized { room: self.room }.run(report).await
    }
}
