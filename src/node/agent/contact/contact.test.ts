import { Code, ConnectError } from "@connectrpc/connect";
import { pino } from "pino";
import { expect, test } from "vitest";
import { createContact } from "./contact.ts";
import { CoreAway, CoreRefused } from "./core-client.ts";

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

test("a Core that does not accept the key is called again where the clock was set back meanwhile", async () => {
  let now = 100_000_000;
  const client = { call: () => Promise.reject(new CoreRefused(new ConnectError("revoked", Code.Unauthenticated))) };
  const contact = createContact({ client, now: () => now, log: pino({ level: "silent" }) });
  const call = () => contact.call(() => Promise.resolve());
  await expect(call()).rejects.toThrow(CoreRefused);
  await expect(call()).rejects.toThrow(CoreAway);
  now -= 86_400_000;
  await expect(call()).rejects.toThrow(CoreRefused);
  await expect(call()).rejects.toThrow(CoreAway);
});

test("calls that the node itself ends, when it stops, are not taken for a Core that does not answer", async () => {
  const { lines, contact, call } = openContact(AbortSignal.abort());
  await call();
  expect(lines).toEqual([]);
  expect(contact.state).toBe("none");
});
