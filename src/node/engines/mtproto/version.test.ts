import { expect, test } from "vitest";
import { whyUnsupported } from "./version.ts";

test.each(["3.4.14", "3.4.25", "3.5.0", "4.0.0", "v3.4.25", "3.10.1-rc1"])("%s can be driven", (version) => {
  expect(whyUnsupported(version)).toBeUndefined();
});

test.each(["3.4.13", "3.3.99", "2.9.9"])("%s is too old", (version) => {
  expect(whyUnsupported(version)).toBe(`telemt ${version} is too old: 3.4.14 or newer is needed`);
});

test("what is no version is said", () => {
  expect(whyUnsupported("latest")).toBe('telemt says that its version is "latest"');
});
