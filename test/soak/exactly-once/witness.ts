import { connect } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { type Client, createClient } from "@connectrpc/connect";
import { createGrpcTransport, Http2SessionManager } from "@connectrpc/connect-node";
import { StatsService } from "../../../gen/xray/app/stats/command/command_pb.ts";
import { isAlive } from "../../support/child-processes.ts";

/** What a process of Xray has counted of each of its users, both directions together, when it was asked. */
export interface Snapshot {
  /** When it was asked, by {@link performance.now}: what it has counted until then is in it. */
  readonly askedAt: number;
  /** When it had answered: what it has counted later is not in it. */
  readonly answeredAt: number;
  /** By e-mail. */
  readonly bytes: ReadonlyMap<string, number>;
}

/** A life of Xray, from its start to its end. */
export interface Life {
  readonly pid: number;
  /** When it was there, as was found by then. By {@link performance.now}. */
  readonly foundAt: number;
  /** What was seen of it, in order. */
  readonly snapshots: Snapshot[];
  /** Undefined: it lives. By {@link performance.now}. */
  endedAt: number | undefined;
  /** Why it ended; undefined: nobody here has killed it. */
  killedAt: number | undefined;
}

/** Reads the counters of one Xray after another, from their own API and by a client of its own, without a reset. */
export interface Witness {
  readonly lives: readonly Life[];
  /** Reads now; undefined while there is no Xray that answers. */
  read(): Promise<Life | undefined>;
  close(): Promise<void>;
}

const periodMs = 40;

/**
 * Starts reading, again and again.
 *
 * @param socket the path of Xray's API
 * @param pidOf the Xray that a node says it has started, whether it answers yet or not; undefined: none
 */
export function startWitness(socket: string, pidOf: () => Promise<number | undefined>): Witness {
  const lives: Life[] = [];
  let connection: { life: Life; client: Client<typeof StatsService>; close: () => void } | undefined;
  let isClosed = false;

  const lifeOf = (pid: number) => {
    const known = lives.findLast((life) => life.pid === pid && life.endedAt === undefined);
    if (known !== undefined) return known;
    const life: Life = { pid, foundAt: performance.now(), snapshots: [], endedAt: undefined, killedAt: undefined };
    lives.push(life);
    return life;
  };

  const connected = (pid: number) => {
    const life = lifeOf(pid);
    if (connection?.life === life) return connection;
    connection?.close();
    const sessions = new Http2SessionManager("http://xray", {}, { createConnection: () => connect(socket) });
    const transport = createGrpcTransport({ baseUrl: "http://xray", sessionManager: sessions });
    connection = { life, client: createClient(StatsService, transport), close: () => sessions.abort() };
    return connection;
  };

  /** Notes who has come and who has gone. Returns who is there. */
  async function find(): Promise<number | undefined> {
    const pid = await pidOf();
    for (const life of lives)
      if (life.endedAt === undefined && !(await isAlive(life.pid))) life.endedAt = performance.now();
    if (pid === undefined || !(await isAlive(pid))) return undefined;
    lifeOf(pid);
    return pid;
  }

  async function look(): Promise<Life | undefined> {
    const pid = await find();
    if (pid === undefined) return undefined;
    const { life, client } = connected(pid);
    const askedAt = performance.now();
    try {
      const { stat } = await client.queryStats({ pattern: "user>>>" }, { timeoutMs: 5_000 });
      const answeredAt = performance.now();
      // Another one may have begun meanwhile to listen there.
      if ((await pidOf()) !== pid || !(await isAlive(pid))) return undefined;
      const bytes = new Map<string, number>();
      for (const { name, value } of stat) {
        const [, email = ""] = name.split(">>>");
        bytes.set(email, (bytes.get(email) ?? 0) + Number(value));
      }
      life.snapshots.push({ askedAt, answeredAt, bytes });
      return life;
    } catch {
      connection?.close();
      connection = undefined;
      return undefined;
    }
  }

  let looking: Promise<unknown> = Promise.resolve();
  const read = () => {
    const turn = looking.then(look);
    looking = turn.catch(() => undefined);
    return turn;
  };
  const again = async (work: () => Promise<unknown>) => {
    while (!isClosed) {
      await work();
      await sleep(periodMs);
    }
  };
  // A reading of one that dies takes its time, in which another one may come and go.
  const running = Promise.all([again(read), again(find)]);
  return {
    lives,
    read,
    async close() {
      isClosed = true;
      await running;
      connection?.close();
    },
  };
}
