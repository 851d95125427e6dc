import { once } from "node:events";
import { createServer } from "node:net";

// Below the range from which the kernel takes the ports of connections: up there, a port that was free a moment ago may
// have become any client's. Test files that run at the same time each have a lane of their own.
const firstPort = 10_000;
const portsPerLane = 1_000;
const lane = Number(process.env.VITEST_POOL_ID ?? process.pid) % 8;
// Not from the beginning: what the file before in this lane has used may linger.
let next = Math.floor(Math.random() * portsPerLane);

/** TCP ports on 127.0.0.1 that are free, each another one. */
export async function freePorts(count: number): Promise<number[]> {
  const ports: number[] = [];
  for (let tried = 0; ports.length < count; tried += 1) {
    if (tried > portsPerLane) throw new Error(`there are not ${count} free ports`);
    const port = firstPort + lane * portsPerLane + next;
    next = (next + 1) % portsPerLane;
    if (await isFree(port)) ports.push(port);
  }
  return ports;
}

async function isFree(port: number): Promise<boolean> {
  const server = createServer().listen(port, "127.0.0.1");
  try {
    await once(server, "listening");
  } catch {
    return false;
  }
  await once(server.close(), "close");
  return true;
}
