//! `README.txt` beside the files: what they are, and how to use them.

use crate::clock;
use crate::error::shown::printable;
use crate::release::salvage::summary::{Head, Summary};

/// All of it.
pub fn text(summary: &Summary) -> String {
    let Head { release, tenant, from, against, point, .. } = &summary.head;
    let head = format!(
        "What was written to {tenant} after the point of release {release}\n\n\
         from     {from}: the database with these documents\n\
         against  {against}: the copy at the point, {}\n",
        clock::text(*point)
    );
    // the names may contain anything
    let head: Vec<String> = head.lines().map(printable).collect();
    format!("{}\n\n{BODY}", head.join("\n"))
}

const BODY: &str = "\
These files hold customer data and are not encrypted. Restrict access to them,
and delete them when they are no longer needed.

summary.json      counts, totals by currency, and what is not in these files.
                  It is written last: without it the files are not complete.
KIND.jsonl        one line for each new document, with the rows that belong to it
KIND.csv          the same as a table: one row for each document (table is that
                  of the documents), then one for each row that belongs to it
partners          the new partners that new documents name: enter them first
attachments/      the content of new attachments: each file once, named by the
                  SHA-1 of its content, as at the end of store_fname
changed.jsonl     documents that the copy has, and that were changed or deleted
changed.csv       after the point: which columns differ, from what to what.
                  Also master data (partners, products, prices, taxes) that is
                  new, changed or deleted: nobody enters it by program

New means: the copy has no row with this id. Do not search by the ids in these
files: after the rollback, Odoo gives out the same ids and numbers again. Every
row that a document names has a key beside its id: links in JSON, columns that
end with .key in CSV. at_point is false where the named row does
not exist in the copy: create it first.

Amounts are text with the digits that are stored. Totals of refunds, vendor
bills and outgoing payments are negative. Times are UTC.

paid: the invoices and bills that a payment paid, with the amounts. After the
re-entry, reconcile them by hand.

Text in CSV that begins like a formula (= + - @) has an apostrophe in front.
JSON has it as it is.

lifeboat rollback reenter enters these documents again, through Odoo.

Not in these files: the content of attachments if the filestore was not at hand
(summary.json says so), many-to-many relations except taxes of
lines, secrets such as access tokens, and what Odoo computes by itself.
Payments that a provider or a card terminal captured stay captured: reconcile
them before a payment is entered again.
";
