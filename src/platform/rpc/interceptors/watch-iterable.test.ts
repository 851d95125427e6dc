import { Code } from "@connectrpc/connect";
import { describe, expect, test, vi } from "vitest";
import { watchIterable } from "./watch-iterable.ts";

async function* counting(upTo: number, failure?: Error) {
  for (let n = 1; n <= upTo; n += 1) yield n;
  if (failure !== undefined) throw failure;
}

const open = new AbortController().signal;

async function collect<T>(source: AsyncIterable<T>): Promise<T[]> {
  return Array.fromAsync(source);
}

describe("a watched iterable", () => {
  test("passes everything on and tells its end once", async () => {
    const end = vi.fn();
    expect(await collect(watchIterable(counting(3), open, end))).toEqual([1, 2, 3]);
    expect(end).toHaveBeenCalledExactlyOnceWith(undefined);
  });

  test("tells a failure once, and throws what the watcher made of it", async () => {
    const failure = new Error("secret");
    const end = vi.fn((_cause?: unknown) => new Error("public"));
    await expect(collect(watchIterable(counting(1, failure), open, end))).rejects.toThrow("public");
    expect(end).toHaveBeenCalledExactlyOnceWith(failure);
  });

  test("throws the failure itself when the watcher makes nothing of it", async () => {
    await expect(collect(watchIterable(counting(1, new Error("as it is")), open, () => undefined))).rejects.toThrow(
      "as it is",
    );
  });

  test("tells when the caller has left, though nobody reads on", async () => {
    const end = vi.fn();
    const call = new AbortController();
    const iterator = watchIterable(counting(10), call.signal, end)[Symbol.asyncIterator]();
    await iterator.next();
    call.abort();
    expect(end).toHaveBeenCalledExactlyOnceWith(expect.objectContaining({ code: Code.Canceled }));
    await iterator.return?.();
    expect(end).toHaveBeenCalledOnce();
  });

  test("tells once when it is given up early, and lets the source clean up", async () => {
    const end = vi.fn();
    const cleaned = vi.fn();
    async function* source() {
      try {
        yield* counting(10);
      } finally {
        cleaned();
      }
    }
    for await (const n of watchIterable(source(), open, end)) if (n === 2) break;
    expect(end).toHaveBeenCalledExactlyOnceWith(undefined);
    expect(cleaned).toHaveBeenCalledOnce();
  });
});
