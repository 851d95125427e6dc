import { beforeEach, expect, test } from "vitest";
import { EngineState } from "../../../../gen/garrison/core/v1/node_status_pb.ts";
import { createMemoryEngine, type MemoryEngine } from "../../../../test/support/memory-engine.ts";
import { createDrivenXray } from "./driven-xray.ts";
import { type EngineWatch, watchEngine } from "./engine-watch.ts";

const ignored = () => undefined;
let now: number;
let watch: EngineWatch;
let engine: MemoryEngine;
beforeEach(() => {
  now = 1_000;
  watch = watchEngine({ drained: ignored, exited: ignored, vanished: ignored }, () => now);
  engine = createMemoryEngine({ ...watch.events, line: ignored });
});

const told = (ports: readonly number[]) => {
  const {
    state,
    restarts,
    startedAtMs,
    ports: listening,
  } = watch.status(
    createDrivenXray(engine, () => 0),
    ports,
  );
  return [state, restarts, startedAtMs, listening];
};
const request = { config: '{"inbounds":["in"],"outbounds":[]}', users: [], excludeInbounds: [] };

test("an engine that shall not run is stopped, and one that shall and does not has failed", () => {
  expect(told([])).toEqual([EngineState.STOPPED, 0, undefined, []]);
  expect(told([443])).toEqual([EngineState.FAILED, 0, undefined, []]);
});

test("an engine that runs tells since when, on which ports, and how often it came back by itself", async () => {
  await engine.start(request);
  now = 2_000;
  expect(told([443])).toEqual([EngineState.RUNNING, 0, 1_000n, [443]]);
  const comeBack = engine.kill();
  expect(told([443])).toEqual([EngineState.STARTING, 0, undefined, [443]]);
  comeBack();
  expect(told([443])).toEqual([EngineState.RUNNING, 1, 2_000n, [443]]);
});
