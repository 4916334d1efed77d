-- Collation "C" where there are indexes: bytes are compared faster, and do not change their order with the system's
-- library.
CREATE TABLE "{table}" (
    position   bigint NOT NULL,
    ts         timestamptz NOT NULL,
    ts_nanos   smallint NOT NULL,
    severity   smallint NOT NULL,
    type       text COLLATE "C" NOT NULL,
    logger     text COLLATE "C" NOT NULL,
    id         text COLLATE "C",
    trace_id   text COLLATE "C",
    client     text COLLATE "C",
    seq        bigint,
    expires    timestamptz,
    archived   timestamptz,
    words      text[] COLLATE "C" NOT NULL,
    fields     jsonb NOT NULL,
    payload    text NOT NULL,
    raw        text,
    raw_bytes  bytea
) PARTITION BY RANGE (ts);

COMMENT ON TABLE "{table}" IS 'Messages of metlog. What happens outside the months that have a partition is in the default one.';
COMMENT ON COLUMN "{table}".position IS 'Where the router kept it first.';
COMMENT ON COLUMN "{table}".ts_nanos IS 'Nanoseconds beyond the microseconds of ts.';
COMMENT ON COLUMN "{table}".raw IS 'The message as it came; in raw_bytes, if it is no text.';

CREATE TABLE "{table}_default" PARTITION OF "{table}" DEFAULT;

-- What was delivered twice is written once.
CREATE UNIQUE INDEX "{table}_position" ON "{table}" (position, ts);
CREATE UNIQUE INDEX "{table}_client" ON "{table}" (client, seq, ts) WHERE client IS NOT NULL;
-- With its content: many messages about the order 42 within a second are not one message.
CREATE UNIQUE INDEX "{table}_id" ON "{table}" (id, ts, ts_nanos, md5(coalesce(raw, encode(raw_bytes, 'hex'))))
    WHERE id IS NOT NULL;

CREATE INDEX "{table}_time" ON "{table}" (ts, ts_nanos, position);
CREATE INDEX "{table}_errors" ON "{table}" (ts, ts_nanos, position) WHERE severity <= 3;
CREATE INDEX "{table}_trace" ON "{table}" (trace_id, ts) WHERE trace_id IS NOT NULL;
CREATE INDEX "{table}_expires" ON "{table}" (expires) WHERE expires IS NOT NULL;
CREATE INDEX "{table}_archived" ON "{table}" (archived) WHERE archived IS NOT NULL;
CREATE INDEX "{table}_words" ON "{table}" USING gin (words);
