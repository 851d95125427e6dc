import { once } from "node:events";
import { connect } from "node:http2";
import type { Socket } from "node:net";
import { setTimeout as delay } from "node:timers/promises";
import { beforeEach, expect, test, vi } from "vitest";
import { type Delivery, deliveryOf } from "../../src/platform/listener/delivery.ts";
import type { Request } from "../../src/platform/listener/listener.ts";
import { ends, type Handler, open, pair, start } from "./support.ts";

/** What each request was told of its reply. */
let outcomes: string[][] = [];
beforeEach(() => {
  outcomes = [];
});

const ask = (request: Request) => {
  const told: string[] = [];
  outcomes.push(told);
  deliveryOf(request).watch({ delivered: () => told.push("delivered"), lost: () => told.push("lost") });
};
const answer: Handler = (request, response) => {
  ask(request);
  response.end("whole");
};
const known = (...expected: string[][]) => vi.waitFor(() => expect(outcomes).toEqual(expected), { interval: 5 });

const http1 = (verb = "GET", field = "x-a: 1") => `${verb} / HTTP/1.1\r\nHost: a\r\n${field}\r\n\r\n`;
const idleSoon = { http1IdleTimeoutMs: 30, untrustedIdleTimeoutMs: 60_000 };

test.each([
  ["plain", undefined],
  ["TLS", {}],
])("behind the last reply of an HTTP/1.1 connection, the end of the other side tells (%s)", async (_, tls) => {
  const { port } = await start(answer, { ...(tls && { tls: { pair } }) });
  const line = ends(await open(port, tls, { allowHalfOpen: true }));
  line.write(http1("GET", "Connection: close"));
  await line.until("whole");
  await delay(50);
  expect(outcomes).toEqual([[]]);
  line.socket.end();
  await known(["delivered"]);
  await line.closed();
});

test("an HTTP/1.1 connection that is reset behind its last reply has lost it", async () => {
  const { port } = await start(answer);
  const line = ends(await open(port, undefined, { allowHalfOpen: true }));
  line.write(http1("GET", "Connection: close"));
  await line.until("whole");
  (line.socket as Socket).resetAndDestroy();
  await known(["lost"]);
});

test("an idle HTTP/1.1 connection is ended, and the end of the other side tells, however late", async () => {
  const { port } = await start(answer, { limits: idleSoon });
  const [polite, silent, gone] = await Promise.all([
    open(port).then(ends),
    open(port, undefined, { allowHalfOpen: true }).then(ends),
    open(port, undefined, { allowHalfOpen: true }).then(ends),
  ]);
  for (const line of [polite, silent, gone]) {
    line.write(http1());
    await line.until("whole");
  }
  await polite.closed(); // Node's grace of a second is over
  await known(["delivered"], [], []);
  await delay(50);
  (gone.socket as Socket).resetAndDestroy();
  await known(["delivered"], [], ["lost"]);
  silent.socket.end();
  await known(["delivered"], ["delivered"], ["lost"]);
});

test("a request that comes behind the end of its connection is not served", async () => {
  const { port } = await start(answer, { limits: idleSoon });
  const line = ends(await open(port, undefined, { allowHalfOpen: true }));
  line.write(http1());
  await once(line.socket, "end");
  line.write(http1("DELETE"));
  await delay(50);
  expect(outcomes).toEqual([[]]);
});

test("requests that were sent before the reply prove nothing", async () => {
  const answers: (() => void)[] = [];
  const { port } = await start((request, response) => {
    ask(request);
    answers.push(() => response.end("whole"));
  });
  const line = ends(await open(port));
  line.write(http1() + http1());
  await vi.waitFor(() => expect(answers).toHaveLength(2));
  for (const give of answers) give();
  await line.until(/whole.*whole/s);
  expect(outcomes).toEqual([[], []]);
  line.write(http1());
  await known(["delivered"], ["delivered"], []);
});

test("a reply to HEAD leaves out what was to be told", async () => {
  const { port } = await start(answer);
  const line = ends(await open(port));
  line.write(http1("HEAD"));
  await known(["lost"]);
});

test("a reply that was given already is asked for too late", async () => {
  const { port } = await start((request, response) => {
    response.end("whole", () => ask(request));
  });
  const line = ends(await open(port));
  line.write(http1());
  await known(["lost"]);
});

test("a listener that closes asks HTTP/1.1 connections by the end of its side, and leaves nobody waiting", async () => {
  const { port, close } = await start(answer);
  const silent = ends(await open(port, undefined, { allowHalfOpen: true }));
  const line = ends(await open(port));
  for (const each of [silent, line]) {
    each.write(http1());
    await each.until("whole");
  }
  const session = ends(connect(`http://127.0.0.1:${port}`));
  await once(session.request().resume(), "close");
  await close();
  await known(["lost"], ["delivered"], ["delivered"]);
});

test("many replies of one HTTP/2 connection share their PINGs", async () => {
  const waiting: (() => void)[] = [];
  const { port } = await start((request, response) => {
    waiting.push(() => answer(request, response));
  });
  const session = ends(connect(`http://127.0.0.1:${port}`));
  let pings = 0;
  session.on("ping", () => {
    pings += 1;
  });
  const closed = Array.from({ length: 100 }, () => once(session.request().resume(), "close"));
  await vi.waitFor(() => expect(waiting).toHaveLength(100));
  for (const give of waiting) give();
  await Promise.all(closed);
  await known(...Array.from({ length: 100 }, () => ["delivered"]));
  expect(pings).toBeGreaterThan(0);
  expect(pings).toBeLessThan(10);
});

test.each([
  ["plain", undefined],
  ["TLS", {}],
])("an HTTP/1.1 client that ended before the reply came has lost it, though its end is clean (%s)", async (_, tls) => {
  let leave: () => void = () => undefined;
  const { port } = await start(
    (request, response) => {
      ask(request);
      leave();
      // The end of the other side has come by now, and is seen only after the reply has left.
      const until = performance.now() + 20;
      while (performance.now() < until);
      response.end("whole");
    },
    { ...(tls && { tls: { pair } }) },
  );
  const line = ends(await open(port, tls));
  leave = () => line.socket.destroy();
  line.write(http1());
  await known(["lost"]);
});

test("everybody who asks about a reply is told, and so is who asks once it is known", async () => {
  let delivery: Delivery | undefined;
  const told: string[] = [];
  const watcher = (name: string) => ({ delivered: () => told.push(name), lost: () => told.push(`${name} lost`) });
  const { port } = await start((request, response) => {
    delivery ??= deliveryOf(request);
    for (const name of ["first", "second"]) delivery.watch(watcher(name));
    response.end("whole");
  });
  const session = ends(connect(`http://127.0.0.1:${port}`));
  await once(session.request().resume(), "close");
  await vi.waitFor(() => expect(told).toEqual(["first", "second"]));
  delivery?.replaced();
  delivery?.watch(watcher("third"));
  expect(told).toEqual(["first", "second", "third"]);
});
