import { expect, test } from "vitest";
import { failureLine } from "./process.ts";

test.each([
  [["Xray 26.3.27", "Failed to start: main: no such file", "bye"], "Failed to start: main: no such file"],
  [["panic: runtime error: x", "", "goroutine 1 [running]:"], "panic: runtime error: x"],
  [["fatal error: out of memory", "Failed to start: y"], "fatal error: out of memory"],
  [["2026/01/01 [Info] failed to open connection to example.org"], undefined],
  [[], undefined],
])("of %j the reason is %j", (lines, reason) => {
  expect(failureLine(lines)).toBe(reason);
});
