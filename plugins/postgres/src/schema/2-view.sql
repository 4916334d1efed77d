-- For who knows the table of log-collector: the same columns, read only.
DO $$ BEGIN CREATE TYPE metlog_level AS ENUM ('TRACE', 'DEBUG', 'INFO', 'WARN', 'ERROR', 'FATAL');
EXCEPTION WHEN duplicate_object THEN NULL; END $$;
DO $$ BEGIN CREATE TYPE metlog_log_type AS ENUM ('BACKEND', 'FRONTEND', 'MOBILE', 'IOT', 'WORKER');
EXCEPTION WHEN duplicate_object THEN NULL; END $$;
DO $$ BEGIN CREATE TYPE metlog_environment AS ENUM ('production', 'staging', 'development', 'test', 'local');
EXCEPTION WHEN duplicate_object THEN NULL; END $$;
DO $$ BEGIN CREATE TYPE metlog_method AS ENUM ('GET', 'POST', 'PUT', 'DELETE', 'PATCH', 'HEAD', 'OPTIONS');
EXCEPTION WHEN duplicate_object THEN NULL; END $$;

-- A field as text, if it is no list and no object.
CREATE OR REPLACE FUNCTION metlog_text(fields jsonb, name text) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT CASE WHEN jsonb_typeof(fields -> name) IN ('string', 'number', 'boolean') THEN fields ->> name END
$$;

CREATE VIEW "{view}" AS
SELECT
    m.position AS id,
    m.ts AS created_at,
    (CASE
        WHEN m.severity <= 2 THEN 'FATAL'
        WHEN m.severity = 3 THEN 'ERROR'
        WHEN m.severity = 4 THEN 'WARN'
        WHEN m.severity <= 6 THEN 'INFO'
        WHEN c.traced THEN 'TRACE'
        ELSE 'DEBUG'
    END)::metlog_level AS level,
    coalesce(c.log_type, 'BACKEND')::metlog_log_type AS log_type,
    left(coalesce(c.service, nullif(m.logger, ''), 'unknown'), 100)::varchar(100) AS service,
    coalesce(c.environment, 'development')::metlog_environment AS environment,
    left(coalesce(c.service_version, 'v0.0.0-dev'), 50)::varchar(50) AS service_version,
    -- The beginning of an id is another id: one that has no room stays in metadata.
    (CASE WHEN char_length(c.trace_id) <= 32 THEN c.trace_id END)::varchar(32) AS trace_id,
    (CASE WHEN char_length(c.user_id) <= 255 THEN c.user_id END)::varchar(255) AS user_id,
    (CASE WHEN char_length(c.session_id) <= 100 THEN c.session_id END)::varchar(100) AS session_id,
    left(c.error_type, 200)::varchar(200) AS error_type,
    m.payload AS message,
    c.stack_trace,
    left(c.path, 500)::varchar(500) AS path,
    c.method::metlog_method AS method,
    left(c.action_type, 50)::varchar(50) AS action_type,
    left(c.function_name, 300)::varchar(300) AS function_name,
    left(c.file_path, 1000)::varchar(1000) AS file_path,
    (CASE WHEN abs(c.duration) <= 9999999.999 THEN c.duration END)::decimal(10, 3) AS duration_ms,
    m.archived IS NOT NULL AS deleted,
    nullif(
        CASE jsonb_typeof(r.rest -> 'metadata')
            WHEN 'object' THEN (r.rest - 'metadata') || (r.rest -> 'metadata')
            ELSE r.rest
        END,
        '{}'
    ) AS metadata
FROM "{table}" m
CROSS JOIN LATERAL (
    SELECT
        m.severity = 7 AND lower(metlog_text(m.fields, 'level')) = 'trace' AS traced,
        (SELECT word FROM unnest(enum_range(NULL::metlog_log_type)::text[]) word
            WHERE word = upper(metlog_text(m.fields, 'log_type'))) AS log_type,
        (SELECT word FROM unnest(enum_range(NULL::metlog_environment)::text[]) word
            WHERE word = lower(metlog_text(m.fields, 'environment'))) AS environment,
        (SELECT word FROM unnest(enum_range(NULL::metlog_method)::text[]) word
            WHERE word = upper(metlog_text(m.fields, 'method'))) AS method,
        metlog_text(m.fields, 'service') AS service,
        metlog_text(m.fields, 'service_version') AS service_version,
        -- The usual way to make one has four dashes too many.
        CASE WHEN m.fields ->> 'trace_id' ~ '^[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}$'
            THEN replace(m.fields ->> 'trace_id', '-', '')
            ELSE metlog_text(m.fields, 'trace_id') END AS trace_id,
        metlog_text(m.fields, 'user_id') AS user_id,
        metlog_text(m.fields, 'session_id') AS session_id,
        metlog_text(m.fields, 'error_type') AS error_type,
        metlog_text(m.fields, 'stack_trace') AS stack_trace,
        metlog_text(m.fields, 'path') AS path,
        metlog_text(m.fields, 'action_type') AS action_type,
        metlog_text(m.fields, 'function_name') AS function_name,
        metlog_text(m.fields, 'file_path') AS file_path,
        CASE
            WHEN jsonb_typeof(m.fields -> 'duration_ms') = 'number' THEN (m.fields ->> 'duration_ms')::numeric
            WHEN m.type = 'timer' AND m.payload ~ '^-?[0-9]{1,7}([.][0-9]{1,30})?$' THEN m.payload::numeric
        END AS duration
) c
CROSS JOIN LATERAL (
    -- What is in no column, or not whole.
    SELECT m.fields - array_remove(ARRAY[
            CASE WHEN c.traced THEN 'level' END,
            CASE WHEN c.log_type IS NOT NULL THEN 'log_type' END,
            CASE WHEN c.environment IS NOT NULL THEN 'environment' END,
            CASE WHEN c.method IS NOT NULL THEN 'method' END,
            CASE WHEN c.stack_trace IS NOT NULL THEN 'stack_trace' END,
            CASE WHEN char_length(c.service) <= 100 THEN 'service' END,
            CASE WHEN char_length(c.service_version) <= 50 THEN 'service_version' END,
            CASE WHEN char_length(c.trace_id) <= 32 THEN 'trace_id' END,
            CASE WHEN char_length(c.user_id) <= 255 THEN 'user_id' END,
            CASE WHEN char_length(c.session_id) <= 100 THEN 'session_id' END,
            CASE WHEN char_length(c.error_type) <= 200 THEN 'error_type' END,
            CASE WHEN char_length(c.path) <= 500 THEN 'path' END,
            CASE WHEN char_length(c.action_type) <= 50 THEN 'action_type' END,
            CASE WHEN char_length(c.function_name) <= 300 THEN 'function_name' END,
            CASE WHEN char_length(c.file_path) <= 1000 THEN 'file_path' END,
            CASE WHEN jsonb_typeof(m.fields -> 'duration_ms') = 'number' AND abs(c.duration) <= 9999999.999
                THEN 'duration_ms' END
        ], NULL) AS rest
) r
WHERE m.expires IS NULL OR m.expires > now();
