-- A lake of format 1, as Headwater made it before there was a second format: one file landed, one
-- model built, one release, each in the snapshot that it had. Made once by running that version; it
-- is never changed. The source is that of conftest.py, the file `a,b`, `1,x`, `2,y`, `z,z`, the
-- model `SELECT a FROM s.t`.

-- 1
BEGIN;
CREATE SCHEMA lake.headwater;
CREATE SCHEMA lake.built;
COMMIT;
CALL lake.set_option('data_inlining_row_limit', 100, schema => 'headwater');

-- 2
BEGIN;
CREATE TABLE lake.headwater.lake_format (version INTEGER, headwater_version VARCHAR, created_at TIMESTAMP);
CREATE TABLE lake.headwater.runs (run_id VARCHAR, started_at TIMESTAMP, ended_at TIMESTAMP,
    status VARCHAR, command VARCHAR, user_name VARCHAR, host VARCHAR, headwater_version VARCHAR);
CREATE TABLE lake.headwater.steps (run_id VARCHAR, step INTEGER, dataset VARCHAR, action VARCHAR,
    status VARCHAR, reason VARCHAR, started_at TIMESTAMP, seconds DOUBLE, error VARCHAR);
CREATE TABLE lake.headwater.ledger (run_id VARCHAR, step INTEGER, dataset VARCHAR, received BIGINT,
    landed BIGINT, updated BIGINT, unchanged BIGINT, deduplicated BIGINT, dropped BIGINT, quarantined BIGINT,
    removed BIGINT, rows_before BIGINT, rows_after BIGINT, nulled BIGINT, defaulted BIGINT,
    clipped BIGINT, committed_at TIMESTAMP);
CREATE TABLE lake.headwater.files (dataset VARCHAR, built_table VARCHAR, file_id BIGINT, path VARCHAR,
    status VARCHAR, reason VARCHAR, size_bytes BIGINT, modified_at TIMESTAMP, content_hash VARCHAR,
    records BIGINT, landed BIGINT, quarantined BIGINT, run_id VARCHAR, step INTEGER, seen_at TIMESTAMP);
CREATE TABLE lake.headwater.builds (dataset VARCHAR, built_table VARCHAR, fingerprint VARCHAR,
    snapshot_id BIGINT, row_count BIGINT, columns VARCHAR, inputs VARCHAR, definition VARCHAR,
    run_id VARCHAR, step INTEGER, built_at TIMESTAMP);
CREATE TABLE lake.headwater.checks (run_id VARCHAR, step INTEGER, dataset VARCHAR, check_name VARCHAR,
    remedy VARCHAR, status VARCHAR, failed_rows BIGINT, sample VARCHAR[], checked_at TIMESTAMP);
CREATE TABLE lake.headwater.quarantine (id VARCHAR, dataset VARCHAR, built_table VARCHAR, reasons VARCHAR[],
    path VARCHAR, line BIGINT, file_id BIGINT, record BIGINT, content VARCHAR, run_id VARCHAR,
    step INTEGER, quarantined_at TIMESTAMP);
CREATE TABLE lake.headwater.releases (release_id BIGINT, environment VARCHAR, run_id VARCHAR,
    released_at TIMESTAMP, user_name VARCHAR, moved INTEGER, held_back INTEGER, description VARCHAR);
CREATE TABLE lake.headwater.release_names (release_id BIGINT, environment VARCHAR, dataset VARCHAR,
    built_table VARCHAR, snapshot_id BIGINT);
INSERT INTO lake.headwater.lake_format VALUES (1, '0.1.0', TIMESTAMP '2026-11-24 23:14:21.444756');
COMMIT;

-- 3
BEGIN;
CREATE TABLE lake.built.s__t__ea6e2c024a (a INTEGER, b VARCHAR, _file_id BIGINT, _record BIGINT);
INSERT INTO lake.built.s__t__ea6e2c024a VALUES (1, 'x', 1, 1);
INSERT INTO lake.built.s__t__ea6e2c024a VALUES (2, 'y', 1, 2);
INSERT INTO lake.headwater.steps VALUES ('20261124T231421-ac4b6a', 1, 's.t', 'land', 'committed',
    '1 new file', TIMESTAMP '2026-11-24 23:14:21.557795', 0.073064, NULL);
INSERT INTO lake.headwater.ledger VALUES ('20261124T231421-ac4b6a', 1, 's.t', 3, 2, 0, 0, 0,
    0, 1, 0, 0, 2, 0, 0, 0, TIMESTAMP '2026-11-24 23:14:21.630859');
INSERT INTO lake.headwater.files VALUES ('s.t', 's__t__ea6e2c024a', 1, 'data/a.csv', 'landed',
    NULL, 16, TIMESTAMP '2026-11-24 23:14:02.958814', '844daf7afc04d563ea2097ba819a35f29f6a586ef414775505d9dfb07a6cc475',
    3, 2, 1, '20261124T231421-ac4b6a', 1, TIMESTAMP '2026-11-24 23:14:21.630661');
INSERT INTO lake.headwater.builds VALUES ('s.t', 's__t__ea6e2c024a', 'ea6e2c024af629d2', 3,
    2, '{"a": "INTEGER", "b": "VARCHAR", "_file_id": "BIGINT", "_record": "BIGINT"}', '{}',
    '{"description": "", "owner": "", "tags": [], "key": [], "on_duplicate": null, "columns": {"a": {"type": {"kind": "INTEGER", "size": [], "parts": []}, "from_": null, "description": "", "tags": [], "required": true, "default": null, "accepted": null, "min": null, "max": null, "pattern": null, "length": null, "format": null, "otherwise": null}, "b": {"type": {"kind": "VARCHAR", "size": [], "parts": []}, "from_": null, "description": "", "tags": [], "required": false, "default": null, "accepted": null, "min": null, "max": null, "pattern": null, "length": null, "format": null, "otherwise": null}}, "rules": [], "unexpected_columns": "keep", "path": ["data/*.csv"], "format": null, "dialect": {"delimiter": null, "quote": null, "escape": null, "header": null}, "origin": "record"}',
    '20261124T231421-ac4b6a', 1, TIMESTAMP '2026-11-24 23:14:21.630859');
INSERT INTO lake.headwater.checks VALUES ('20261124T231421-ac4b6a', 1, 's.t', 'a.type', 'quarantine',
    'broken', 1, NULL, TIMESTAMP '2026-11-24 23:14:21.630720');
INSERT INTO lake.headwater.quarantine VALUES ('s.t/1/3', 's.t', 's__t__ea6e2c024a', ['a.type'],
    'data/a.csv', 4, 1, 3, 'z,z', '20261124T231421-ac4b6a', 1, TIMESTAMP '2026-11-24 23:14:21.626130');
COMMIT;

-- 4
BEGIN;
CREATE TABLE lake.built.m__x__2b53f7df3d (a INTEGER);
INSERT INTO lake.built.m__x__2b53f7df3d VALUES (1);
INSERT INTO lake.built.m__x__2b53f7df3d VALUES (2);
INSERT INTO lake.headwater.steps VALUES ('20261124T231421-ac4b6a', 2, 'm.x', 'build', 'committed',
    'not built yet', TIMESTAMP '2026-11-24 23:14:21.825394', 0.064894, NULL);
INSERT INTO lake.headwater.ledger VALUES ('20261124T231421-ac4b6a', 2, 'm.x', 2, 2, 0, 0, 0,
    0, 0, 0, 0, 2, 0, 0, 0, TIMESTAMP '2026-11-24 23:14:21.890288');
INSERT INTO lake.headwater.builds VALUES ('m.x', 'm__x__2b53f7df3d', '2b53f7df3df52ad0', 4,
    2, '{"a": "INTEGER"}', '{"s.t": ["s__t__ea6e2c024a", 3]}', 'SELECT a FROM s.t', '20261124T231421-ac4b6a',
    2, TIMESTAMP '2026-11-24 23:14:21.890288');
COMMIT;

-- 5
BEGIN;
USE lake;
CREATE SCHEMA s;
CREATE SCHEMA m;
CREATE VIEW s.t AS SELECT * FROM built.s__t__ea6e2c024a AT (VERSION => 3);
CREATE VIEW m.x AS SELECT * FROM built.m__x__2b53f7df3d AT (VERSION => 4);
USE memory;
INSERT INTO lake.headwater.runs VALUES ('20261124T231421-ac4b6a', TIMESTAMP '2026-11-24 23:14:21.555417',
    TIMESTAMP '2026-11-24 23:14:22.023563', 'succeeded', 'run', 'someone', 'laptop', '0.1.0');
INSERT INTO lake.headwater.releases VALUES (1, 'prod', '20261124T231421-ac4b6a', TIMESTAMP '2026-11-24 23:14:22.023485',
    'someone', 2, 0, 's.t, m.x');
INSERT INTO lake.headwater.release_names VALUES (1, 'prod', 's.t', 's__t__ea6e2c024a', 3);
INSERT INTO lake.headwater.release_names VALUES (1, 'prod', 'm.x', 'm__x__2b53f7df3d', 4);
COMMIT;
