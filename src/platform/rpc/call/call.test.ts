import { Code, ConnectError, createContextValues } from "@connectrpc/connect";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { Health } from "../../../../gen/grpc/health/v1/health_pb.ts";
import { Call, type CallInit } from "./call.ts";
import { createRunningCalls } from "./running-calls.ts";

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

function open(init: Partial<CallInit> = {}): Call {
  return new Call({
    method: Health.method.check,
    protocolName: "grpc",
    requestMethod: "POST",
    url: () => "http://localhost/",
    requestFields: {},
    responseFields: {},
    trailerFields: {},
    values: createContextValues(),
    running: createRunningCalls(new AbortController().signal),
    ...init,
  });
}

describe("a call", () => {
  test("that has a deadline aborts at it, and knows what is left", () => {
    const call = open({ timeoutMs: 1_000 });
    expect(call.timeoutMs()).toBe(1_000);
    vi.advanceTimersByTime(999);
    expect(call.signal.aborted).toBe(false);
    expect(call.timeoutMs()).toBe(1);
    vi.advanceTimersByTime(1);
    expect(call.signal.reason).toEqual(new ConnectError("the operation timed out", Code.DeadlineExceeded));
  });

  test("without deadline has all time", () => {
    const call = open();
    expect(call.timeoutMs()).toBeUndefined();
    vi.advanceTimersByTime(10 ** 9);
    expect(call.signal.aborted).toBe(false);
  });

  test("whose deadline is further off than a timer can be set does not abort at once", () => {
    const call = open({ timeoutMs: 99_999_999 * 3_600_000 });
    vi.advanceTimersByTime(60_000);
    expect(call.signal.aborted).toBe(false);
    call.end();
    expect(vi.getTimerCount()).toBe(0);
  });

  test("whose deadline is over begins aborted", () => {
    expect(open({ timeoutMs: 0 }).signal.reason).toMatchObject({ code: Code.DeadlineExceeded });
  });

  test("that has ended is aborted, whether its signal was asked for before or after, and leaves no timer", () => {
    const [before, after] = [open({ timeoutMs: 1_000 }), open({ timeoutMs: 1_000 })];
    const { signal } = before;
    before.end();
    after.end();
    expect(signal.aborted).toBe(true);
    expect(after.signal.aborted).toBe(true);
    expect(after.signal).toBe(after.signal);
    expect(vi.getTimerCount()).toBe(0);
  });

  test("keeps the first reason for which it was given up", () => {
    const call = open();
    call.abort("first");
    call.abort("second");
    call.end();
    expect(call.signal.reason).toBe("first");
  });
});

describe("running calls", () => {
  test("are aborted together when the server goes down, but not those that have ended", () => {
    const shutdown = new AbortController();
    const running = createRunningCalls(shutdown.signal);
    const [first, ended, last] = [open({ running }), open({ running }), open({ running })];
    const reason = new Error("down");
    ended.end();
    ended.end();
    first.signal.addEventListener("abort", () => last.end());
    shutdown.abort(reason);
    expect(first.signal.reason).toBe(reason);
    expect(ended.signal.reason).not.toBe(reason);
    expect(last.isOver).toBe(true);
  });

  test("are aborted at once when the server is going down already", () => {
    const running = createRunningCalls(AbortSignal.abort("down"));
    const call = open({ running });
    expect(call.signal.reason).toBe("down");
    call.end();
  });
});
