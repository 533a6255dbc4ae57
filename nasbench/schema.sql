-- A table of NAS-Bench-101 results. The layout is described in docs/table-formats.md.
PRAGMA application_id = 0x6e623173; -- "nb1s"
PRAGMA user_version = 1;

-- What the table was imported from; one row.
CREATE TABLE source (
  kind    TEXT    NOT NULL,
  name    TEXT    NOT NULL, -- of the file, without its folder
  sha256  TEXT    NOT NULL, -- of the uncompressed content
  bytes   INTEGER NOT NULL, -- of the uncompressed content
  records INTEGER NOT NULL
);

CREATE TABLE arch (
  id       INTEGER PRIMARY KEY,
  hash     BLOB    NOT NULL UNIQUE CHECK (length(hash) = 16),
  vertices INTEGER NOT NULL, -- 2..7, pruned, input and output included
  edges    INTEGER NOT NULL, -- edge x->y (x < y) is bit x + y*(y-1)/2
  ops      INTEGER NOT NULL, -- 2 bits per inner vertex, the first lowest: 0 conv3x3, 1 conv1x1, 2 maxpool3x3
  params   INTEGER NOT NULL
);

-- Training runs one by one. An accuracy is the INTEGER k where it is
-- float32(k/9984), and REAL where it is not.
CREATE TABLE run (
  arch_id     INTEGER NOT NULL REFERENCES arch (id),
  epochs      INTEGER NOT NULL,
  repeat      INTEGER NOT NULL, -- 0..2, in file order
  half_time   REAL NOT NULL, half_train NOT NULL, half_valid NOT NULL, half_test NOT NULL,
  final_time  REAL NOT NULL, final_train NOT NULL, final_valid NOT NULL, final_test NOT NULL,
  PRIMARY KEY (arch_id, epochs, repeat)
) WITHOUT ROWID;

-- What a search is judged by: of the runs above, or, in a means-only table, as imported.
CREATE TABLE mean (
  arch_id     INTEGER NOT NULL REFERENCES arch (id),
  epochs      INTEGER NOT NULL,
  runs        INTEGER NOT NULL, -- that test_error averages
  test_error  REAL NOT NULL,
  valid_error REAL,             -- NULL where unknown; of one run in a means-only table
  time        REAL,             -- seconds; as valid_error
  PRIMARY KEY (arch_id, epochs)
) WITHOUT ROWID;

-- The cells a search in each space can reach.
CREATE TABLE space_member (
  space   INTEGER NOT NULL,
  arch_id INTEGER NOT NULL REFERENCES arch (id),
  PRIMARY KEY (space, arch_id)
) WITHOUT ROWID;
