import { Writable } from "node:stream";
import { expect, it } from "vitest";
import { createLog, type LogLevel } from "../../platform/telemetry/log.ts";
import { logOutcome } from "./log-outcome.ts";

function linesAt(level: LogLevel): Record<string, unknown>[] {
  const lines: Record<string, unknown>[] = [];
  const sink = new Writable({
    write(chunk, _encoding, done) {
      lines.push(JSON.parse(String(chunk)));
      done();
    },
  });
  const on = (email: string, inbound: string, reason: string) => ({ email, inbound, reason });
  logOutcome(createLog("test", level, sink), {
    skipped: [on("anna", "a", "no id"), on("anna", "b", "no id"), on("bert", "a", "no password")],
    rejected: [on("carl", "a", "User carl already exists.")],
  });
  return lines;
}

it("says at info how many users and why, and names nobody", () => {
  const lines = linesAt("info");
  expect(lines).toMatchObject([
    { level: "info", users: 2, reasons: { "no id": 2, "no password": 1 } },
    { level: "warn", users: 1, inbounds: { a: 1 } },
  ]);
  expect(JSON.stringify(lines)).not.toMatch(/anna|bert|carl/);
});

it("says at debug who", () => {
  expect(JSON.stringify(linesAt("debug"))).toMatch(/anna.*bert.*carl/);
});
