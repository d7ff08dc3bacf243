/** SQL statements as typed functions, so that a table declares each of its queries once. */
import type { Sqlite } from './database.ts';

/** Each prepares the statement at once. `R` is a row as the statement selects it, `A` its parameters. */
export function statementsOf(database: Sqlite) {
  return {
    all<R, A extends unknown[] = []>(sql: string) {
      const statement = database.prepare(sql);
      return (...parameters: A): R[] => statement.all(...parameters) as R[];
    },
    get<R, A extends unknown[] = []>(sql: string) {
      const statement = database.prepare(sql);
      return (...parameters: A): R | undefined => statement.get(...parameters) as R | undefined;
    },
    /** The first column of the first row, of a statement that always has one. */
    value<T, A extends unknown[] = []>(sql: string) {
      const statement = database.prepare(sql).pluck();
      return (...parameters: A): T => statement.get(...parameters) as T;
    },
    /** Returns the number of changed rows. */
    run<A extends unknown[] = []>(sql: string) {
      const statement = database.prepare(sql);
      return (...parameters: A): number => statement.run(...parameters).changes;
    },
  };
}
