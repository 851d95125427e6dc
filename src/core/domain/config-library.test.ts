import { expect, test } from "vitest";
import { createConfigLibrary } from "./config-library.ts";

const contentOf = (name: string) => `{"clientMap":{"${name}":{}},"services":{}}`;
const rendered = (digest: string) => ({ digest, content: contentOf(digest) });

function open(capacity = 1_000) {
  const loaded: string[] = [];
  const load = async (digest: string) => {
    loaded.push(digest);
    return contentOf(digest);
  };
  return { loaded, library: createConfigLibrary({ load, pace: () => undefined, capacity }) };
}

test("what was rendered here is not loaded, and has the same parts", async () => {
  const { loaded, library } = open();
  library.add(rendered("a"));
  library.add(rendered("a"));
  const { library: another } = open();
  expect((await library.parts("a"))?.links).toBe((await another.parts("a"))?.links);
  expect(loaded).toEqual([]);
});

test("what is loaded already stays as it is", async () => {
  const { loaded, library } = open();
  const parts = await library.parts("a");
  library.add(rendered("a"));
  expect(await library.parts("a")).toBe(parts);
  expect(loaded).toEqual(["a"]);
});

test("no more is kept of what was rendered than there is room for: the oldest goes first", async () => {
  const { loaded, library } = open(2.5 * contentOf("a").length);
  for (const digest of ["a", "b", "c"]) library.add(rendered(digest));
  for (const digest of ["c", "b", "a"]) await library.parts(digest);
  expect(loaded).toEqual(["a"]);
});
