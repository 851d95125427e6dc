import { monitorEventLoopDelay } from "node:perf_hooks";
import { setImmediate } from "node:timers/promises";
import { Publishing } from "../../src/core/domain/publishing.ts";
import { createConfigStore } from "../../src/core/store/config-store.ts";
import { createPublicationStore } from "../../src/core/store/publications.ts";
import { addNode, addUsers } from "../../test/core/fleet-rows.ts";
import { engines, shareDatabase } from "../../test/core/shared-database.ts";
import { report } from "../node/report.ts";
import { median } from "../rounds.ts";
import { openBenchDatabase } from "./open-database.ts";

/** From a change to its revision, without the time in which changes are collected, for one node with many users. */
export async function measureRendering(users = 10_000, rounds = 9): Promise<void> {
  for (const engine of engines) {
    const shared = await shareDatabase(engine);
    const { file, url } = shared.location;
    const database = await openBenchDatabase(file ?? url ?? "");
    const node = await addNode(database, "a", ["vless"]);
    await addUsers(database, users);
    const publishing = new Publishing({
      store: createPublicationStore(database, { quietMs: 0, mostMs: 0 }),
      name: "bench",
      now: Date.now,
      rest: () => setImmediate(),
      log: console,
    });
    const store = createConfigStore(database);
    const took: number[] = [];
    const stalls: number[] = [];
    const delay = monitorEventLoopDelay({ resolution: 1 });
    for (let round = 0; round < rounds; round += 1) {
      await addUsers(database, 1);
      await setImmediate();
      const published = Promise.withResolvers<void>();
      const listening = store.onPublished((nodeIds) => nodeIds?.includes(node) && published.resolve());
      await new Promise((resolve) => setTimeout(resolve, 100));
      delay.reset();
      delay.enable();
      const startedAt = performance.now();
      publishing.changed({ nodeIds: [node] }, "user added");
      await published.promise;
      took.push(performance.now() - startedAt);
      delay.disable();
      stalls.push(delay.max / 1e6);
      listening.close();
    }
    const about = `${users.toLocaleString("en")} users: render and publish one node's config, ${engine}`;
    report({ about, value: median(took), unit: "ms", atMost: 200 });
    report({ about: `${about}: longest stall`, value: median(stalls), unit: "ms", atMost: 20 });
    await publishing.close();
    await database.close();
    await shared.close();
  }
}
