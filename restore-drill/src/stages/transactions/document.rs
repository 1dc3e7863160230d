//! One document, rendered by Odoo's report engine as HTML: the tenant's own layout, logo and translations are
//! in it. (PDF is made of it by wkhtmltopdf, which would have to reach Odoo through the network.)

use std::time::Duration;

use super::tenant::Tenant;
use crate::odoo::desk::{Desk, Wrong, ensure};

/// Its name in the report.
pub(super) const FLOW: &str = "document";

const LIMIT: Duration = Duration::from_secs(60);

pub(super) async fn render(desk: &mut Desk<'_>, tenant: &Tenant) -> Result<(), Wrong> {
    tenant.needs(&["account"])?;
    desk.begin("invoice as HTML");
    let Some((id, name)) = &tenant.invoice else {
        return Err(Wrong::NothingFor("there is no new invoice to print".to_owned()));
    };
    let path = format!("/report/html/account.report_invoice/{id}");
    let page = desk.odoo.web.page(&path, LIMIT).await.map_err(Wrong::NoAnswer)?;
    ensure(page.status == 200, || format!("Odoo answers HTTP {} to {path}", page.status))?;
    ensure(page.body.contains(name.as_str()), || format!("the document does not show its number {name}"))?;
    desk.done(format!("{name}: {} bytes", page.body.len()));
    Ok(())
}
