import { mkdtemp, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { createClient, createRouterTransport } from "@connectrpc/connect";
import { afterEach, beforeEach, expect, test } from "vitest";
import {
  ApplyMode,
  NodeAgentService,
  type ReportAppliedRequest,
} from "../../../../gen/garrison/core/v1/node_agent_pb.ts";
import {
  type ConfigDelta,
  ConfigDeltaSchema,
  type NodeConfig,
  NodeConfigSchema,
  type WireGuardServiceConfigSchema,
} from "../../../../gen/garrison/core/v1/node_config_pb.ts";
import { ApplyState } from "../../../../gen/garrison/core/v1/node_status_pb.ts";
import { createMemoryEngine, type MemoryEngine } from "../../../../test/support/memory-engine.ts";
import { createLog } from "../../../platform/telemetry/log.ts";
import { StartFailed } from "../../engines/engine-error.ts";
import { CoreAway } from "../contact/core-client.ts";
import { createDrivenMtproto } from "../engines/driven-mtproto.ts";
import { createDrivenWireGuard } from "../engines/driven-wireguard.ts";
import { createDrivenXray } from "../engines/driven-xray.ts";
import { contentOf, digestOf } from "./config-content.ts";
import { type ConfigSync, createConfigSync } from "./config-sync.ts";
import { type GoodConfig, keepConfig } from "./kept-config.ts";
import { linksOf } from "./links.ts";

const uuid = (digit: number) => `${digit}0000000-0000-4000-8000-000000000000`;
const minuteMs = 60_000;

let directory: string;
let now: number;
let engine: MemoryEngine;
let published: NodeConfig | undefined;
let delta: ConfigDelta | undefined;
let isAway: boolean;
let fetched: number;
let applied: ReportAppliedRequest[];
let reported: { code: string; revision: number | undefined }[];
let refused: Set<string>;
let refusedFrom: Map<string, readonly string[]>;
let running: GoodConfig;
let closing: AbortController;
let sync: ConfigSync;
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "garrison-sync-"));
  now = 1_000_000;
  delta = undefined;
  refusedFrom = new Map();
  [isAway, fetched, applied, reported, refused] = [false, 0, [], [], new Set()];
  open();
});
afterEach(() => rm(directory, { recursive: true }));

/** As after a start of the agent: nothing runs. */
function open(): void {
  let lives = 0;
  engine = createMemoryEngine({
    line: () => undefined,
    stateChanged: (state) => void (state === "running" && lives++),
    exited: () => undefined,
    restarted: () => undefined,
    drained: () => undefined,
  });
  closing = new AbortController();
  sync = createConfigSync({
    contact: {
      call: (make) =>
        isAway ? Promise.reject(new CoreAway("away", undefined, undefined)) : make(core, { signal: closing.signal }),
    },
    engines: [
      createDrivenWireGuard(
        { open: () => Promise.reject(new StartFailed("there is no device")), isLeft: false },
        () => 0,
      ),
      createDrivenXray(engine, () => lives),
      createDrivenMtproto(
        async () => undefined, // there is no telemt
        () => 0,
      ),
    ],
    file: join(directory, "last-good.json"),
    refusals: { isRefused: (link) => refused.has(link), addressesOf: (link) => refusedFrom.get(link) ?? [] },
    changed: (good) => {
      running = good;
    },
    counted: () => undefined,
    faults: { report: ({ code, revision }) => void reported.push({ code, revision }) },
    signal: closing.signal,
    now: () => now,
    log: createLog("node", "silent"),
  });
}

const core = createClient(
  NodeAgentService,
  createRouterTransport(({ service }) => {
    service(NodeAgentService, {
      getConfig({ digest, since }) {
        fetched += 1;
        if (published === undefined || digest === published.digest) return { unchanged: true };
        return since !== undefined && delta !== undefined ? { delta } : { config: published };
      },
      reportApplied(request) {
        applied.push(request);
        return { ok: true };
      },
    });
  }),
);

interface Changes {
  readonly digest?: string;
  readonly xray?: { readonly inbounds: string; readonly outbounds: string };
  readonly mtproto?: { readonly inbounds: { readonly port: number }[] };
  readonly wireguard?: MessageInitShape<typeof WireGuardServiceConfigSchema>;
}

function publish(revision: number, users: readonly number[], { digest, xray, mtproto, wireguard }: Changes = {}) {
  const clients = users.map((user) => ({ email: `7.${uuid(user)}`, id: uuid(user) }));
  const inbounds = JSON.stringify([{ tag: "in", protocol: "vless", settings: { clients, decryption: "none" } }]);
  const config = create(NodeConfigSchema, {
    revision: BigInt(revision),
    clientMap: Object.fromEntries(users.map((user) => [uuid(user), { userId: BigInt(user), subscriptionId: 5n }])),
    services: {
      xray: xray ?? { inbounds, outbounds: '[{"tag":"direct","protocol":"freedom"}]' },
      ...(mtproto !== undefined && { mtproto }),
      ...(wireguard !== undefined && { wireguard }),
    },
  });
  config.digest = digest ?? digestOf(contentOf(config));
  published = config;
  return { revision, digest: config.digest, config };
}

const users = () => [...engine.users.keys()].map((email) => Number(email[2]));
const told = () => applied.map(({ revision, engines }) => [Number(revision), ...engines.map(({ mode }) => mode)]);

/** The way to a config with one user more. */
function addUser(user: number, from: { readonly digest: string }, to: ReturnType<typeof publish>): ConfigDelta {
  const client = JSON.stringify({ email: `7.${uuid(user)}`, id: uuid(user) });
  return create(ConfigDeltaSchema, {
    ...{ baseDigest: from.digest, revision: BigInt(to.revision), digest: to.digest },
    operations: [
      { operation: { case: "putXrayClient", value: { inboundTag: "in", client } } },
      {
        operation: {
          case: "putLink",
          value: { uuid: uuid(user), client: { userId: BigInt(user), subscriptionId: 5n } },
        },
      },
    ],
  });
}

test("the way to a config is taken where Core tells it, be it announced or answered", async () => {
  const first = publish(1, [1]);
  await sync.sync(first);
  const second = publish(2, [1, 2]);
  await sync.sync({ ...second, delta: addUser(2, first, second) });
  expect([fetched, users(), sync.current?.digest]).toEqual([1, [1, 2], second.digest]);
  const third = publish(3, [1, 2, 3]);
  delta = addUser(3, second, third);
  await sync.sync(third);
  expect([fetched, users(), sync.current?.digest]).toEqual([2, [1, 2, 3], third.digest]);
  expect(told().map(([revision]) => revision)).toEqual([1, 2, 3]);
});

test("a way that starts elsewhere, or does not lead to the config, is left for the whole config", async () => {
  const first = publish(1, [1]);
  await sync.sync(first);
  const second = publish(2, [1, 2]);
  await sync.sync({ ...second, delta: addUser(2, { digest: "other" }, second) });
  expect([fetched, users()]).toEqual([2, [1, 2]]);
  const third = publish(3, [1, 2, 4]);
  delta = addUser(3, second, third);
  await sync.sync({ ...third, delta });
  expect([fetched, users(), sync.current?.revision]).toEqual([4, [1, 2, 4], 3]);
  expect(reported).toEqual([]);
});

test("a config is fetched, applied, kept and told, and not fetched again", async () => {
  const announced = publish(1, [1, 2]);
  await sync.sync(announced);
  expect([users(), sync.state, sync.current?.revision]).toEqual([[1, 2], ApplyState.SYNCED, 1]);
  expect(told()).toEqual([[1, ApplyMode.RESTARTED]]);
  expect((await stat(join(directory, "last-good.json"))).mode & 0o077).toBe(0);
  await sync.sync(announced);
  expect([fetched, applied.length]).toEqual([1, 1]);
});

test("another set of users changes what runs, and restarts nothing", async () => {
  await sync.sync(publish(1, [1, 2]));
  await sync.sync(publish(2, [2, 3]));
  expect([users(), engine.starts]).toEqual([[2, 3], 1]);
  expect(told().at(-1)).toEqual([2, ApplyMode.ADOPTED]);
});

test("the same content under another number is told, and nothing is fetched", async () => {
  const { digest } = publish(1, [1]);
  await sync.sync(undefined);
  await sync.sync({ revision: 4, digest });
  expect([fetched, told()]).toEqual([1, [[1, ApplyMode.RESTARTED], [4]]]);
  open();
  await sync.restore();
  expect(sync.current?.revision).toBe(4);
});

test("what was applied and not heard is told by the next call", async () => {
  const announced = publish(1, [1]);
  await sync.sync(announced);
  published = undefined;
  applied = [];
  const other = publish(2, [1, 2]);
  await sync.sync(other);
  expect(told()).toHaveLength(1);
  isAway = true;
  await expect(sync.sync({ revision: 3, digest: other.digest })).rejects.toThrow(CoreAway);
  isAway = false;
  await sync.sync({ revision: 3, digest: other.digest });
  expect(told().at(-1)).toEqual([3]);
});

test("a config whose digest is another one is not applied, and reported", async () => {
  await sync.sync(publish(1, [1]));
  const announced = publish(2, [1, 2], { digest: "ab".repeat(32) });
  await sync.sync(announced);
  expect([users(), sync.state, sync.current?.revision]).toEqual([[1], ApplyState.ROLLED_BACK, 1]);
  expect(reported).toEqual([{ code: "DIGEST_MISMATCH", revision: 2 }]);
  expect(sync.fault?.code).toBe("DIGEST_MISMATCH");
});

test("a config that cannot be meant is reported as that", async () => {
  await sync.sync(publish(1, [1], { xray: { inbounds: "{}", outbounds: "[]" } }));
  expect([reported, sync.state]).toEqual([[{ code: "CONFIG_INVALID", revision: 1 }], ApplyState.EMPTY]);
});

test("a config that does not start is tried again after 1, 5, 15 and 60 minutes; another one at once", async () => {
  await sync.sync(publish(1, [1]));
  const release = engine.holdStarts();
  release("no");
  const broken = publish(2, [1], { xray: { inbounds: '[{"tag":"other","protocol":"socks"}]', outbounds: "[]" } });
  for (const [minutes, tries] of [
    [0, 1],
    [0.9, 1],
    [1.1, 2],
    [4.9, 2],
    [5.1, 3],
    [15.1, 4],
    [59, 4],
    [60.1, 5],
    [60.1, 6],
  ] as const) {
    const isDue = reported.length < tries;
    now += isDue && tries > 1 ? minutes * minuteMs : 0;
    await sync.sync(broken);
    expect(reported).toHaveLength(tries);
    if (isDue) continue;
    const before = now;
    now += minutes * minuteMs;
    await sync.sync(broken);
    expect(reported).toHaveLength(tries);
    now = before;
  }
  expect(new Set(reported.map(({ code }) => code))).toEqual(new Set(["ENGINE_START_FAILED"]));
  expect([users(), sync.state]).toEqual([[1], ApplyState.ROLLED_BACK]);
  await sync.sync(publish(3, [1, 2]));
  expect([users(), sync.state]).toEqual([[1, 2], ApplyState.SYNCED]);
});

test("a config that did not start is tried again where the clock was set back meanwhile", async () => {
  await sync.sync(publish(1, [1]));
  const release = engine.holdStarts();
  release("no");
  const broken = publish(2, [1], { xray: { inbounds: '[{"tag":"other","protocol":"socks"}]', outbounds: "[]" } });
  await sync.sync(broken);
  now -= 24 * 60 * minuteMs;
  await sync.sync(broken);
  await sync.sync(broken);
  expect(reported).toHaveLength(2);
});

test("of a config that does not run the users take effect all the same", async () => {
  const first = publish(1, [1, 2]);
  await sync.sync(first);
  engine.holdStarts()("no");
  const clients = [2, 3].map((user) => ({ email: `7.${uuid(user)}`, id: uuid(user), flow: "of the new config" }));
  const inbounds = JSON.stringify([
    { tag: "in", protocol: "vless", settings: { clients, decryption: "none" } },
    { tag: "other", protocol: "socks" },
  ]);
  const broken = publish(2, [2, 3], { xray: { inbounds, outbounds: "[]" } });
  await sync.sync(broken);
  expect([users(), sync.state, sync.current?.revision]).toEqual([[2, 3], ApplyState.ROLLED_BACK, 1]);
  expect(running.links.owners.has(uuid(3))).toBe(true);
  expect(running.links.former.has(uuid(1))).toBe(true);
  refused.add(uuid(3));
  await sync.enforce();
  expect(users()).toEqual([2]);
  refused.clear();
  // Core takes everything back.
  await sync.sync(first);
  expect([users().sort(), sync.state, engine.starts]).toEqual([[1, 2], ApplyState.SYNCED, 1]);
  expect(running.links.owners.has(uuid(3))).toBe(false);
  expect(running.links.former.has(uuid(3))).toBe(true);
});

test("a config that the machine lacks a program for disconnects nobody, whatever else it changes", async () => {
  await sync.sync(publish(1, [1]));
  const xray = { inbounds: '[{"tag":"other","protocol":"socks"}]', outbounds: "[]" };
  await sync.sync(publish(2, [1], { xray, mtproto: { inbounds: [{ port: 8443 }] } }));
  expect([users(), engine.starts, sync.state]).toEqual([[1], 1, ApplyState.ROLLED_BACK]);
  expect(reported).toEqual([{ code: "ENGINE_START_FAILED", revision: 2 }]);
});

test("the last good config runs before Core is asked", async () => {
  await sync.sync(publish(1, [1, 2]));
  isAway = true;
  open();
  await sync.restore();
  expect([users(), sync.state, sync.current?.revision]).toEqual([[1, 2], ApplyState.SYNCED, 1]);
});

test("of the last good config there runs what can, where an engine has lost what it needs", async () => {
  const inbound = { nodeProtocolId: 8n, tag: "wg0", port: 51_820, privateKey: "k", addresses: ["10.0.0.1/24"] };
  const lastGood = publish(1, [1], { wireguard: { inbounds: [inbound] } });
  const links = linksOf(lastGood.config, { owners: new Map(), former: new Map() }, now);
  await keepConfig(join(directory, "last-good.json"), { ...lastGood, content: contentOf(lastGood.config), links });
  await sync.restore();
  expect([users(), sync.state]).toEqual([[1], ApplyState.FAILED]);
  await sync.sync(publish(2, [1, 2]));
  expect([users(), sync.state]).toEqual([[1, 2], ApplyState.SYNCED]);
});

test("links that are refused are left out, and come back", async () => {
  await sync.sync(publish(1, [1, 2]));
  refused.add(uuid(1));
  await sync.enforce();
  expect(users()).toEqual([2]);
  await sync.sync(publish(2, [1, 2, 3]));
  expect(users()).toEqual([2, 3]);
  refused.clear();
  await sync.enforce();
  expect([users().sort(), engine.starts]).toEqual([[1, 2, 3], 1]);
});

test("nothing is started any more once the engines are about to be ended", async () => {
  publish(1, [1]);
  closing.abort();
  await expect(sync.sync(undefined)).rejects.toThrow();
  expect([engine.starts, reported]).toEqual([0, []]);
});
