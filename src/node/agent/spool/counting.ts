import type { Database } from "../../../platform/storage/database.ts";
import type { TrafficCounter, TrafficReading } from "../../engines/engine.ts";
import { addInbound, addOutbound, addUsage, type Bytes, type UsageBytes } from "./buckets.ts";
import { addGap, endLife, setLife } from "./gaps.ts";
import { type Baselines, counterKey, type Growth, growthSince } from "./growth.ts";
import type { SpoolSchema } from "./schema.ts";
import type { Counted, CounterGap, Counting, Spool } from "./spool.ts";

/** The part of a spool that counts. */
export type CountingPart = Pick<Spool, "count" | "noteGap">;

/** Makes it of the baselines that are kept. */
export async function createCounting(database: Database<SpoolSchema>): Promise<CountingPart> {
  const baselines = await readBaselines(database);
  const statements = prepareStatements(database);

  async function count(reading: TrafficReading, counting: Counting): Promise<Counted> {
    const { engine, minute, attribute, protocolOf, readAt, isLast = false } = counting;
    const known = baselines.get(engine) ?? new EngineBaselines(undefined);
    const isNew = known.incarnation !== reading.incarnation;
    const grown = growthSince(known, reading);
    const usage = grown.flatMap((growth) => usageRow(growth, minute, attribute));
    const bySubscription = new Map<number, bigint>();
    for (const { subscription_id, bytes_up, bytes_down } of usage) {
      if (subscription_id === 0) continue;
      bySubscription.set(subscription_id, (bySubscription.get(subscription_id) ?? 0n) + bytes_up + bytes_down);
    }
    const grownUsers = ofKind(grown, "user").map(({ name }) => name);
    const { incarnation } = reading;
    const gap = isNew && !known.isEnded ? known.gapOf(engine) : undefined;
    // What was on its way when it ended brings nothing back to life.
    const isEnded = isLast || (!isNew && known.isEnded);
    if (!isNew && grown.length === 0 && known.isEnded === isEnded) {
      known.readAt = readAt;
      return { bySubscription, grownUsers, gap };
    }
    await database.transaction(async (tx) => {
      if (isNew) await statements.forget.run({ engine }, tx);
      if (gap !== undefined) await addGap(tx, gap);
      await setLife(tx, { engine, incarnation, read_at: readAt, ended: isEnded ? 1 : 0 });
      await statements.baseline.runMany(
        grown.map(({ kind, name, link, baseline }) => ({
          ...{ engine, incarnation, kind, name, link },
          ...{ bytes_up: baseline.uplinkBytes, bytes_down: baseline.downlinkBytes },
        })),
        tx,
      );
      await statements.usage.runMany(usage, tx);
      await statements.inbound.runMany(
        ofKind(grown, "inbound").flatMap(({ name, upBytes, downBytes }) => {
          const node_protocol_id = protocolOf(name);
          return node_protocol_id === undefined ? [] : [{ node_protocol_id, bytes_up: upBytes, bytes_down: downBytes }];
        }),
        tx,
      );
      await statements.outbound.runMany(
        ofKind(grown, "outbound").map(({ name, upBytes, downBytes }) => {
          return { tag: name, bytes_up: upBytes, bytes_down: downBytes };
        }),
        tx,
      );
    });
    const after = isNew ? new EngineBaselines(incarnation) : known;
    for (const { baseline } of grown) after.set(baseline);
    after.readAt = readAt;
    after.isEnded = isEnded;
    baselines.set(engine, after);
    return { bySubscription, grownUsers, gap };
  }

  return {
    count,
    async noteGap({ engine, incarnation, readAt }, isCertain = false) {
      const known = baselines.get(engine);
      const isKnown = known?.incarnation === incarnation;
      if (isKnown && known.isEnded && !isCertain) return undefined;
      const countedAt = isKnown ? known.readAt : undefined;
      // A last reading is counted when it comes, and was taken before.
      const lastReadAt = known?.isEnded ? (readAt ?? countedAt) : (countedAt ?? readAt);
      const gap = { engine, incarnation, readAt: lastReadAt };
      await database.transaction(async (tx) => {
        await addGap(tx, gap);
        if (isKnown) await endLife(tx, gap);
      });
      if (isKnown) known.isEnded = true;
      return gap;
    },
  };
}

class EngineBaselines implements Baselines {
  readonly incarnation: string | undefined;
  /** When it was read last. */
  readAt: number | undefined;
  /** Its end is accounted for. */
  isEnded = false;
  readonly #counters = new Map<string, { readonly uplinkBytes: bigint; readonly downlinkBytes: bigint }>();

  constructor(incarnation: string | undefined) {
    this.incarnation = incarnation;
  }

  /** That it has ended unasked. */
  gapOf(engine: string): CounterGap | undefined {
    return this.incarnation === undefined ? undefined : { engine, incarnation: this.incarnation, readAt: this.readAt };
  }

  get(key: string) {
    return this.#counters.get(key);
  }

  set(counter: TrafficCounter): void {
    const { uplinkBytes, downlinkBytes } = counter;
    this.#counters.set(counterKey(counter), { uplinkBytes, downlinkBytes });
  }
}

async function readBaselines({ db }: Database<SpoolSchema>): Promise<Map<string, EngineBaselines>> {
  const baselines = new Map<string, EngineBaselines>();
  for (const row of await db.selectFrom("baseline").selectAll().execute()) {
    const { engine, incarnation, name, link, bytes_up, bytes_down } = row;
    const of = baselines.get(engine) ?? new EngineBaselines(incarnation);
    baselines.set(engine, of);
    const kind = row.kind as TrafficCounter["kind"]; // what was written there
    of.set({ kind, name, link, uplinkBytes: bytes_up, downlinkBytes: bytes_down });
  }
  for (const { engine, incarnation, read_at, ended } of await db.selectFrom("life").selectAll().execute()) {
    const of = baselines.get(engine) ?? new EngineBaselines(incarnation);
    baselines.set(engine, of);
    of.readAt = read_at;
    of.isEnded = ended === 1;
  }
  return baselines;
}

/** Engine users are named `<nodeProtocolId>.<link UUID>`. Those that are not belong to nobody. */
const userName = /^(\d{1,15})\.([0-9a-f-]{36})$/;

function usageRow({ kind, name, upBytes, downBytes }: Growth, minute: number, attribute: Counting["attribute"]) {
  const [, protocol, link_uuid = ""] = (kind === "user" && userName.exec(name)) || [];
  if (protocol === undefined || (upBytes === 0n && downBytes === 0n)) return [];
  const to = attribute(link_uuid);
  return [
    {
      ...{ minute, node_protocol_id: Number(protocol), link_uuid },
      ...{ user_id: to?.userId ?? 0, subscription_id: to?.subscriptionId ?? 0 },
      ...{ bytes_up: upBytes, bytes_down: downBytes },
    },
  ];
}

function ofKind(grown: readonly Growth[], wanted: Growth["kind"]): Growth[] {
  return grown.filter(({ kind, upBytes, downBytes }) => kind === wanted && (upBytes > 0n || downBytes > 0n));
}

function prepareStatements({ prepare }: Database<SpoolSchema>) {
  return {
    forget: prepare((db, { engine }: { engine: string }) => db.deleteFrom("baseline").where("engine", "=", engine)),
    baseline: prepare(
      (db, row: Bytes & { engine: string; incarnation: string; kind: string; name: string; link: string }) => {
        const { engine, incarnation, kind, name, link, bytes_up, bytes_down } = row;
        return db
          .insertInto("baseline")
          .values({ engine, incarnation, kind, name, link, bytes_up, bytes_down })
          .onConflict((conflict) =>
            conflict.columns(["engine", "kind", "name", "link"]).doUpdateSet((eb) => ({
              bytes_up: eb.ref("excluded.bytes_up"),
              bytes_down: eb.ref("excluded.bytes_down"),
            })),
          );
      },
    ),
    usage: prepare((db, row: UsageBytes) => addUsage(db, row, 0)),
    inbound: prepare(addInbound),
    outbound: prepare(addOutbound),
  };
}
