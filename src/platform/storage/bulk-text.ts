/** The text of a bulk statement. */
export interface BulkText {
  /** The columns of the values, by name, in their order. */
  readonly columns: Readonly<Record<string, BulkType>>;
  /**
   * Names of columns that mostly hold the same in all rows: where they do, SQLite is given each of these values
   * once. Never all of the columns.
   */
  readonly alike?: readonly string[];
  /**
   * The SQL. `rows` is a table expression for a `from` clause, which calls the values `v`: `insert into line select v.id,
   * v.text from ${rows} where true on conflict …`. It has no other parameters. A statement that may be executed for some
   * of the rows and then for others: no totals over all of them.
   */
  text(rows: string): string;
}

/** What a column of a bulk statement holds; null fits all. */
export type BulkType = "integer" | "text";
