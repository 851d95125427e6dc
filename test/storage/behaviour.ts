import { describeBulk } from "./behaviour/bulk.ts";
import { describeClosing } from "./behaviour/closing.ts";
import { describeEvents } from "./behaviour/events.ts";
import { describeGroupTransactions } from "./behaviour/group-transactions.ts";
import { describeMigrations } from "./behaviour/migrations.ts";
import { describeStatements } from "./behaviour/statements.ts";
import { describeTransactions } from "./behaviour/transactions.ts";
import { storageUnderTest, type TestLocation } from "./behaviour/under-test.ts";
import { describeValues } from "./behaviour/values.ts";
import { describeViolations } from "./behaviour/violations.ts";

/** What every store of Garrison may rely on, whichever engine it runs on. */
export function describeStorage(engine: "sqlite" | "postgres", createLocation: () => TestLocation): void {
  const storage = storageUnderTest(engine, createLocation);
  describeValues(storage);
  describeViolations(storage);
  describeTransactions(storage);
  describeGroupTransactions(storage);
  describeStatements(storage);
  describeBulk(storage);
  describeMigrations(storage);
  describeEvents(storage);
  describeClosing(storage);
}
