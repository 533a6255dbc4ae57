-- A table of NAS-Bench-101 results. The layout is described in docs/table-formats.md.
PRAGMA user_version = 4;

-- What the table was imported from; one row.
CREATE TABLE source (
  kind    TEXT    NOT NULL,
  name    TEXT    NOT NULL, -- of the file, without its folder
  sha256  TEXT    NOT NULL, -- of the uncompressed content
  bytes   INTEGER NOT NULL, -- of the uncompressed content
  records INTEGER NOT NULL, -- in the content
  partial INTEGER NOT NULL, -- 1 if only the cells that a search can reach were kept
  content BLOB    NOT NULL, -- SHA-256 of this file, these 32 bytes taken as zeros
  seal    BLOB    NOT NULL  -- of the columns before content
);

-- A pruned cell and all that is known of it. The errors and the time are those at
-- 108 epochs: means over the runs, or, in a means-only table, as imported.
CREATE TABLE cell (
  hash        BLOB    NOT NULL PRIMARY KEY CHECK (length(hash) = 16),
  vertices    INTEGER NOT NULL, -- 2..7, input and output included
  edges       INTEGER NOT NULL, -- edge x->y (x < y) is bit x + y*(y-1)/2
  ops         INTEGER NOT NULL, -- 2 bits per inner vertex, the first lowest: 0 conv3x3, 1 conv1x1, 2 maxpool3x3
  params      INTEGER NOT NULL,
  spaces      INTEGER NOT NULL, -- bit s-1: a search in space s can reach the cell
  test_error  REAL,             -- NULL where unknown
  valid_error REAL,             -- NULL where unknown; of one run in a means-only table
  seconds     REAL,             -- as valid_error
  runs        BLOB,             -- the training runs one by one, packed; NULL in a means-only table
  seal        BLOB    NOT NULL  -- of the columns before
) WITHOUT ROWID;

-- What is known at each training budget.
CREATE TABLE budget (
  epochs     INTEGER PRIMARY KEY,
  cells      INTEGER NOT NULL, -- with a test error
  runs       INTEGER NOT NULL, -- known one by one
  validation INTEGER NOT NULL  -- cells with a validation error
);

-- The cells for other programs: the hash in lower-case hex, the rows of the matrix in
-- digits behind commas, the operations by their names behind commas, the spaces one by one.
CREATE VIEW cells AS SELECT
  lower(hex(hash)) AS hash,
  vertices,
  (WITH RECURSIVE entry(y, x) AS (
     SELECT 0, 0 UNION ALL SELECT y + (x + 1) / vertices, (x + 1) % vertices FROM entry WHERE y * vertices + x + 1 < vertices * vertices)
   SELECT group_concat(digit, '') FROM (
     SELECT CASE WHEN y < x THEN edges >> (y + x * (x - 1) / 2) & 1 ELSE 0 END || CASE WHEN x = vertices - 1 AND y < x THEN ',' ELSE '' END AS digit
     FROM entry ORDER BY y, x)) AS matrix,
  'input,'
    || CASE WHEN vertices > 2 THEN CASE ops >> 0 & 3 WHEN 0 THEN 'conv3x3-bn-relu,' WHEN 1 THEN 'conv1x1-bn-relu,' ELSE 'maxpool3x3,' END ELSE '' END
    || CASE WHEN vertices > 3 THEN CASE ops >> 2 & 3 WHEN 0 THEN 'conv3x3-bn-relu,' WHEN 1 THEN 'conv1x1-bn-relu,' ELSE 'maxpool3x3,' END ELSE '' END
    || CASE WHEN vertices > 4 THEN CASE ops >> 4 & 3 WHEN 0 THEN 'conv3x3-bn-relu,' WHEN 1 THEN 'conv1x1-bn-relu,' ELSE 'maxpool3x3,' END ELSE '' END
    || CASE WHEN vertices > 5 THEN CASE ops >> 6 & 3 WHEN 0 THEN 'conv3x3-bn-relu,' WHEN 1 THEN 'conv1x1-bn-relu,' ELSE 'maxpool3x3,' END ELSE '' END
    || CASE WHEN vertices > 6 THEN CASE ops >> 8 & 3 WHEN 0 THEN 'conv3x3-bn-relu,' WHEN 1 THEN 'conv1x1-bn-relu,' ELSE 'maxpool3x3,' END ELSE '' END
    || 'output' AS operations,
  params AS parameters,
  spaces & 1 AS space_1,
  spaces >> 1 & 1 AS space_2,
  spaces >> 2 & 1 AS space_3,
  test_error,
  valid_error,
  seconds
FROM cell;
