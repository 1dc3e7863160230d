-- id: POS06
-- area: pos
-- severity: base
-- title: a closed POS session with sales has a posted journal entry
-- versions: *
-- requires: account_move.state pos_order.amount_total pos_order.session_id pos_order.state
--   pos_session.move_id pos_session.name pos_session.state
-- reason: Without the entry the takings of the day are not in the books. Sessions without
--   accounting exist, so only a difference to the source counts. Odoo:
--   pos.session._create_account_move.
SELECT s.id || ' ' || s.name
FROM pos_session s
LEFT JOIN account_move m ON m.id = s.move_id
WHERE s.state = 'closed'
  AND EXISTS (
      SELECT 1 FROM pos_order o WHERE o.session_id = s.id AND o.state = 'done' AND o.amount_total <> 0
  )
  AND coalesce(m.state, '') <> 'posted'
