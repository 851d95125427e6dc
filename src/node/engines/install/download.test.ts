import { once } from "node:events";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { createServer, type RequestListener, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { type DownloadOptions, download } from "./download.ts";

let directory = "";
let server: Server;
const shown: string[] = [];
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "garrison-download-"));
  shown.length = 0;
});
afterEach(async () => {
  server.closeAllConnections();
  server.close();
  await rm(directory, { recursive: true });
});

async function downloadFrom(answer: RequestListener, options: Partial<DownloadOptions> = {}) {
  server = createServer(answer).listen(0, "127.0.0.1");
  await once(server, "listening");
  return download({
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/file`,
    file: join(directory, "file"),
    maxBytes: 1_000_000,
    signal: new AbortController().signal,
    progress: { note: () => undefined, update: (text) => shown.push(text) },
    ...options,
  });
}

test("what arrives is saved, its digest returned, and its progress shown", async () => {
  const digest = await downloadFrom((_, response) => response.writeHead(200, { "content-length": 5 }).end("hello"));
  expect(digest).toBe("2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824");
  expect(await readFile(join(directory, "file"), "utf8")).toBe("hello");
  expect(shown.at(-1)).toBe("downloading: 0.0 MiB of 0.0 MiB");
});

test("it is asked for as it is, not encoded on the way", async () => {
  let encodings: unknown;
  await downloadFrom((request, response) => {
    encodings = request.headers["accept-encoding"];
    response.end("x");
  });
  expect(encodings).toBe("identity");
});

test.each([
  ["before the answer", (() => undefined) as RequestListener],
  ["in the middle", ((_, response) => response.writeHead(200, { "content-length": 9 }).write("x")) as RequestListener],
])("a server that goes silent %s is given up", async (_, answer) => {
  await expect(downloadFrom(answer, { idleMs: 200 })).rejects.toThrow(/\/file: nothing arrived for 0\.2 s$/);
});

test("a server that dribbles is given up after the longest time that all may take", async () => {
  const dribble: RequestListener = (_, response) => {
    const timer = setInterval(() => response.write("x"), 20);
    response.on("close", () => clearInterval(timer));
  };
  await expect(downloadFrom(dribble, { idleMs: 200, totalMs: 500 })).rejects.toThrow(
    /\/file: not finished after 0\.5 s$/,
  );
});

test("a file that is there already is not written over", async () => {
  const options = { file: join(directory, "..") };
  await expect(downloadFrom((_, response) => response.end("x"), options)).rejects.toThrow(/EEXIST|EISDIR/);
});
