import { randomBytes } from "node:crypto";
import { describe, expect, it } from "vitest";
import { ConfigRefused } from "../engine-error.ts";
import { readWireGuardConfig } from "./config.ts";

const key = randomBytes(32).toString("base64");
const read = (config: object) => readWireGuardConfig(JSON.stringify({ private_key: key, ...config }));
const refusalOf = (text: string): string => {
  try {
    readWireGuardConfig(text);
  } catch (error) {
    if (error instanceof ConfigRefused) return error.message;
    throw error;
  }
  throw new Error("it was not refused");
};

describe("a config", () => {
  it.each([
    ["", "it is no JSON"],
    [key, "it is no JSON"],
    [`{"private_key": ${key}}`, "it is no JSON"],
    [`{"private_key": "${key}" x}`, /it is no JSON at position \d+ \(line 1 column \d+\)$/],
    [`{"private_key": "${key}`, "it is no JSON"],
    ["[]", "expected object"],
  ])("that cannot be read is refused: %s", (text, reason) => {
    expect(refusalOf(text)).toMatch(reason);
  });

  it.each([
    (own: string) => own,
    (own: string) => `{"private_key": ${own}}`,
    (own: string) => `{"private_key": "${own}" x}`,
    (own: string) => `{"private_key": "${own.slice(1)}"}`,
    (own: string) => `{"private_key": ["${own}"]}`,
    (own: string) => JSON.stringify({ private_key: key, pre_shared_key: own.slice(1) }),
  ])("that is refused is told without its keys: %#", (config) => {
    const own = randomBytes(32).toString("base64");
    const refusal = refusalOf(config(own));
    for (let at = 1; at + 4 <= own.length; at += 1) expect(refusal).not.toContain(own.slice(at, at + 4));
  });

  it.each([
    [undefined, 5_000],
    [0, 5_000],
    [3, 3_000],
    [1.001, 1_001],
    [0.0001, 1],
  ])("may say how many seconds a probe may take: %s", (timeout_seconds, ms) => {
    expect(read({ latency: { timeout_seconds } }).probeTimeoutMs).toBe(ms);
  });

  it("may not have a probe take longer than timers go", () => {
    expect(() => read({ latency: { timeout_seconds: 5_000_000 } })).toThrow("latency.timeout_seconds");
  });
});
