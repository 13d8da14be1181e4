-- The tables of a Certificate Transparency log. They only grow: triggers refuse everything else, so that neither a slip of the
-- hand nor a program that is not the log can rewrite it. The role that the log uses needs no more than
--   GRANT SELECT, INSERT ON ct_schema, ct_head, ct_batch, ct_object, ct_checkpoint TO ...;
--   GRANT UPDATE ON ct_head, ct_checkpoint TO ...;
-- if these tables belong to another role. All times are milliseconds since 1970.

CREATE TABLE ct_schema (version integer PRIMARY KEY);
INSERT INTO ct_schema VALUES (1);

-- The durable tree. Whoever appends holds the lock of this row. The birth of a log is its row here.
CREATE TABLE ct_head (
  log_id bytea PRIMARY KEY CHECK (octet_length(log_id) = 32),
  origin text NOT NULL UNIQUE,
  public_key bytea NOT NULL,
  created bigint NOT NULL,
  size bigint NOT NULL CHECK (size >= 0),
  root bytea NOT NULL CHECK (octet_length(root) = 32),
  ts bigint NOT NULL,
  -- Number of the next batch, and the hash of the last.
  number bigint NOT NULL,
  previous bytea NOT NULL CHECK (octet_length(previous) = 32)
) WITH (fillfactor = 10);

-- Entries, in batches that were committed as one. `record` is a record of the write-ahead log, which `hash` ends.
CREATE TABLE ct_batch (
  log_id bytea NOT NULL REFERENCES ct_head,
  first_index bigint NOT NULL,
  size bigint NOT NULL CHECK (size > first_index),
  hash bytea NOT NULL CHECK (octet_length(hash) = 32),
  record bytea NOT NULL,
  PRIMARY KEY (log_id, first_index)
);
CREATE UNIQUE INDEX ct_batch_size ON ct_batch (log_id, size);
ALTER TABLE ct_batch ALTER COLUMN record SET STORAGE EXTERNAL;

-- Full tiles and issuers, by their path below the monitoring prefix.
CREATE TABLE ct_object (
  log_id bytea NOT NULL REFERENCES ct_head,
  path text NOT NULL,
  bytes bytea NOT NULL,
  PRIMARY KEY (log_id, path)
);
ALTER TABLE ct_object ALTER COLUMN bytes SET STORAGE EXTERNAL;

-- The last published checkpoint. Whoever publishes shares the lock of the head, so that no batch is under way meanwhile.
CREATE TABLE ct_checkpoint (
  log_id bytea PRIMARY KEY REFERENCES ct_head,
  size bigint NOT NULL,
  root bytea NOT NULL CHECK (octet_length(root) = 32),
  ts bigint NOT NULL,
  note bytea NOT NULL
) WITH (fillfactor = 10);

CREATE FUNCTION ct_is_final() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION 'what is in % never changes: it is a transparency log', TG_TABLE_NAME USING ERRCODE = '23000';
END $$;

CREATE FUNCTION ct_head_grows() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF (NEW.log_id, NEW.origin, NEW.public_key, NEW.created) IS DISTINCT FROM
      (OLD.log_id, OLD.origin, OLD.public_key, OLD.created)
    OR NEW.size <= OLD.size OR NEW.ts < OLD.ts OR NEW.number <> OLD.number + 1 THEN
    RAISE EXCEPTION 'a transparency log only grows' USING ERRCODE = '23000';
  END IF;
  RETURN NEW;
END $$;

CREATE FUNCTION ct_checkpoint_grows() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF NEW.log_id <> OLD.log_id OR NEW.size < OLD.size OR NEW.ts <= OLD.ts
    OR (NEW.size = OLD.size AND NEW.root <> OLD.root) THEN
    RAISE EXCEPTION 'a transparency log only grows' USING ERRCODE = '23000';
  END IF;
  RETURN NEW;
END $$;

CREATE TRIGGER ct_grows BEFORE UPDATE ON ct_head FOR EACH ROW EXECUTE FUNCTION ct_head_grows();
CREATE TRIGGER ct_grows BEFORE UPDATE ON ct_checkpoint FOR EACH ROW EXECUTE FUNCTION ct_checkpoint_grows();
CREATE TRIGGER ct_final BEFORE UPDATE OR DELETE ON ct_batch FOR EACH ROW EXECUTE FUNCTION ct_is_final();
CREATE TRIGGER ct_final BEFORE UPDATE OR DELETE ON ct_object FOR EACH ROW EXECUTE FUNCTION ct_is_final();
CREATE TRIGGER ct_kept BEFORE DELETE ON ct_head FOR EACH ROW EXECUTE FUNCTION ct_is_final();
CREATE TRIGGER ct_kept BEFORE DELETE ON ct_checkpoint FOR EACH ROW EXECUTE FUNCTION ct_is_final();
CREATE TRIGGER ct_not_emptied BEFORE TRUNCATE ON ct_head EXECUTE FUNCTION ct_is_final();
CREATE TRIGGER ct_not_emptied BEFORE TRUNCATE ON ct_batch EXECUTE FUNCTION ct_is_final();
CREATE TRIGGER ct_not_emptied BEFORE TRUNCATE ON ct_object EXECUTE FUNCTION ct_is_final();
CREATE TRIGGER ct_not_emptied BEFORE TRUNCATE ON ct_checkpoint EXECUTE FUNCTION ct_is_final();
