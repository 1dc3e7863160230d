-- id: POS09
-- area: pos
-- severity: hard
-- title: each point of sale has at most one open session
-- versions: *
-- requires: pos_session.config_id pos_session.rescue pos_session.state
-- reason: Odoo refuses a second open session, so two mean that a closing was lost and the shop may
--   not be able to open. Odoo: pos.session._check_pos_config.
SELECT config_id::text
FROM pos_session
WHERE state <> 'closed' AND NOT coalesce(rescue, FALSE)
GROUP BY 1
HAVING count(*) > 1
