import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createClient, createRouterTransport } from "@connectrpc/connect";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { NodeAgentService, type ReportErrorRequest } from "../../../../gen/garrison/core/v1/node_agent_pb.ts";
import { createLog } from "../../../platform/telemetry/log.ts";
import { openSpool } from "../spool/open-spool.ts";
import type { Spool } from "../spool/spool.ts";
import type { Contact } from "./contact.ts";
import { CoreAway } from "./core-client.ts";
import { createFaultReports, type FaultReports } from "./fault-reports.ts";

const now = () => Date.UTC(2026, 4, 10, 12);
let directory: string;
let spool: Spool;
let faults: FaultReports;
let isAway: boolean;
let told: ReportErrorRequest[];
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "garrison-faults-"));
  [isAway, told] = [false, []];
  await open();
});
afterEach(async () => {
  await close();
  await rm(directory, { recursive: true });
});

const core = createClient(
  NodeAgentService,
  createRouterTransport(({ service }) => {
    service(NodeAgentService, {
      reportError(request) {
        told.push(request);
        return { ok: true };
      },
    });
  }),
);

const contact: Pick<Contact, "call"> = {
  call: (make) => (isAway ? Promise.reject(new CoreAway("away", undefined, undefined)) : make(core, {})),
};

async function open(): Promise<void> {
  const clock = { now, uptime: () => 0, bootId: "boot" };
  spool = await openSpool({ file: join(directory, "spool.db"), clock });
  const before = await spool.faults.read();
  faults = createFaultReports({ contact, kept: spool.faults, before, now, log: createLog("node", "silent") });
}

async function close(): Promise<void> {
  await faults.close();
  await spool.close();
}

const report = (message: string) => faults.report({ code: "USAGE_GAP", message, severity: "warning" });
const tellings = () => told.map(({ message, occurrences }) => `${message} ${occurrences}`);

test("what Core was not told of is told by the next process, once, and how often it happened", async () => {
  isAway = true;
  for (const message of ["first", "second", "second"]) report(message);
  await close();
  await open();
  report("third");
  await close();
  isAway = false;
  await open();
  await vi.waitFor(() => expect(tellings()).toEqual(["first 1", "second 2", "third 1"]));
  expect(told[0]?.details).toMatchObject({ occurredAt: "2026-05-10T12:00:00.000Z" });
  await close();
  await open();
  report("fourth");
  await vi.waitFor(() => expect(tellings().slice(3)).toEqual(["fourth 1"]));
});

test("what somebody keeps until it is on disk is told by itself, and a text that is too long is one text", async () => {
  isAway = true;
  const kept: string[] = [];
  report("first");
  for (const name of ["a", "b"])
    faults.report({
      ...{ code: "USAGE_GAP", message: "xray has ended", severity: "warning", details: { name } },
      kept: () => void kept.push(name),
    });
  for (const end of ["a", "b"]) report(`${"x".repeat(16_000)}${end}`);
  await close();
  expect(kept).toEqual(["a", "b"]);
  await open();
  const requests = (await spool.faults.read()).map(({ request }) => request);
  expect(requests.map(({ message, occurrences }) => [message.length, occurrences])).toEqual([
    ...[5, 14, 14].map((length) => [length, 1]),
    [16_000, 2],
  ]);
  expect(requests.map(({ details }) => details?.name)).toEqual([undefined, "a", "b", undefined]);
});

test("of too many that wait, the oldest but the first are forgotten", async () => {
  isAway = true;
  for (let index = 0; index < 120; index++) report(`${index}`);
  await close();
  await open();
  const kept = (await spool.faults.read()).map(({ request }) => Number(request.message));
  expect([kept.length, kept[0], kept[1], kept.at(-1)]).toEqual([100, 0, 21, 119]);
});

test("a disk that takes nothing is no reason not to tell", async () => {
  await faults.close();
  const full = () => Promise.reject(new Error("database or disk is full"));
  const kept = { keep: full, forget: full };
  faults = createFaultReports({ contact, kept, before: [], now, log: createLog("node", "silent") });
  report("full");
  await vi.waitFor(() => expect(tellings()).toEqual(["full 1"]));
});
