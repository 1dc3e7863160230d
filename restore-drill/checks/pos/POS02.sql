-- id: POS02
-- area: pos
-- severity: base
-- title: a paid POS order is paid in full
-- versions: *
-- requires: pos_config.cash_rounding pos_order.amount_paid pos_order.amount_total pos_order.name
--   pos_order.session_id pos_order.state pos_session.config_id
-- reason: What was paid must be the total, but for the rounding of cash. Custom payment flows can
--   differ, so only a difference to the source counts. Odoo: pos.order._is_pos_order_paid.
SELECT o.id || ' ' || o.name || ' ' || o.amount_total || ' paid ' || o.amount_paid
FROM pos_order o
JOIN pos_session s ON s.id = o.session_id
JOIN pos_config c ON c.id = s.config_id
WHERE o.state IN ('paid', 'done', 'invoiced')
  AND abs(o.amount_total - o.amount_paid) > CASE WHEN c.cash_rounding THEN 0.5 ELSE 0.005 END
