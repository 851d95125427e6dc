import { setTimeout as sleep } from "node:timers/promises";
import { SubscriptionService } from "../../../gen/garrison/core/v1/subscriptions_pb.ts";
import type { CallFault } from "../../support/fault-proxy.ts";
import { createRandom, type Random } from "../../support/random.ts";
import { createSharedOrAlone } from "../shared-or-alone.ts";
import type { SoakReport } from "../soak.ts";
import { endingMs, expectedBytes } from "./account.ts";
import { readBooks } from "./books.ts";
import { endIfThere, type FleetOptions, startFleet, untilSo } from "./fleet.ts";
import { startTraffic } from "./traffic.ts";
import { type Credential, createUsers, userChanges } from "./users.ts";
import { type Life, startWitness } from "./witness.ts";

/** What a fleet is put through. */
export interface ExactlyOnceOptions extends FleetOptions {
  readonly seed: number;
  readonly seconds: number;
}

const carriers = 4;
const least = ["node SIGKILL", "node SIGTERM", "Core SIGKILL", "Xray SIGKILL"];
const turnMs = 1_500;
const turnUsers = 4;

/**
 * Lets users carry bytes through a node, while the node, Core and Xray are killed, ended and started again, the network
 * between them loses, cuts, delays and doubles what they say, and an operator changes the users; then heals everything,
 * and compares what Core has booked with what Xray had counted, to the byte.
 */
export async function soakExactlyOnce(options: ExactlyOnceOptions): Promise<SoakReport> {
  const { seed, seconds, resume } = options;
  const random = createRandom(seed);
  const done: Record<string, number> = {};
  const wrong: string[] = [];
  const note = (what: string) => {
    done[what] = (done[what] ?? 0) + 1;
  };
  const fleet = await startFleet(options);
  const traffic = await startTraffic();
  const witness = startWitness(fleet.xraySocket, async () => (await fleet.xray())?.pid);
  const users = createUsers(fleet, random.fork());
  // Some ends shall find everything quiet, so that nothing at all may be lost.
  const quiet = createSharedOrAlone();
  try {
    for (let index = 0; index < 40; index += 1) await users.change("add");
    await untilSo(
      "the first user is let in",
      async () => {
        const [first] = users.live;
        if (first === undefined) return undefined;
        await traffic.carry({ ...wayOf(first), subscriptionId: first.subscriptionId }, { up: 100, down: 100 });
        return traffic.transfers.at(-1)?.isWhole || undefined;
      },
      60_000,
    );
    const until = performance.now() + seconds * 1_000;
    // A machine that is busy takes longer to do everything a few times.
    const isThin = () => least.some((what) => (done[what] ?? 0) < 3);
    const goesOn = () => performance.now() < (isThin() ? until + 2_000 * seconds : until);
    await Promise.all([
      ...Array.from({ length: carriers }, () => carry(random.fork(), goesOn)),
      killNode(random.fork(), goesOn),
      killCore(random.fork(), goesOn),
      killXray(random.fork(), goesOn),
      spoilNetwork(random.fork(), goesOn),
      changeUsers(random.fork(), goesOn),
    ]);
    fleet.network.chooseFault(() => undefined);
    fleet.network.heal();
    await Promise.all([fleet.core.start(), fleet.node.start()]);
    await compare();
  } catch (error) {
    wrong.push(`it broke off: ${error instanceof Error ? error.stack : error}`);
  } finally {
    await witness.close();
    await traffic.close();
    if (wrong.length > 0) console.error(fleet.log().split("\n").slice(-400).join("\n"));
    await fleet.close();
  }
  for (const [what, count] of Object.entries(fleet.network.counts)) done[`network: ${what}`] = count;
  return { done, wrong };

  function wayOf({ uuid }: { readonly uuid: string }) {
    return { port: fleet.port, id: uuid };
  }

  async function carry(random: Random, goesOn: () => boolean): Promise<void> {
    while (goesOn()) {
      const user = random.of(turnOf(users.live));
      const most = random.of([2_000, 20_000, 100_000]) ?? 0;
      const bytes = { up: 12 + random.below(most), down: 1 + random.below(most) };
      if (user !== undefined)
        await quiet.shared(() => traffic.carry({ ...wayOf(user), subscriptionId: user.subscriptionId }, bytes));
      await sleep(random.below(40));
    }
  }

  /** A few users at a time carry all: what an engine takes along is theirs, and of the others not a byte may lack. */
  function turnOf(live: readonly Credential[]): readonly Credential[] {
    const first = Math.floor(performance.now() / turnMs) * turnUsers;
    return Array.from({ length: turnUsers }, (_, index) => live[(first + index) % live.length]).filter(
      (each) => each !== undefined,
    );
  }

  async function killNode(random: Random, goesOn: () => boolean): Promise<void> {
    for (let turn = 0; goesOn(); turn += 1) {
      await sleep(300 + random.below(3_000));
      const signal = turn % 3 === 0 ? "SIGTERM" : "SIGKILL";
      const end = async () => {
        await settled();
        const life = witness.lives.at(-1);
        if (!resume && signal === "SIGKILL" && life !== undefined && life.endedAt === undefined)
          life.killedAt = performance.now();
        await fleet.node.end(signal);
      };
      await (random.below(2) === 0 ? quiet.alone(end) : end());
      note(`node ${signal}`);
      await sleep(random.below(400));
      // Some are killed again before they are ready.
      const started = fleet.node.start();
      if (random.below(4) > 0) await started;
    }
  }

  async function killCore(random: Random, goesOn: () => boolean): Promise<void> {
    for (let turn = 1; goesOn(); turn += 1) {
      await sleep(300 + random.below(4_000));
      const signal = turn % 3 === 0 ? "SIGTERM" : "SIGKILL";
      await fleet.core.end(signal);
      note(`Core ${signal}`);
      await sleep(random.below(800));
      await fleet.core.start();
    }
  }

  async function killXray(random: Random, goesOn: () => boolean): Promise<void> {
    while (goesOn()) {
      await sleep(2_000 + random.below(10_000));
      const { pid, isRunning = false } = (await fleet.xray()) ?? {};
      // What it carries while nobody reads it is lost with it.
      if (pid === undefined || !isRunning || (!fleet.node.isReady && random.below(4) > 0)) continue;
      const life = witness.lives.findLast((each) => each.pid === pid);
      if (life !== undefined) life.killedAt = performance.now();
      if (endIfThere(pid)) note("Xray SIGKILL");
    }
  }

  async function spoilNetwork(random: Random, goesOn: () => boolean): Promise<void> {
    const { network } = fleet;
    let percent = 0;
    network.chooseFault(() => (random.below(100) < percent ? faultOf(random) : undefined));
    while (goesOn()) {
      await sleep(random.below(600));
      const what = random.below(10);
      if (what < 2) {
        network.part(what === 0 ? "broken" : "silent");
        await sleep(random.below(1_500));
        network.heal();
      } else if (what < 6) {
        network.cutConnections(random.below(2) === 0 ? "up" : "down", random.below(1_500));
        note("connections cut");
      } else {
        percent = random.of([0, 20, 50, 80]) ?? 0;
        note("weather");
      }
    }
  }

  async function changeUsers(random: Random, goesOn: () => boolean): Promise<void> {
    while (goesOn()) {
      await sleep(random.below(700));
      if (!fleet.core.isReady) continue;
      const what = random.of(userChanges) ?? "add";
      const change = () =>
        users.change(what).then(
          () => note(what),
          () => note("changes that Core did not answer"),
        );
      if (what !== "config that needs a restart") await change();
      else if (random.below(3) === 0) await quiet.alone(() => change().then(() => sleep(1_500)));
      else if (random.below(2) === 0) await change();
    }
  }

  /** Waits until what was sent is counted: nobody sends any more, if they do not. */
  async function settled(): Promise<Life | undefined> {
    for (let tried = 0; tried < 5; tried += 1) {
      const [before, life] = [witness.lives.at(-1)?.snapshots.at(-1), await witness.read()];
      const after = life?.snapshots.at(-1);
      if (life === undefined || before === undefined || after === undefined) return undefined;
      if (sumOf(before.bytes) === sumOf(after.bytes)) return life;
    }
    return undefined;
  }

  async function compare(): Promise<void> {
    await users.refresh();
    await untilSo("Xray answers", () => witness.read(), 30_000);
    const began = performance.now();
    const problems = async () => {
      await witness.read();
      return differences(await readBooks(fleet.database, fleet.operate(SubscriptionService)));
    };
    let found = await problems();
    while (found.wrong.length > 0 && performance.now() - began < 60_000) {
      await sleep(250);
      found = await problems();
    }
    done["ms until all was booked"] = Math.round(performance.now() - began);
    Object.assign(done, found.done);
    wrong.push(...found.wrong);
  }

  function differences(books: Awaited<ReturnType<typeof readBooks>>): SoakReport {
    const wrong = [...books.wrong];
    const toldAt = (at: number) => at - performance.timeOrigin;
    const gaps = books.gaps.map(({ pid, readAt }) => ({
      pid,
      readAt: readAt === undefined ? undefined : toldAt(readAt),
    }));
    const subscriptionOf = (email: string) => users.subscriptionOf.get(email.slice(email.indexOf(".") + 1));
    const { lives } = witness;
    const expected = expectedBytes({ lives, gaps, transfers: traffic.transfers, subscriptionOf });
    const done = {
      ...numbersOf(lives),
      gaps: gaps.length,
      subscriptions: expected.size,
      exact: 0,
      bytes: 0,
      "bytes that may be lost": 0,
    };
    for (const [id, { least, most, made }] of expected) {
      const booked = (books.booked.get(id) ?? 0) + (users.deleted.has(id) ? (books.aside.get(id) ?? 0) : 0);
      done.bytes += booked;
      done["bytes that may be lost"] += most - least;
      if (least === most) done.exact += 1;
      if (booked < least || booked > most)
        wrong.push(
          `subscription ${id}: ${booked} bytes are booked, and not from ${least} to ${most}: ${made.join("; ")}`,
        );
    }
    for (const [id, bytes] of books.booked)
      if (!expected.has(id) && bytes > 0)
        wrong.push(`subscription ${id}: ${bytes} bytes are booked that nobody has seen`);
    for (const id of books.aside.keys())
      if (!users.deleted.has(id)) wrong.push(`bytes of subscription ${id} are set aside`);
    const ends = fleet.xrayEnds().map(toldAt);
    for (const life of lives) {
      const gap = gaps.some((each) => each.pid === life.pid);
      const { pid, killedAt } = life;
      const [first, last] = [life.snapshots[0], life.snapshots.at(-1)];
      if (gap && killedAt === undefined) wrong.push(`a gap of Xray ${pid} was told, which was not killed`);
      if (gap || killedAt === undefined || first === undefined || last === undefined) continue;
      // In the moment in which it was ended anyway: then there is a last reading.
      if (ends.some((at) => at <= killedAt && at > killedAt - endingMs)) continue;
      if (sumOf(last.bytes) > 0 && last.askedAt - first.askedAt > 2_000)
        wrong.push(`no gap was told of Xray ${pid}, which was killed`);
    }
    return { done, wrong };
  }
}

function numbersOf(lives: readonly Life[]) {
  return {
    "lives of Xray": lives.length,
    "Xray killed": lives.filter(({ killedAt }) => killedAt !== undefined).length,
  };
}

function sumOf(bytes: ReadonlyMap<string, number>): number {
  let sum = 0;
  for (const each of bytes.values()) sum += each;
  return sum;
}

function faultOf(random: Random): CallFault {
  const ms = random.below(random.of([50, 400, 1_500]) ?? 50);
  const bytes = random.below(random.of([8, 200, 4_000]) ?? 8);
  return (
    random.of<CallFault>([
      { kind: "request lost" },
      { kind: "request cut", bytes },
      { kind: "request late", ms },
      { kind: "reply lost" },
      { kind: "reply lost" },
      { kind: "reply cut", bytes },
      { kind: "reply late", ms },
      { kind: "doubled" },
      { kind: "copy later", ms },
    ]) ?? { kind: "reply lost" }
  );
}
