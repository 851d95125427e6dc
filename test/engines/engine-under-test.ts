import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { create, type DescMessage, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import {
  AddUserOperationSchema,
  HandlerService,
  RemoveUserOperationSchema,
} from "../../gen/xray/app/proxyman/command/command_pb.ts";
import { type TypedMessage, TypedMessageSchema } from "../../gen/xray/common/serial/typed_message_pb.ts";
import { AccountSchema as VlessSchema } from "../../gen/xray/proxy/vless/account_pb.ts";
import type { EngineExit, EngineState, TrafficReading, UpdatableEngine } from "../../src/node/engines/engine.ts";
import { placeholderEmail } from "../../src/node/engines/xray/accounts.ts";
import { XrayApi } from "../../src/node/engines/xray/api.ts";
import { createXrayEngine, type XrayEngineOptions } from "../../src/node/engines/xray/xray-engine.ts";
import { xrayPath } from "../xray-path.ts";

/** An Xray engine, and all that it told. */
export interface EngineUnderTest {
  readonly engine: UpdatableEngine;
  readonly runDir: string;
  readonly lines: string[];
  readonly states: EngineState[];
  readonly exits: EngineExit[];
  readonly restarts: string[];
  readonly drained: TrafficReading[];
  /** Incarnations. */
  readonly vanished: string[];
  /** The pid of Xray. */
  pid(): Promise<number>;
  /** Changes a user of Xray behind the engine's back. */
  alter(tag: string, change: { remove: string } | { addVless: string; id: string }): Promise<void>;
  /** The e-mails that Xray itself says are on an inbound, sorted. */
  usersOn(tag: string): Promise<string[]>;
  close(): Promise<void>;
}

/** Makes an engine that runs a real Xray in a directory of its own, or in that of another one that was left. */
export async function createEngineUnderTest({
  runDir: given,
  ...options
}: Partial<
  Pick<XrayEngineOptions, "startTimeoutMs" | "health" | "stateFile" | "runDir">
> = {}): Promise<EngineUnderTest> {
  const runDir = given ?? (await mkdtemp(join(tmpdir(), "garrison-engine-")));
  const told = {
    lines: [] as string[],
    states: [] as EngineState[],
    exits: [] as EngineExit[],
    restarts: [] as string[],
    drained: [] as TrafficReading[],
    vanished: [] as string[],
  };
  const engine = createXrayEngine({
    ...options,
    executable: await xrayPath(),
    assets: runDir,
    env: { ...process.env, API_KEY: crypto.randomUUID(), SSL_CERT_FILE: "/nowhere", XRAY_LOCATION_CONFDIR: "/" },
    runDir,
    events: {
      line: (text) => told.lines.push(text),
      stateChanged: (state) => told.states.push(state),
      exited: (exit) => told.exits.push(exit),
      restarted: (incarnation) => told.restarts.push(incarnation),
      vanished: (incarnation) => told.vanished.push(incarnation),
      drained: (reading) => told.drained.push(reading),
    },
  });
  const withApi = async <T>(use: (api: XrayApi) => Promise<T>): Promise<T> => {
    const api = new XrayApi(join(runDir, "xray-api.sock"));
    try {
      return await use(api);
    } finally {
      api.close();
    }
  };
  return {
    ...told,
    engine,
    runDir,
    pid: async () => Number((await engine.readTraffic()).incarnation.split("/")[1]),
    async alter(tag, change) {
      const operation =
        "remove" in change
          ? typed(RemoveUserOperationSchema, { email: change.remove })
          : typed(AddUserOperationSchema, {
              user: { email: change.addVless, account: typed(VlessSchema, { id: change.id }) },
            });
      await withApi((api) => api.call(HandlerService.method.alterInbound, { tag, operation }));
    },
    async usersOn(tag) {
      const { users } = await withApi((api) => api.call(HandlerService.method.getInboundUsers, { tag }));
      return users
        .map(({ email }) => email)
        .filter((email) => email !== placeholderEmail)
        .sort();
    },
    async close() {
      await engine.close();
      if (given === undefined) await rm(runDir, { recursive: true });
    },
  };
}

function typed<T extends DescMessage>(schema: T, init: MessageInitShape<T>): TypedMessage {
  return create(TypedMessageSchema, { type: schema.typeName, value: toBinary(schema, create(schema, init)) });
}

/** Whether a process lives. One that has ended but was not waited for does not. */
export async function isAlive(pid: number): Promise<boolean> {
  const stat = await readFile(`/proc/${pid}/stat`, "latin1").catch(() => undefined);
  return stat !== undefined && !/\) [ZX] /.test(stat);
}

/** The shells that watch over a process. */
export async function watchersOf(pid: number): Promise<number[]> {
  const pids = (await readdir("/proc")).filter((name) => /^\d+$/.test(name));
  const watching = await Promise.all(
    pids.map(async (watcher) => {
      const line = await readFile(`/proc/${watcher}/cmdline`, "latin1").catch(() => "");
      return line.includes(`\0garrison-watch\0${pid}\0`);
    }),
  );
  return pids.filter((_, index) => watching[index]).map(Number);
}

/** Waits until something is so; fails when it is not within the time. */
export async function until(
  what: string,
  condition: () => boolean | Promise<boolean>,
  withinMs = 5_000,
): Promise<void> {
  const end = performance.now() + withinMs;
  while (!(await condition())) {
    if (performance.now() > end) throw new Error(`not within ${withinMs} ms: ${what}`);
    await sleep(5);
  }
}
