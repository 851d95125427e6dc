import { chmod, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import {
  MtProtoInboundSchema,
  MtProtoMode,
  type MtProtoServiceConfig,
  MtProtoServiceConfigSchema,
  type MtProtoUser,
  MtProtoUserSchema,
} from "../../gen/garrison/core/v1/node_config_pb.ts";
import type { EngineExit, EngineState, TrafficReading } from "../../src/node/engines/engine.ts";
import {
  createMtProtoEngine,
  type MtProtoEngine,
  type MtProtoEngineOptions,
} from "../../src/node/engines/mtproto/mtproto-engine.ts";
import type { Faults } from "../support/telemt-stand-in/faults.ts";

/** An MTProto engine, and all that it told. */
export interface TelemtUnderTest {
  readonly engine: MtProtoEngine;
  readonly runDir: string;
  readonly lines: string[];
  readonly states: EngineState[];
  readonly exits: EngineExit[];
  readonly restarts: string[];
  readonly drained: TrafficReading[];
  /** The pid of the telemt of an inbound. */
  pid(inbound?: string): Promise<number>;
  /** What the engine says that a user has used, in both directions. */
  used(user: MtProtoUser, inbound?: string): Promise<readonly [bigint, bigint]>;
  /** What goes wrong with the stand-in from now on. */
  breakStandIn(faults: Faults): Promise<void>;
  close(): Promise<void>;
}

/** Which telemt is run. */
export type TelemtKind = "the stand-in" | "telemt itself";

/** Makes an engine in a directory of its own, or in that of another one that was left. */
export async function createTelemtUnderTest(
  kind: TelemtKind,
  {
    runDir: given,
    ...options
  }: Partial<Pick<MtProtoEngineOptions, "runDir" | "health" | "pace" | "startTimeoutMs">> = {},
): Promise<TelemtUnderTest> {
  const runDir = given ?? (await mkdtemp(join(tmpdir(), "garrison-telemt-")));
  const told = {
    lines: [] as string[],
    states: [] as EngineState[],
    exits: [] as EngineExit[],
    restarts: [] as string[],
    drained: [] as TrafficReading[],
  };
  const engine = createMtProtoEngine({
    ...options,
    program: { executable: await telemtProgram(kind, runDir), env: { ...process.env, API_KEY: "secret" } },
    runDir,
    now: Date.now,
    events: {
      line: (text) => told.lines.push(text),
      stateChanged: (state) => told.states.push(state),
      exited: (exit) => told.exits.push(exit),
      restarted: (incarnation) => told.restarts.push(incarnation),
      drained: (reading) => told.drained.push(reading),
    },
  });
  return {
    ...told,
    engine,
    runDir,
    pid: (inbound = "7") => telemtPid(runDir, inbound),
    async used(user, inbound = "7") {
      const { counters } = await engine.readTraffic("user");
      const { uplinkBytes = 0n, downlinkBytes = 0n } =
        counters.find(({ name }) => name === `${inbound}.${user.linkUuid}`) ?? {};
      return [uplinkBytes, downlinkBytes];
    },
    breakStandIn: (faults) => writeFile(join(runDir, "faults.json"), JSON.stringify(faults)),
    async close() {
      await engine.close();
      if (given === undefined) await rm(runDir, { recursive: true });
    },
  };
}

/** The pid of the telemt of an inbound, by what was noted of it. */
export async function telemtPid(runDir: string, inbound: string): Promise<number> {
  return JSON.parse(await readFile(join(runDir, `mtproto-${inbound}`, "process.json"), "utf8")).pid;
}

/** The path of a telemt; that of the stand-in is a script, which finds what is wrong with it in the directory. */
export async function telemtProgram(kind: TelemtKind, directory: string): Promise<string> {
  if (kind === "telemt itself") return process.env.TELEMT_PATH ?? "";
  const script = join(directory, "telemt");
  const main = join(import.meta.dirname, "../support/telemt-stand-in/main.ts");
  const faults = join(directory, "faults.json");
  await writeFile(script, `#!/bin/sh\nexec "${process.execPath}" "${main}" --faults "${faults}" "$@"\n`);
  await chmod(script, 0o755);
  return script;
}

/** A user by a number; `generation` makes for another secret. */
export function telemtUser(
  number: number,
  { generation = 0, ...limits }: MessageInitShape<typeof MtProtoUserSchema> & { generation?: number } = {},
): MtProtoUser {
  const hex = number.toString(16);
  return create(MtProtoUserSchema, {
    linkUuid: `${hex.padStart(8, "0")}-0000-4000-8000-000000000000`,
    secret: `${generation.toString(16).padStart(16, "0")}${hex.padStart(16, "0")}`,
    ...limits,
  });
}

/** A config of inbound 7, and of others with ids of their own, which reach a data centre on this machine. */
export function telemtConfig(
  dataCentre: string,
  ...inbounds: { id?: bigint; port: number; users: MtProtoUser[]; settings?: object; modes?: MtProtoMode[] }[]
): MtProtoServiceConfig {
  // Nothing of it leaves this machine.
  const alone = {
    general: { use_middle_proxy: false, middle_proxy_nat_probe: false },
    network: { stun_use: false, http_ip_detect_urls: [] },
    upstreams: [{ type: "direct", bind_addresses: ["127.0.0.1"] }],
    dc_overrides: Object.fromEntries(["1", "2", "3", "4", "5", "203", "-2"].map((dc) => [dc, dataCentre])),
  };
  return create(MtProtoServiceConfigSchema, {
    inbounds: inbounds.map(({ id = 7n, port, users, settings = {}, modes = [MtProtoMode.SECURE] }) =>
      create(MtProtoInboundSchema, {
        nodeProtocolId: id,
        listen: "127.0.0.1",
        port,
        modes,
        tlsDomains: ["front.example.org"],
        users,
        settings: JSON.stringify({ ...alone, ...settings }),
      }),
    ),
  });
}
