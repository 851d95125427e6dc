import type { Insertable, Selectable } from "kysely";
import { afterEach, beforeEach } from "vitest";
import type { CoreSchema } from "../../../src/core/store/schema.ts";
import { type DatabaseScene, describeScene, openDatabaseScene } from "../scene.ts";
import { emptyTables } from "../shared-database.ts";
import { addFleet, type UsageFleet } from "./fleet.ts";
import { type BookingUnderTest, bookingOn } from "./reporting.ts";

/** What tests of booking have: each test a fleet of its own, of two nodes and three users. */
export interface BookingScene extends DatabaseScene {
  readonly fleet: UsageFleet;
  /** The first of its nodes. */
  readonly node: number;
  readonly booking: BookingUnderTest;
  /** What is booked of users: by minute, then by user. */
  rows(): Promise<Selectable<CoreSchema["usage_minute"]>[]>;
  /** The subscription of the n-th user. */
  subscription(user: number): Promise<Selectable<CoreSchema["subscription"]>>;
  /** Changes it. */
  setSubscription(user: number, values: Partial<Insertable<CoreSchema["subscription"]>>): Promise<unknown>;
  /** What was kept aside, in the order in which it came. */
  quarantined(): Promise<Pick<Selectable<CoreSchema["quarantined_entry"]>, "kind" | "reason" | "entry">[]>;
}

/** Declares tests that run on every database. */
export function describeBooking(what: string, tests: (scene: BookingScene) => void): void {
  describeScene(what, openDatabaseScene, (opened) => {
    const scene = opened as { -readonly [Part in keyof BookingScene]: BookingScene[Part] };
    const idOf = (user: number) => scene.fleet.subscriptionIds[user] ?? 0;
    scene.rows = () =>
      scene.database.db.selectFrom("usage_minute").selectAll().orderBy("minute").orderBy("account_id").execute();
    scene.subscription = (user) =>
      scene.database.db.selectFrom("subscription").selectAll().where("id", "=", idOf(user)).executeTakeFirstOrThrow();
    scene.setSubscription = (user, values) =>
      scene.database.db.updateTable("subscription").set(values).where("id", "=", idOf(user)).execute();
    scene.quarantined = () =>
      scene.database.db.selectFrom("quarantined_entry").select(["kind", "reason", "entry"]).orderBy("id").execute();
    beforeEach(async () => {
      const fleet = await addFleet(scene.database, { nodes: 2, users: 3 });
      Object.assign(scene, { fleet, node: fleet.nodeIds[0], booking: bookingOn(scene.database) });
    });
    afterEach(() => emptyTables(scene.database, "usage_minute", "inbound_day", "session_event", "node", "account"));
    tests(scene);
  });
}
