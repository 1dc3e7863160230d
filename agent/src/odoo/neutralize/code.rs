//! Finds server actions whose code looks as if it called another system.

use super::modules::{Modules, Origin};
use super::tables::Tables;
use super::unknown::{Unknown, UnknownKind};
use crate::error::Result;
use crate::postgres::quote::literal;
use crate::postgres::session::{Session, column};

/// Code with such a word calls out, whoever wrote it.
const CALLS: &str = "\\m(?:requests|urllib[23]?|urlopen|httplib|http\\.client|httpx|aiohttp|pycurl|smtplib|imaplib|\
    ftplib|paramiko|socket|xmlrpc|boto3|suds|zeep|websocket|subprocess|iap_jsonrpc|make_?request)\\M|https?://";
/// A method with such a name may, if it is not Odoo's own.
const MAY_CALL: &str = "\\w*(?:send|push|sync|export|upload|publish|notify|request|webhook|api)\\w*\\s*\\(";

/// Server actions that look as if they called another system. Rules and scheduled actions that run them are
/// off; a person, or another action, can still start them.
pub(super) async fn actions(
    session: &mut Session,
    tables: &Tables,
    modules: &Modules,
) -> Result<Vec<Unknown>> {
    let has = |table: &str, names: &[&str]| names.iter().all(|name| tables.has(table, name));
    if !has("ir_act_server", &["id", "code"]) {
        return Ok(Vec::new());
    }
    let name = match (tables.has("ir_act_server", "name"), tables.is_opaque("ir_act_server", "name")) {
        (true, true) => "coalesce(name->>'en_US', name::text)",
        (true, false) => "name::text",
        (false, _) => "''",
    };
    let owners = match has("ir_model_data", &["model", "res_id", "module"]) {
        true => {
            "ARRAY(SELECT d.module::text FROM public.ir_model_data d \
             WHERE d.model::text = 'ir.actions.server' AND d.res_id = a.id AND d.module IS NOT NULL)"
        }
        false => "ARRAY[]::text[]",
    };
    let kind = if tables.has("ir_act_server", "state") { "state::text = 'code'" } else { "true" };
    let bare = "regexp_replace(code::text, '^[[:space:]]*#.*$', '', 'gn')"; // comments call nobody
    let sql = format!(
        "SELECT id::text, left(name, 60), code ~* {calls}, array_to_string(owners, ' '), \
           coalesce(substring(code FROM '(?i)' || {calls}), substring(code FROM '(?i)' || {may})) \
         FROM (SELECT id, {name} AS name, {bare} AS code, {owners} AS owners FROM public.ir_act_server a \
               WHERE {kind} AND code IS NOT NULL) AS it \
         WHERE code ~* {calls} OR code ~* {may} ORDER BY id",
        calls = literal(CALLS),
        may = literal(MAY_CALL),
    );
    let mut out = Vec::new();
    for row in session.rows("look at the code of server actions", sql).await? {
        let (id, name): (String, Option<String>) = (column(&row, 0)?, column(&row, 1)?);
        let (calls, owners): (bool, String) = (column(&row, 2)?, column(&row, 3)?);
        let owners: Vec<String> = owners.split_whitespace().map(str::to_owned).collect();
        let (module, origin) = modules.first(&owners);
        if !calls && origin == Origin::Community {
            continue;
        }
        let word: Option<String> = column(&row, 4)?;
        let why = format!("its code may call another system ({})", word.unwrap_or_default().trim());
        let name = format!("ir.actions.server {id} ({})", name.unwrap_or_default());
        out.push(Unknown { kind: UnknownKind::Code, name, module, origin, rows: 1, why });
    }
    Ok(out)
}
