-- Where attachments lie beside the filestore.

-- name: attachment stores
-- needs: fs_storage.protocol
-- each: fs_storage options server_env_defaults
-- why: the copy would write into, and its collector delete from, production's store
UPDATE public.fs_storage SET {column} = {empty} WHERE protocol IS DISTINCT FROM 'odoofs' AND {column} IS DISTINCT FROM {empty};

-- name: directories of attachment stores
-- needs: fs_storage.protocol fs_storage.directory_path
-- why: the copy would write into, and its collector delete from, production's store
UPDATE public.fs_storage SET directory_path = 'neutralized'
WHERE protocol IS DISTINCT FROM 'odoofs' AND directory_path IS DISTINCT FROM 'neutralized';

-- name: use of attachment stores
-- each: fs_storage eval_options_from_env use_as_default_for_attachments autovacuum_gc
-- type: bool
-- why: the copy would write into, and its collector delete from, production's store
UPDATE public.fs_storage SET {column} = false WHERE {column} IS NOT false;

-- name: attachment stores (storage_backend)
-- each: storage_backend aws_access_key_id aws_secret_access_key aws_bucket aws_host sftp_server sftp_login sftp_password sftp_ssh_private_key server_env_defaults
-- why: the copy would write into, and delete from, production's store
UPDATE public.storage_backend SET {column} = {empty} WHERE {column} IS DISTINCT FROM {empty};

-- name: place of attachments
-- needs: ir_config_parameter.key ir_config_parameter.value
-- why: the copy would write into, and its collector delete from, production's store
UPDATE public.ir_config_parameter SET value = 'file' WHERE key = 'ir_attachment.location' AND value NOT IN ('file', 'db');

-- name: log-ins of attachment stores among the system parameters
-- needs: ir_config_parameter.key
-- why: with them the copy, and whoever reads it, writes into production's store
DELETE FROM public.ir_config_parameter
WHERE key ~* '(^|[._-])(s3|aws|azure|gcs|swift|minio|wasabi|backblaze|b2|object_storage|cloud_storage)([._-]|$)'
AND key ~* '(key|secret|token|password|passwd|connection_string|account_info|credential|user|login)';
