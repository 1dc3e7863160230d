-- id: MOD05
-- area: module
-- severity: hard
-- title: the layouts of pages and reports are not empty
-- versions: *
-- requires: ir_model_data.model ir_model_data.module ir_model_data.name ir_model_data.res_id
--   ir_ui_view.arch_db
-- reason: Everything is drawn within these layouts. An empty one shows blank pages, to customers
--   too. Odoo: ir.qweb._render draws a page within the view that it calls.
SELECT d.module || '.' || d.name
FROM ir_model_data d
JOIN ir_ui_view v ON v.id = d.res_id
WHERE d.model = 'ir.ui.view'
  AND d.module || '.' || d.name IN (
      'web.layout', 'web.webclient_bootstrap', 'web.frontend_layout', 'web.login', 'web.login_layout',
      'web.html_container', 'web.report_layout', 'web.external_layout', 'web.external_layout_standard',
      'web.internal_layout', 'web.basic_layout', 'web.minimal_layout', 'portal.portal_layout',
      'portal.frontend_layout', 'website.layout', 'mail.mail_notification_layout', 'point_of_sale.index'
  )
  AND pg_temp.is_empty_view(to_jsonb(v)->'arch_db')
