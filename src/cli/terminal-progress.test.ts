import { PassThrough } from "node:stream";
import { expect, test } from "vitest";
import { createTerminalProgress } from "./terminal-progress.ts";

function show(terminal: { isTTY?: boolean; columns?: number }) {
  let nowMs = 0;
  const stream = Object.assign(new PassThrough({ encoding: "utf8" }), terminal);
  const progress = createTerminalProgress(stream, () => nowMs);
  progress.note("downloading");
  for (const percent of ["10 %", "20 %", "30 %"]) {
    nowMs += 3_000;
    progress.update(percent);
  }
  progress.note("done");
  return stream.read();
}

test("a terminal shows it in one line that changes, and never wraps", () => {
  const clear = "\r\x1b[2K";
  expect(show({ isTTY: true, columns: 4 })).toBe(
    `${clear}downloading\n${clear}10 ${clear}20 ${clear}30 ${clear}done\n`,
  );
});

test("a file gets a line every five seconds", () => {
  expect(show({})).toBe("downloading\n20 %\ndone\n");
});
