import { mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { Code, ConnectError } from "@connectrpc/connect";
import { StatType, type User } from "../../gen/service/node_pb.ts";
import { type CompatNode, callerOver, startNode } from "../compat/harness.ts";
import { startByteTarget } from "../support/byte-target.ts";
import { childrenOf, engineOf, enginesOf, isAlive } from "../support/child-processes.ts";
import { apiProtocols, grpcClient, type NodeCaller, RestError } from "../support/node-caller.ts";
import { freePorts } from "../support/ports.ts";
import { nodeConfig, proxyProtocols, userOf } from "../support/proxy-protocols.ts";
import { createRandom, type Random } from "../support/random.ts";
import { carry } from "../support/vless-client.ts";
import { createSharedOrAlone } from "./shared-or-alone.ts";

/** What was done, and what is wrong at the end: nothing, if all is well. */
export interface SoakReport {
  readonly done: Readonly<Record<string, number>>;
  readonly wrong: readonly string[];
}

/**
 * Lets several clients do at random what panels, operators and users do to a node with a real Xray, and then compares the
 * node with what they remember. The same seed does the same; what happens meanwhile still depends on the machine.
 */
export async function soak(seed: number, seconds: number): Promise<SoakReport> {
  const directory = await mkdtemp(join(tmpdir(), "garrison-soak-"));
  const [node, target, ports] = await Promise.all([
    startNode({ TMPDIR: directory }),
    startByteTarget(),
    freePorts(proxyProtocols.length),
  ]);
  const [inboundPort = 0] = ports;
  const until = performance.now() + seconds * 1_000;
  const random = createRandom(seed);
  const done: Record<string, number> = {};
  const wrong: string[] = [];
  /** Users that ever were; those without inbounds are removed. Each belongs to one client. */
  const users = new Map<string, User>();
  const sent = new Map<string, number>();
  const reported = new Map<string, number>();
  // Whoever replaces the whole set is alone with it; whoever takes the engine away waits for bytes on their way.
  const sets = createSharedOrAlone();
  const traffic = createSharedOrAlone();

  /** Of those who leave before they are answered. */
  const fickle = grpcClient(node);
  const note = (what: string) => {
    done[what] = (done[what] ?? 0) + 1;
  };
  const live = () => [...users.values()].filter(({ inbounds }) => inbounds.length > 0);
  const config = (extra: number) => {
    const document = JSON.parse(nodeConfig(ports));
    for (let index = 0; index < extra; index += 1)
      document.outbounds.push({ tag: `more-${index}`, protocol: "freedom" });
    return JSON.stringify(document);
  };
  const read = async (caller: NodeCaller) => {
    const { stats } = await caller.stats({ type: StatType.UsersStat, reset: true });
    for (const { name, value } of stats) reported.set(name, (reported.get(name) ?? 0) + Number(value));
  };

  async function owner(name: string, caller: NodeCaller, random: Random) {
    const own = (index: number) => `${index}.${name}`;
    while (performance.now() < until) {
      const some = Array.from({ length: random.below(4) === 0 ? 1 + random.below(150) : 1 }, () => {
        const email = own(random.below(300));
        return random.below(4) === 0 ? { ...userOf(email), inbounds: [] } : userOf(email, "vless", "trojan");
      });
      // Of several with one e-mail the last counts.
      const distinct = [...new Map(some.map((user) => [user.email, user])).values()];
      await sets.shared(async () => {
        const sync = () =>
          distinct.length === 1 && distinct[0]
            ? caller.syncUser(distinct[0])
            : caller.syncChunked({ users: distinct, last: true });
        if (random.below(5) === 0) await leave(distinct, random);
        await untilAnswered(sync);
        for (const user of distinct) users.set(user.email, user);
      });
      note("syncs");
      const [email, user] = random.of([...users].filter(([key]) => key.endsWith(`.${name}`))) ?? [];
      if (email === undefined || user === undefined || user.inbounds.length === 0) continue;
      const bytes = { up: 8 + random.below(50_000), down: 8 + random.below(50_000) };
      await traffic.shared(() =>
        sets.shared(async () => {
          await carry(inboundPort, user.proxies?.vless?.id ?? "", target, bytes.up, bytes.down);
          sent.set(email, (sent.get(email) ?? 0) + bytes.up + bytes.down);
          note("transfers");
        }),
      );
    }
  }

  /** Sends users and leaves before the answer. What became of them is made certain by the next call. */
  async function leave(some: readonly User[], random: Random) {
    const signal = AbortSignal.timeout(random.below(30));
    await fickle.syncUsersChunked(chunkOf(some), { signal }).catch(() => undefined);
    note("aborted calls");
  }

  async function operator(caller: NodeCaller, random: Random) {
    while (performance.now() < until) {
      await sleep(500 + random.below(2_000));
      const what = random.of(["start", "changed start", "full sync", "stop and start", "kill"] as const);
      if (what === undefined) continue;
      await traffic.alone(() => sets.alone(() => operate(what, caller, random)));
      note(what);
    }
  }

  async function operate(what: string, caller: NodeCaller, random: Random) {
    if (what === "full sync") return caller.syncUsers({ users: live() });
    if (what === "kill") {
      await read(caller); // what Xray alone knows of dies with it
      const engine = await engineOf(node.pid);
      process.kill(engine, "SIGKILL");
      return untilAnswered(async () => {
        const [next] = await enginesOf(node.pid);
        if (next === undefined || next === engine) throw new ConnectError("no new engine yet", Code.Unavailable);
        return caller.backendStats();
      });
    }
    if (what === "stop and start") await caller.stop();
    return caller.start({ config: config(what === "changed start" ? 1 + random.below(5) : 0), users: live() });
  }

  async function reader(caller: NodeCaller, random: Random) {
    while (performance.now() < until) {
      await sleep(random.below(300));
      await read(caller).then(() => note("reads"), allowed);
      await Promise.all([caller.info(), caller.backendStats().catch(allowed), caller.systemStats().catch(allowed)]);
    }
  }

  async function viewer(random: Random) {
    while (performance.now() < until) {
      const signal = AbortSignal.timeout(1 + random.below(500));
      const lines = fickle.getLogs({}, { signal });
      await Array.fromAsync(lines).catch(() => undefined);
      note("log views");
    }
  }

  const callers = apiProtocols.map(({ name }) => ({ name, caller: callerOver(name, node) }));
  const [first] = callers;
  if (first === undefined) throw new Error("no protocol");
  await first.caller.start({ config: config(0) });
  const before = await openFiles(node);
  await Promise.all([
    ...callers.map(({ name, caller }) => owner(name, caller, random.fork())),
    operator(first.caller, random.fork()),
    reader(callerOver("gRPC", node), random.fork()),
    reader(callerOver("REST", node), random.fork()),
    viewer(random.fork()),
  ]);

  const settled = performance.now() + 10_000;
  do await read(first.caller);
  while (differences(sent, reported).length > 0 && performance.now() < settled);
  wrong.push(...differences(sent, reported));
  for (const user of users.values()) {
    const isLive = user.inbounds.length > 0;
    const passes = await carry(inboundPort, user.proxies?.vless?.id ?? "", target, 8, 8).then(
      () => true,
      () => false,
    );
    if (passes !== isLive) wrong.push(`${user.email} ${passes ? "gets" : "does not get"} through`);
  }
  const after = await openFiles(node);
  // Connections of the callers above stay open for a while.
  if (after > before + 30) wrong.push(`the node had ${before} files open at first, and has ${after} at the end`);
  const children = await childrenOf(node.pid);
  await Promise.all([node.close(), target.close()]);
  for (const child of children) if (await isAlive(child)) wrong.push(`process ${child} is left`);
  const left = await readdir(directory);
  if (left.length > 0) wrong.push(`files are left: ${left.join(", ")}`);
  await rm(directory, { recursive: true });
  return { done, wrong };
}

async function* chunkOf(users: readonly User[]) {
  yield { index: 0n, users: [...users], last: true };
}

/** Whose bytes were not reported as they were sent. */
function differences(sent: ReadonlyMap<string, number>, reported: ReadonlyMap<string, number>): string[] {
  return [...new Set([...sent.keys(), ...reported.keys()])].flatMap((email) => {
    const [of, told] = [sent.get(email) ?? 0, reported.get(email) ?? 0];
    return of === told ? [] : [`${email} has carried ${of} bytes, and ${told} were reported`];
  });
}

/** Asks again while there is no engine. */
async function untilAnswered<T>(call: () => Promise<T>): Promise<T> {
  const deadlineMs = performance.now() + 20_000;
  for (;;) {
    try {
      return await call();
    } catch (error) {
      allowed(error);
      if (performance.now() > deadlineMs) throw error;
      await sleep(20);
    }
  }
}

/** Passes over what a node says while its engine is away; everything else is thrown on. */
function allowed(error: unknown): void {
  if (error instanceof RestError && error.status === 503) return;
  if (error instanceof RestError && error.status === 500 && error.message === "backend not initialized\n") return;
  if (error instanceof ConnectError && error.code === Code.Unavailable) return;
  throw error;
}

async function openFiles({ pid }: CompatNode): Promise<number> {
  return (await readdir(`/proc/${pid}/fd`)).length;
}
