-- id: POS05
-- area: pos
-- severity: hard
-- title: POS orders are done exactly when their session is closed
-- versions: *
-- requires: pos_order.name pos_order.session_id pos_order.state pos_session.state
-- reason: A closed session has posted its orders to the books. An order left open in it was never
--   posted; a done order in an open one will be posted twice. Odoo: pos.session._validate_session
--   sets the orders of a session to done.
SELECT o.id || ' ' || o.name || ' ' || o.state || ' session ' || s.state
FROM pos_order o
JOIN pos_session s ON s.id = o.session_id
WHERE (o.state = 'done' AND s.state <> 'closed')
  OR (o.state IN ('paid', 'draft') AND s.state = 'closed')
