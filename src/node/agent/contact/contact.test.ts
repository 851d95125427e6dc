import { pino } from "pino";
import { expect, test } from "vitest";
import { createContact } from "./contact.ts";
import { CoreAway } from "./core-client.ts";

/** A Core that is away, and what is logged of it. */
function openContact(signal: AbortSignal) {
  const lines: string[] = [];
  const log = pino({}, { write: (line: string) => void lines.push(JSON.parse(line).msg) });
  const client = { call: () => Promise.reject(new CoreAway("Core does not answer: gone", undefined, undefined)) };
  const contact = createContact({ client, now: () => 0, log, signal });
  return { lines, contact, call: () => expect(contact.call(() => Promise.resolve())).rejects.toThrow(CoreAway) };
}

test("that Core does not answer is told once", async () => {
  const { lines, contact, call } = openContact(new AbortController().signal);
  await call();
  await call();
  expect(lines).toEqual(["Core does not answer: gone. The engines serve on, and what is counted is kept"]);
  expect(contact.state).toBe("away");
});

test("calls that the node itself ends, when it stops, are not taken for a Core that does not answer", async () => {
  const { lines, contact, call } = openContact(AbortSignal.abort());
  await call();
  expect(lines).toEqual([]);
  expect(contact.state).toBe("none");
});
