-- id: ACC05
-- area: account
-- severity: hard
-- title: every posted journal entry has a number that is unique in its journal
-- versions: *
-- requires: account_move.journal_id account_move.name account_move.state
-- reason: Tax law in most countries asks for unique, unbroken numbers. A missing or doubled one
--   means that rows were lost or restored twice. Odoo: account.move._check_unique_sequence_number;
--   from 17 on a unique index does the same.
SELECT min(id) || ' ' || coalesce(name, 'NULL')
FROM account_move
WHERE state = 'posted'
GROUP BY journal_id, name
HAVING count(*) > 1 OR coalesce(name, '/') = '/'
