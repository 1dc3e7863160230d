-- id: ACC14
-- area: account
-- severity: hard
-- title: all posted journal items of a company sum to zero (trial balance)
-- versions: *
-- requires: account_move_line.balance account_move_line.company_id account_move_line.parent_state
-- reason: This is the first thing an auditor adds up. Any other sum than zero means that posted
--   items are missing or altered. Odoo: account.move._check_balanced holds for each entry, so it
--   holds for their sum.
SELECT company_id || ' ' || sum(balance)
FROM account_move_line
WHERE parent_state = 'posted'
GROUP BY company_id
HAVING round(sum(balance), 6) <> 0
