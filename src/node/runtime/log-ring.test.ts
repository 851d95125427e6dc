import { setImmediate, setTimeout } from "node:timers/promises";
import { describe, expect, onTestFinished, test } from "vitest";
import { createLogRing, type LogRing } from "./log-ring.ts";

/** Reads until the ring or the test ends. */
function view(ring: LogRing) {
  const leaving = new AbortController();
  const lines: string[] = [];
  onTestFinished(() => leaving.abort());
  const done = (async () => {
    for await (const line of ring.follow(leaving.signal)) lines.push(line);
  })();
  return { lines, done, leave: () => leaving.abort() };
}

const numbers = (from: number, to: number) => Array.from({ length: to - from }, (_, index) => `line ${from + index}`);
const pushAll = (ring: LogRing, lines: string[]) => {
  for (const line of lines) ring.push(line);
};

describe("a viewer", () => {
  test("sees the recent lines, then every new one", async () => {
    const ring = createLogRing({ maxLines: 3 });
    pushAll(ring, numbers(0, 5));
    const { lines } = view(ring);
    await setImmediate();
    expect(lines).toEqual(numbers(2, 5));
    ring.push("line 5");
    await setImmediate();
    pushAll(ring, numbers(6, 8));
    await setImmediate();
    expect(lines).toEqual(numbers(2, 8));
  });

  test("sees what all others see", async () => {
    const ring = createLogRing();
    ring.push("line 0");
    const viewers = [view(ring), view(ring)];
    await setImmediate();
    ring.push("line 1");
    viewers.push(view(ring));
    await setImmediate();
    ring.push("line 2");
    await setImmediate();
    expect(viewers.map(({ lines }) => lines)).toEqual(Array(3).fill(numbers(0, 3)));
  });

  test("two of them lose none of 5,000 lines a second that come in bursts", async () => {
    const ring = createLogRing({ maxLines: 1_000 });
    const viewers = [view(ring), view(ring)];
    const expected: string[] = [];
    for (let burst = 0; burst < 20; burst++) {
      const lines = numbers(expected.length, expected.length + 250);
      expected.push(...lines);
      pushAll(ring, lines);
      await setTimeout(50);
    }
    expect(expected).toHaveLength(5_000);
    for (const { lines } of viewers) expect(lines).toEqual(expected);
  });

  test("that reads too slowly is told how many lines it has lost, and goes on with those that are there", async () => {
    const ring = createLogRing({ maxLines: 4 });
    const leaving = new AbortController();
    onTestFinished(() => leaving.abort());
    const slow = ring.follow(leaving.signal);
    const quick = view(ring);
    pushAll(ring, numbers(0, 2));
    expect((await slow.next()).value).toBe("line 0");
    for (const line of numbers(2, 12)) {
      ring.push(line);
      await setImmediate();
    }
    const seen = [];
    for (let index = 0; index < 5; index++) seen.push((await slow.next()).value);
    expect(seen).toEqual(["[garrison] 7 lines were lost: this viewer reads too slowly", ...numbers(8, 12)]);
    expect(quick.lines).toEqual(numbers(0, 12));
    pushAll(ring, numbers(12, 17));
    expect((await slow.next()).value).toBe("[garrison] 1 line was lost: this viewer reads too slowly");
    expect((await slow.next()).value).toBe("line 13");
  });

  test("that begins to read late is not told that it was slow", async () => {
    const ring = createLogRing({ maxLines: 2 });
    const late = ring.follow(AbortSignal.timeout(1_000));
    pushAll(ring, numbers(0, 9));
    expect((await late.next()).value).toBe("line 7");
  });

  test("leaves when its signal aborts: waiting, reading, or before it began", async () => {
    const ring = createLogRing();
    const waiting = view(ring);
    await setImmediate();
    waiting.leave();
    await waiting.done;
    pushAll(ring, numbers(0, 3));
    const leaving = new AbortController();
    const reading = ring.follow(leaving.signal);
    await reading.next();
    leaving.abort();
    expect(await reading.next()).toEqual({ done: true, value: undefined });
    expect(await ring.follow(AbortSignal.abort()).next()).toEqual({ done: true, value: undefined });
  });

  test("that stops iterating leaves nothing behind on its signal", async () => {
    const ring = createLogRing();
    const { signal } = new AbortController();
    let listeners = 0;
    const add = signal.addEventListener.bind(signal);
    const remove = signal.removeEventListener.bind(signal);
    signal.addEventListener = (...args: Parameters<typeof add>) => {
      listeners++;
      add(...args);
    };
    signal.removeEventListener = (...args: Parameters<typeof remove>) => {
      listeners--;
      remove(...args);
    };
    const reading = ring.follow(signal);
    for (const line of numbers(0, 50)) {
      const next = reading.next();
      await setImmediate();
      ring.push(line);
      await next;
    }
    await reading.return?.();
    expect(listeners).toBe(0);
  });
});

describe("the end", () => {
  test("comes to every viewer after what is left for it", async () => {
    const ring = createLogRing();
    ring.push("line 0");
    const waiting = view(ring);
    await setImmediate();
    const behind = ring.follow(new AbortController().signal);
    pushAll(ring, numbers(1, 3));
    ring.end();
    ring.push("of the next run");
    await waiting.done;
    expect(waiting.lines).toEqual(numbers(0, 3));
    const seen = [];
    for await (const line of behind) seen.push(line);
    expect(seen).toEqual(numbers(0, 3));
  });

  test("does not concern those who come later, who see the lines from before as well", async () => {
    const ring = createLogRing();
    ring.push("line 0");
    ring.end();
    const { lines } = view(ring);
    ring.push("line 1");
    await setImmediate();
    expect(lines).toEqual(numbers(0, 2));
  });

  test("comes to a slow viewer although its last lines are gone", async () => {
    const ring = createLogRing({ maxLines: 2 });
    const slow = ring.follow(new AbortController().signal);
    pushAll(ring, numbers(0, 2));
    await slow.next();
    pushAll(ring, numbers(2, 4));
    ring.end();
    pushAll(ring, numbers(4, 9));
    expect((await slow.next()).value).toBe("[garrison] 3 lines were lost: this viewer reads too slowly");
    expect((await slow.next()).done).toBe(true);
  });
});

describe("the ring", () => {
  test("keeps no more bytes than it may, counted as UTF-8, and always the last line", async () => {
    const kept = async (ring: LogRing) => {
      const { lines } = view(ring);
      await setImmediate();
      return lines;
    };
    const ring = createLogRing({ maxLines: 100, maxBytes: 10 });
    pushAll(ring, ["aaaa", "bbbb", "€€"]);
    expect(await kept(ring)).toEqual(["bbbb", "€€"]);
    ring.push("x".repeat(50));
    expect(await kept(ring)).toEqual(["x".repeat(50)]);
    ring.push("y");
    expect(await kept(ring)).toEqual(["y"]);
  });
});
