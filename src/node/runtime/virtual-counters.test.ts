import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { TrafficCounter, TrafficKind, TrafficReading } from "../engines/engine.ts";
import { createVirtualCounters, type TakenTraffic, type VirtualCounters } from "./virtual-counters.ts";

function counter(name: string, up: number, down = 0, kind: TrafficKind = "user", link = "traffic"): TrafficCounter {
  return { kind, name, link, uplinkBytes: BigInt(up), downlinkBytes: BigInt(down) };
}

function reading(incarnation: string, ...counters: TrafficCounter[]): TrafficReading {
  return { incarnation, counters };
}

/** A reset whose reply arrives. */
function reset(counters: VirtualCounters, kind: TrafficKind, name?: string): TrafficCounter[] {
  const taken = counters.take(kind, name);
  taken.confirm();
  return taken.counters;
}

describe("createVirtualCounters", () => {
  it("shows what the engine shows, as long as nobody resets", () => {
    const counters = createVirtualCounters();
    counters.observe(reading("a", counter("1", 5, 7)));
    counters.observe(reading("a", counter("1", 6, 9)));
    expect(counters.read("user")).toEqual([counter("1", 6, 9)]);
    expect(counters.read("user")).toEqual([counter("1", 6, 9)]);
  });

  it("starts again from zero after a reset, and still shows the counter", () => {
    const counters = createVirtualCounters();
    counters.observe(reading("a", counter("1", 5, 7)));
    expect(reset(counters, "user")).toEqual([counter("1", 5, 7)]);
    expect(reset(counters, "user")).toEqual([counter("1", 0, 0)]);
    counters.observe(reading("a", counter("1", 8, 7)));
    expect(counters.read("user")).toEqual([counter("1", 3, 0)]);
  });

  it("resets one name of one kind only", () => {
    const counters = createVirtualCounters();
    counters.observe(reading("a", counter("1", 1), counter("2", 2), counter("1", 3, 0, "outbound")));
    expect(reset(counters, "user", "1")).toEqual([counter("1", 1)]);
    expect(counters.read("user")).toEqual([counter("1", 0), counter("2", 2)]);
    expect(counters.read("outbound")).toEqual([counter("1", 3, 0, "outbound")]);
    expect(counters.read("inbound")).toEqual([]);
    expect(counters.read("user", "3")).toEqual([]);
  });

  it("adds up incarnations, even when the new one counts past the old one", () => {
    const counters = createVirtualCounters();
    counters.observe(reading("a", counter("1", 10)));
    counters.observe(reading("b", counter("1", 30)));
    expect(counters.read("user")).toEqual([counter("1", 40)]);
  });

  it("ignores what arrives of an incarnation after its last reading", () => {
    const counters = createVirtualCounters();
    counters.observe(reading("a", counter("1", 4)));
    counters.observeLast(reading("a", counter("1", 10)));
    counters.observe(reading("a", counter("1", 7)));
    counters.observe(reading("b", counter("1", 1)));
    counters.observeLast(reading("a", counter("1", 9)));
    counters.observe(reading("b", counter("1", 2)));
    expect(counters.read("user")).toEqual([counter("1", 12)]);
  });

  it("counts what a counter shows after somebody else reset it", () => {
    const counters = createVirtualCounters();
    counters.observe(reading("a", counter("1", 10)));
    counters.observe(reading("a", counter("1", 3)));
    expect(counters.read("user")).toEqual([counter("1", 13)]);
  });

  it("keeps what a vanished counter had, until it is read", () => {
    const counters = createVirtualCounters();
    counters.observeLast(reading("a", counter("1", 10), counter("2", 0)));
    expect(counters.hasUnread("user", "1")).toBe(true);
    expect(counters.hasUnread("user", "2")).toBe(false);
    counters.observe(reading("b"));
    expect(reset(counters, "user")).toEqual([counter("1", 10)]);
    expect(counters.hasUnread("user", "1")).toBe(false);
    expect(counters.read("user")).toEqual([]);
  });

  it("keeps links of one name apart", () => {
    const counters = createVirtualCounters();
    counters.observe(reading("a", counter("1", 1, 0, "user", "k1"), counter("1", 2, 0, "user", "k2")));
    expect(reset(counters, "user", "1")).toEqual([counter("1", 1, 0, "user", "k1"), counter("1", 2, 0, "user", "k2")]);
    counters.observe(reading("b", counter("1", 4, 0, "user", "k2")));
    expect(counters.read("user", "1")).toEqual([counter("1", 4, 0, "user", "k2")]);
  });

  it("counts beyond what a double holds", () => {
    const counters = createVirtualCounters();
    const huge = { ...counter("1", 0), uplinkBytes: 2n ** 53n + 1n };
    counters.observe(reading("a", huge));
    counters.observe(reading("b", counter("1", 1)));
    expect(counters.read("user")[0]?.uplinkBytes).toBe(2n ** 53n + 2n);
  });

  it("shows bytes on their way to nobody else, and has them again when they are given back", () => {
    const counters = createVirtualCounters();
    counters.observe(reading("a", counter("1", 5, 7)));
    const lost = counters.take("user");
    counters.observe(reading("a", counter("1", 6, 7)));
    expect(counters.read("user")).toEqual([counter("1", 1, 0)]);
    const arrived = counters.take("user", "1");
    expect(arrived.counters).toEqual([counter("1", 1, 0)]);
    lost.giveBack();
    arrived.confirm();
    expect(counters.read("user")).toEqual([counter("1", 5, 7)]);
  });

  it("goes by the first end that taken bytes come to", () => {
    const counters = createVirtualCounters();
    counters.observe(reading("a", counter("1", 5)));
    const taken = counters.take("user");
    taken.giveBack();
    taken.giveBack();
    taken.confirm();
    expect(counters.read("user")).toEqual([counter("1", 5)]);
  });

  it("knows a vanished counter while its bytes are on their way, and shows it again only with bytes", () => {
    const counters = createVirtualCounters();
    counters.observeLast(reading("a", counter("1", 10)));
    const lost = counters.take("user");
    expect(counters.read("user")).toEqual([]);
    expect(counters.hasUnread("user", "1")).toBe(true);
    lost.giveBack();
    expect(counters.read("user")).toEqual([counter("1", 10)]);
    const arrived = counters.take("user");
    arrived.confirm();
    expect(counters.hasUnread("user", "1")).toBe(false);
  });

  it("reports every byte once, whatever the order of traffic, readings, restarts, resets and what becomes of them", () => {
    const step = fc.oneof(
      fc.record({ do: fc.constant("carry" as const), name: fc.constantFrom("1", "2"), bytes: fc.nat(1_000) }),
      fc.constant({ do: "observe" as const }),
      fc.constant({ do: "restart" as const }),
      fc.record({ do: fc.constant("take" as const), name: fc.constantFrom("1", "2", undefined) }),
      fc.record({ do: fc.constant("settle" as const), which: fc.nat(9), arrives: fc.boolean() }),
    );
    fc.assert(
      fc.property(fc.array(step, { maxLength: 80 }), (steps) => {
        const counters = createVirtualCounters();
        const engine = { life: 0, bytes: new Map<string, number>() };
        const onTheirWay: TakenTraffic[] = [];
        const total = { carried: 0n, observed: 0n, delivered: 0n };
        const engineReading = () =>
          reading(String(engine.life), ...[...engine.bytes].map(([name, bytes]) => counter(name, bytes)));
        const settle = (taken: TakenTraffic, arrives: boolean) => {
          if (arrives) total.delivered += bytesOf(taken.counters);
          if (arrives) taken.confirm();
          else taken.giveBack();
        };
        const restart = () => {
          counters.observeLast(engineReading());
          total.observed = total.carried;
          engine.life += 1;
          engine.bytes.clear();
        };
        for (const move of steps) {
          if (move.do === "carry") {
            engine.bytes.set(move.name, (engine.bytes.get(move.name) ?? 0) + move.bytes);
            total.carried += BigInt(move.bytes);
          } else if (move.do === "observe") {
            counters.observe(engineReading());
            total.observed = total.carried;
          } else if (move.do === "restart") restart();
          else if (move.do === "take") onTheirWay.push(counters.take("user", move.name));
          else for (const taken of onTheirWay.splice(move.which, 1)) settle(taken, move.arrives);

          const held = onTheirWay.reduce((sum, taken) => sum + bytesOf(taken.counters), 0n);
          expect(total.delivered + held + bytesOf(counters.read("user"))).toBe(total.observed);
        }
        restart();
        for (const taken of onTheirWay) settle(taken, false);
        settle(counters.take("user"), true);
        expect(total.delivered).toBe(total.carried);
        expect(["1", "2"].filter((name) => counters.hasUnread("user", name))).toEqual([]);
      }),
    );
  });
});

function bytesOf(counters: readonly TrafficCounter[]): bigint {
  return counters.reduce((sum, { uplinkBytes, downlinkBytes }) => sum + uplinkBytes + downlinkBytes, 0n);
}
