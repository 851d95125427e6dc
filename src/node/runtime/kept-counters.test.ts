import { mkdtemp, readdir, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { Journal } from "../../platform/files/journal.ts";
import type { TrafficReading } from "../engines/engine.ts";
import { openCounterKeeper } from "./kept-counters.ts";
import { createVirtualCounters, type VirtualCounters } from "./virtual-counters.ts";

let directory: string;
let path: string;
const problems: unknown[] = [];
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "garrison-counters-"));
  path = join(directory, "counters");
  problems.length = 0;
});
afterEach(() => rm(directory, { recursive: true }));

interface Process {
  readonly counters: VirtualCounters;
  /** Ends it as a node ends that is asked to. */
  end(): Promise<void>;
  /** Resolves when all that it noted is on disk: from then on it may be killed. */
  noted(): Promise<void>;
}

/** Counters as one process of the node after another has them. */
async function startProcess(): Promise<Process> {
  const keeper = await openCounterKeeper(path, (problem) => problems.push(problem));
  const counters = createVirtualCounters({
    initial: keeper.initial,
    changed: (changed) => keeper.note(changed, counters.state),
  });
  return { counters, end: () => keeper.close(counters.state()), noted: () => keeper.noted() };
}

/** What an incarnation has counted so far of users. */
function reading(incarnation: string, bytes: Record<string, number>): TrafficReading {
  const counters = Object.entries(bytes).map(([name, up]) => {
    return { kind: "user", name, link: "traffic", uplinkBytes: BigInt(up), downlinkBytes: BigInt(2 * up) } as const;
  });
  return { incarnation, counters };
}

function unread(counters: VirtualCounters): Record<string, number> {
  const entries = counters.read("user").map(({ name, uplinkBytes, downlinkBytes }) => {
    expect(downlinkBytes).toBe(2n * uplinkBytes);
    return [name, Number(uplinkBytes)];
  });
  return Object.fromEntries(entries);
}

test("what was read for good before a crash is not read again, and all else is", async () => {
  const first = await startProcess();
  first.counters.observe(reading("life 1", { a: 100, b: 50 }));
  first.counters.take("user").confirm();
  first.counters.observe(reading("life 1", { a: 130, b: 50, c: 7 }));
  first.counters.take("user", "a").confirm();
  first.counters.take("user", "c"); // on its way
  await first.noted();
  const { counters } = await startProcess();
  counters.observe(reading("life 1", { a: 131, b: 60, c: 8 }));
  expect(unread(counters)).toEqual({ a: 1, b: 10, c: 8 });
});

test("a process that ends in peace leaves what nobody has read, though the engine ends as well", async () => {
  const first = await startProcess();
  first.counters.observe(reading("life 1", { a: 100, b: 50 }));
  first.counters.take("user", "a").confirm();
  first.counters.observe(reading("life 1", { a: 101, b: 50 }));
  await first.end();
  const { counters } = await startProcess();
  expect(unread(counters)).toEqual({ a: 1, b: 50 });
  counters.observe(reading("life 2", { b: 3 }));
  expect(unread(counters)).toEqual({ a: 1, b: 53 });
});

test("what is left of an engine that has ended is carried through another process", async () => {
  const first = await startProcess();
  first.counters.observeLast(reading("life 1", { a: 100 }));
  await first.noted();
  expect(unread((await startProcess()).counters)).toEqual({ a: 100 });
  first.counters.observe(reading("life 2", { b: 5 }));
  first.counters.take("user", "b").confirm();
  await first.noted();
  const { counters } = await startProcess();
  counters.observe(reading("life 2", { b: 6 }));
  expect(unread(counters)).toEqual({ a: 100, b: 1 });
});

test("many processes, one after another, report every byte once", async () => {
  let read = 0;
  let carried = 0;
  for (let turn = 1; turn <= 40; turn++) {
    const process = await startProcess();
    carried += turn;
    process.counters.observe(reading("life 1", { a: carried, [`b${turn}`]: turn }));
    if (turn % 3 > 0) {
      const taken = process.counters.take("user", "a");
      read += Number(taken.counters[0]?.uplinkBytes);
      taken.confirm();
    }
    await (turn % 2 === 0 ? process.end() : process.noted());
  }
  const { counters } = await startProcess();
  counters.observe(reading("life 1", { a: carried }));
  expect(read + (unread(counters).a ?? 0)).toBe(carried);
});

test("thousands of counters are kept, and nobody else can read them", async () => {
  const first = await startProcess();
  const bytes = Object.fromEntries(Array.from({ length: 3_210 }, (_, index) => [`user ${index}`, index]));
  first.counters.observe(reading("life 1", bytes));
  await first.end();
  expect((await stat(path)).mode & 0o777).toBe(0o600);
  const { counters } = await startProcess();
  expect(unread(counters)).toEqual(bytes);
});

test("what is damaged or of another version is told, and begins anew", async () => {
  await (await startProcess()).end();
  const { journal } = await Journal.open(path);
  await (await journal.draft(['{"format":99}'])).commit();
  await journal.close();
  const { counters, end } = await startProcess();
  expect(problems).toEqual([expect.objectContaining({ message: expect.stringContaining("format 99") })]);
  expect(unread(counters)).toEqual({});
  counters.observe(reading("life 1", { a: 1 }));
  await end();
  expect(unread((await startProcess()).counters)).toEqual({ a: 1 });
});

test("where nothing can be written that is told, and no older state is left to be believed", async () => {
  const first = await startProcess();
  first.counters.observe(reading("life 1", { a: 100 }));
  first.counters.take("user").confirm();
  await first.noted();
  await rm(path);
  await rm(`${path}.before`, { force: true });
  first.counters.observe(reading("life 1", { a: 150 }));
  first.counters.take("user").confirm();
  await first.noted();
  expect(problems).toHaveLength(1);
  expect(await readdir(directory)).toEqual([]);
  // The next one is a base of its own again.
  first.counters.observe(reading("life 1", { a: 170 }));
  first.counters.take("user").confirm();
  await first.noted();
  const { counters } = await startProcess();
  counters.observe(reading("life 1", { a: 171 }));
  expect(unread(counters)).toEqual({ a: 1 });
});
