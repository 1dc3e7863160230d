-- What runs by itself.

-- name: scheduled actions
-- needs: ir_cron.active ir_model_data.module ir_model_data.name ir_model_data.model ir_model_data.res_id
-- why: each may talk to the outside or change data; only Odoo's own clean-up stays, which works on the copy alone as long as the copy has a data directory of its own
UPDATE public.ir_cron SET active = false
WHERE active IS NOT false AND id NOT IN (
    SELECT res_id FROM public.ir_model_data WHERE model = 'ir.cron' AND module = 'base' AND name = 'autovacuum_job');

-- name: queued jobs
-- needs: queue_job.state
-- why: a job runner that finds the copy would carry them out
UPDATE public.queue_job SET state = 'failed' WHERE state IN ('wait_dependencies', 'pending', 'enqueued', 'started');

-- name: webhooks that call others
-- needs: ir_act_server.webhook_url
-- why: a record written in the copy would be reported to another system
UPDATE public.ir_act_server SET webhook_url = 'http://webhook.invalid/' WHERE webhook_url NOT LIKE 'http://webhook.invalid/%';

-- name: automation rules
-- needs: base_automation.active
-- why: each may run code that calls others, send mail, or answer production's webhooks
UPDATE public.base_automation SET active = false WHERE active IS NOT false;

-- name: addresses of webhooks
-- each: base_automation webhook_uuid
-- type: text
-- why: the copy knows the secret addresses of production
UPDATE public.base_automation SET {column} = gen_random_uuid()::text WHERE {column} NOT LIKE '';

-- name: webhook module
-- needs: webhook.active
-- why: a record written in the copy would be reported to another system
UPDATE public.webhook SET active = false WHERE active IS NOT false;

-- name: backups made by the copy
-- needs: db_backup.folder
-- why: the copy would write over production's backups
UPDATE public.db_backup SET folder = '/nonexistent';

-- name: backup log-ins
-- each: db_backup sftp_password sftp_private_key sftp_user sftp_host
-- why: the copy would write over production's backups
UPDATE public.db_backup SET {column} = {empty} WHERE {column} IS DISTINCT FROM {empty};
