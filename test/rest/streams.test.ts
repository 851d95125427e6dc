import { connect } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { servePipe } from "./pipe.ts";
import { key, type Served, serveRest } from "./serve.ts";
import { type ShelfLog, serveShelf } from "./shelf.ts";

const log: ShelfLog = { calls: [], aborted: [] };
let served: Served;

beforeAll(async () => {
  served = await serveRest([serveShelf(log), servePipe()], { keepAliveMs: 60, headAfterMs: 40 });
});
afterEach(() => {
  log.calls.length = 0;
  log.aborted.length = 0;
});
afterAll(() => served.close());

describe("Server-Sent Events", () => {
  test("have a name, an id, and the field that is sent", async () => {
    const response = await served.fetch("/api/events?count=2", { headers: { "last-event-id": "41" } });
    expect(response.status).toBe(200);
    expect(response.headers.get("content-type")).toBe("text/event-stream");
    expect(response.headers.get("cache-control")).toBe("no-cache");
    expect(response.headers.get("x-after")).toBe("41");
    expect(await response.text()).toBe(
      'id: 1\nevent: item_added\ndata: {"id":"1","size":0,"ownerId":null}\n\n' +
        'id: 2\nevent: item_added\ndata: {"id":"2","size":0,"ownerId":null}\n\n',
    );
  });

  test("hold the whole message where no field is named", async () => {
    const text = await (await served.fetch("/api/events/whole?count=1")).text();
    expect(text).toBe('data: {"event":"item_added","sequence":1,"item":{"id":"1","size":0,"ownerId":null}}\n\n');
  });

  test("of a quiet stream: the head at once, then comments", async () => {
    const startedAt = performance.now();
    const response = await served.fetch("/api/events?pause_ms=60000");
    expect(performance.now() - startedAt).toBeLessThan(1000);
    const reader = response.body?.pipeThrough(new TextDecoderStream()).getReader();
    expect(await reader?.read()).toMatchObject({ value: ": keep-alive\n\n" });
    expect(await reader?.read()).toMatchObject({ value: ": keep-alive\n\n" });
    await reader?.cancel();
  });

  test("of a busy stream have no comments between them", async () => {
    const text = await (await served.fetch("/api/events?count=8&pause_ms=20")).text();
    expect(text).not.toContain("keep-alive");
  });

  test("an error before the first is an answer with a status", async () => {
    const response = await served.fetch("/api/events?fail=true");
    expect(response.status).toBe(412);
    expect(response.headers.get("content-type")).toBe("application/json; charset=utf-8");
    expect(await response.json()).toMatchObject({ error: "the shelf fell over", code: "FAILED_PRECONDITION" });
    expect((await served.fetch("/api/events?count=x")).status).toBe(400);
  });

  test("an error after the first is an event", async () => {
    const response = await served.fetch("/api/events?count=1&fail=true");
    expect(response.status).toBe(200);
    const [, error] = (await response.text()).split("\n\n");
    expect(error).toMatch(
      /^event: error\ndata: \{"ok":false,"error":"the shelf fell over","code":"FAILED_PRECONDITION","request_id":"request-\d+"\}$/,
    );
  });

  test("end when the caller leaves, and the handler knows", async () => {
    const leaving = new AbortController();
    const response = await served.fetch("/api/events?pause_ms=10", { signal: leaving.signal });
    await response.body?.getReader().read();
    leaving.abort();
    await expect.poll(() => log.calls).toContain("ended");
    expect(log.aborted).toMatchObject([{ rawMessage: "the client has left" }]);
  });

  test("come no faster than they are read", async () => {
    const socket = connect(served.port, "127.0.0.1");
    socket.pause();
    socket.write(`GET /api/events?padding=10000 HTTP/1.1\r\nhost: x\r\nx-api-key: ${key}\r\n\r\n`);
    await expect.poll(() => log.calls.length).toBeGreaterThan(10);
    let before = 0;
    await expect
      .poll(
        () => {
          const stands = log.calls.length === before;
          before = log.calls.length;
          return stands;
        },
        { interval: 100, timeout: 10_000 },
      )
      .toBe(true);
    await sleep(150);
    expect(log.calls.length).toBe(before);
    expect(before).toBeLessThan(5000); // 50 MB, of which the kernel keeps some
    socket.destroy();
    await expect.poll(() => log.calls).toContain("ended");
  });

  test("end when the server goes down", async () => {
    const other = await serveRest([serveShelf(log)]);
    const response = await other.fetch("/api/events?pause_ms=10");
    const text = response.text();
    await sleep(50);
    await other.close();
    expect(await text).toContain("item_added");
    expect(log.calls).toContain("ended");
  });

  test("that have not begun when the server goes down are told so", async () => {
    const other = await serveRest([serveShelf(log)], { headAfterMs: 60_000 });
    const response = other.fetch("/api/events?pause_ms=60000");
    await sleep(50);
    other.shutdown.begin(0);
    expect((await response).status).toBe(503);
    await other.close();
  });
});

describe("lines", () => {
  const any = { headers: { accept: "*/*" } };

  test("are raw for a caller that takes anything", async () => {
    const response = await served.fetch("/pipe/tail?count=3", any);
    expect(response.headers.get("content-type")).toBe("text/event-stream");
    expect(await response.text()).toBe("line 1\nline 2\nline 3\n");
  });

  test.each(["text/event-stream", "application/json, text/event-stream;q=0.9", "Text/Event-Stream"])(
    "are events for %s",
    async (accept) => {
      const response = await served.fetch("/pipe/tail?count=2", { headers: { accept } });
      expect(await response.text()).toBe("data: line 1\n\ndata: line 2\n\n");
    },
  );

  test("have no comments among them", async () => {
    const response = await served.fetch("/pipe/tail", any);
    const reader = response.body?.pipeThrough(new TextDecoderStream()).getReader();
    expect(await reader?.read()).toMatchObject({ value: "line 1\n" });
    const next = reader?.read();
    expect(await Promise.race([next, sleep(200)])).toBeUndefined();
    await reader?.cancel();
  });

  test("that end with an error are cut off, and events say so", async () => {
    const response = await served.fetch("/pipe/tail?count=1&fail=1", any);
    await expect(response.text()).rejects.toThrow();
    const events = await served.fetch("/pipe/tail?count=1&fail=1", { headers: { accept: "text/event-stream" } });
    expect(await events.text()).toBe("data: line 1\n\nevent: error\ndata: burst\n\n");
  });
});
