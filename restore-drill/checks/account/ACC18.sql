-- id: ACC18
-- area: account
-- severity: base
-- title: journal items use accounts of their own company
-- versions: <=17
-- requires: account_account.company_id account_move_line.account_id account_move_line.company_id
-- reason: An item on an account of another company moves value between legal entities. Some shared
--   charts of accounts do this, so only a difference to the source counts. Odoo:
--   account.move.line.account_id has check_company.
SELECT l.id::text
FROM account_move_line l
JOIN account_account a ON a.id = l.account_id
WHERE a.company_id <> l.company_id
