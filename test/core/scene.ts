import { afterAll, beforeAll, describe } from "vitest";
import type { CoreSchema } from "../../src/core/store/schema.ts";
import type { Database } from "../../src/platform/storage/database.ts";
import { type CoreUnderTest, serveCore } from "./core-under-test.ts";
import { type CallRpc, createCaller } from "./fleet/ways.ts";
import { type Engine, engines, type SharedDatabase, shareDatabase } from "./shared-database.ts";

/** An empty database. */
export interface DatabaseScene {
  readonly shared: SharedDatabase;
  readonly database: Database<CoreSchema>;
  close(): Promise<void>;
}

/** Makes one. */
export async function openDatabaseScene(engine: Engine): Promise<DatabaseScene> {
  const shared = await shareDatabase(engine);
  return { shared, database: await shared.open(), close: () => shared.close() };
}

/** A Core on an empty database of its own. */
export interface CoreScene {
  readonly shared: SharedDatabase;
  readonly core: CoreUnderTest;
  /** Milliseconds since 1970. */
  readonly clock: { now: number };
  /** Calls as an operator who may do everything. */
  readonly call: CallRpc;
  /** That operator's key. */
  readonly key: string;
  close(): Promise<void>;
}

/** Makes one. */
export async function openCoreScene(engine: Engine): Promise<CoreScene> {
  const shared = await shareDatabase(engine);
  const clock = { now: Date.parse("2026-11-21T12:00:00Z") };
  const core = await serveCore(shared, clock);
  const key = await core.operator("*");
  return {
    shared,
    core,
    clock,
    call: createCaller("rest", core.url, key),
    key,
    async close() {
      await core.close();
      await shared.close();
    },
  };
}

/** Declares tests that run on every database, in a scene that `open` makes before them: it is filled in until then. */
export function describeScene<Scene extends { close(): Promise<void> }>(
  what: string,
  open: (engine: Engine) => Promise<Scene>,
  tests: (scene: Scene, engine: Engine) => void,
): void {
  describe.each(engines)(`${what} on %s`, (engine) => {
    const scene = {} as Scene;
    beforeAll(async () => void Object.assign(scene, await open(engine)));
    afterAll(() => scene.close?.());
    tests(scene, engine);
  });
}
