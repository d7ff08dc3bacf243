/**
 * Days of the health history, so that a report over weeks reads a row for each and not 24. The keeper makes them of the hours
 * that are there, step by step, so this migration takes no time. Hours in the sums of a day's disks count from its beginning.
 */
export const HISTORY_DAYS = `
CREATE TABLE history_1d (
  bucket  INTEGER NOT NULL,
  node    INTEGER NOT NULL,
  figures BLOB NOT NULL,
  PRIMARY KEY (bucket, node)
) STRICT, WITHOUT ROWID;
INSERT INTO history_cursors VALUES ('1d', -1, -1);
CREATE TABLE history_disk_days (
  node              INTEGER NOT NULL REFERENCES history_nodes (num) ON DELETE CASCADE,
  mount             TEXT NOT NULL,
  day               INTEGER NOT NULL,
  readings          INTEGER NOT NULL,
  first_hour        INTEGER NOT NULL,
  last_hour         INTEGER NOT NULL,
  sum_hours         INTEGER NOT NULL,
  sum_squared_hours INTEGER NOT NULL,
  sum_pct           REAL NOT NULL,
  sum_squared_pct   REAL NOT NULL,
  sum_products      REAL NOT NULL,
  PRIMARY KEY (node, mount, day)
) STRICT, WITHOUT ROWID;
`;
