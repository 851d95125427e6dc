import { Writable } from "node:stream";
import { expect, it } from "vitest";
import { createLog, type LogLevel } from "../../platform/telemetry/log.ts";
import type { UsersOutcome } from "../engines/engine.ts";
import { tellOutcome } from "./tell-outcome.ts";

const on = (email: string, inbound: string, reason: string) => ({ email, inbound, reason });
const outcome: UsersOutcome = {
  skipped: [on("anna", "a", "no id"), on("anna", "b", "no id"), on("bert", "a", "no password")],
  rejected: [on("carl", "a", "User carl already exists.")],
};

function tell(level: LogLevel, what = outcome, isTold = true) {
  const log: Record<string, unknown>[] = [];
  const sink = new Writable({
    write(chunk, _encoding, done) {
      log.push(JSON.parse(String(chunk)));
      done();
    },
  });
  const lines: string[] = [];
  const counted: [string, number][] = [];
  const hearers = {
    log: createLog("test", level, sink),
    lines: { push: (line: string) => lines.push(line) },
    onSkipped: (reason: string, count: number) => counted.push([reason, count]),
  };
  tellOutcome(hearers, what, { isTold });
  return { log, lines, counted };
}

it("the log says at info how many users and why, and names nobody", () => {
  const { log } = tell("info");
  expect(log).toMatchObject([
    { level: "info", users: 2, reasons: { "no id": 2, "no password": 1 } },
    { level: "warn", users: 1, inbounds: { a: 1 } },
  ]);
  expect(JSON.stringify(log)).not.toMatch(/anna|bert|carl/);
});

it("the log says at debug who", () => {
  expect(JSON.stringify(tell("debug").log)).toMatch(/anna.*bert.*carl/);
});

it("viewers of the engine's log are told who was skipped where and why", () => {
  expect(tell("silent").lines).toEqual([
    "[garrison] user anna is left out of a: no id",
    "[garrison] user anna is left out of b: no id",
    "[garrison] user bert is left out of a: no password",
  ]);
});

it("viewers are told whom the engine refused where the answer does not tell it, on a line that is none of theirs", () => {
  expect(tell("silent", outcome, false).lines).toEqual([
    ...tell("silent").lines,
    "[garrison] user carl is left out of a: User carl already exists.",
  ]);
  const forged = on("x", "a", `User x\n[garrison] y${"z".repeat(10_000)} already exists.`);
  const { lines } = tell("silent", { skipped: [], rejected: [forged] }, false);
  expect(lines).toEqual([
    expect.stringMatching(/^\[garrison\] user x is left out of a: User x \[garrison\] yz{400,}…$/),
  ]);
});

it("of very many, viewers are told a hundred, and how many more there are; an e-mail cannot forge a line", () => {
  const many = Array.from({ length: 150 }, () => on(`x\n${"y".repeat(10_000)}`, "a", "no id"));
  const { lines } = tell("silent", { skipped: many, rejected: [] });
  expect(lines).toHaveLength(101);
  expect(lines[0]).toBe(`[garrison] user x ${"y".repeat(98)}… is left out of a: no id`);
  expect(lines[100]).toBe("[garrison] and 50 more were left out");
});

it("those who were skipped are counted by why", () => {
  expect(tell("silent").counted).toEqual([
    ["no id", 2],
    ["no password", 1],
  ]);
});
