import { once } from "node:events";
import { existsSync } from "node:fs";
import { mkdtemp, rename, rm, writeFile } from "node:fs/promises";
import { createServer, type Server } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { removeStaleSockets } from "./sockets.ts";

let directory: string;
const servers: Server[] = [];

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "garrison-sockets-"));
});
afterEach(async () => {
  for (const server of servers.splice(0)) server.close();
  await rm(directory, { recursive: true });
});

async function listenAt(path: string): Promise<Server> {
  const server = createServer().listen(path);
  servers.push(server);
  await once(server, "listening");
  return server;
}

test("a socket at which nobody listens is removed", async () => {
  const path = join(directory, "stale.sock");
  const server = await listenAt(path);
  // A server removes its own file when it closes: one that is killed does not.
  await rename(path, `${path}.kept`);
  const closed = once(server, "close");
  server.close();
  await closed;
  await rename(`${path}.kept`, path);
  await removeStaleSockets([path]);
  expect(existsSync(path)).toBe(false);
});

test("one at which somebody listens, a file of another kind and one that is not there are left alone", async () => {
  const [used, file] = [join(directory, "used.sock"), join(directory, "file.sock")];
  await listenAt(used);
  await writeFile(file, "data");
  await removeStaleSockets([used, file, join(directory, "none.sock")]);
  expect([existsSync(used), existsSync(file)]).toEqual([true, true]);
});
