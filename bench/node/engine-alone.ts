import { spawn } from "node:child_process";
import { once } from "node:events";
import { connect } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { xrayPath } from "../../test/xray-path.ts";

/**
 * How long Xray itself takes, without a node, from being started with these users on its first inbound until it takes
 * connections there, in milliseconds.
 */
export async function engineStartMs(
  config: string,
  clients: readonly { id: string; email: string }[],
  port: number,
): Promise<number> {
  const { inbounds, ...rest } = JSON.parse(config);
  const [first, ...others] = inbounds;
  const settings = { ...first.settings, clients };
  const document = JSON.stringify({ ...rest, inbounds: [{ ...first, settings }, ...others] });
  const executable = await xrayPath();
  const startedAt = performance.now();
  const xray = spawn(executable, ["run", "-format", "json", "-c", "stdin:"], { stdio: ["pipe", "ignore", "ignore"] });
  const closed = once(xray, "close");
  xray.stdin.end(document);
  while (!(await isOpen(port))) {
    if (xray.exitCode !== null) throw new Error(`xray ended with ${xray.exitCode}`);
    await sleep(2);
  }
  const ms = performance.now() - startedAt;
  xray.kill("SIGKILL");
  await closed;
  return ms;
}

function isOpen(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ host: "127.0.0.1", port });
    socket.on("connect", () => resolve(true)).on("error", () => resolve(false));
    socket.once("connect", () => socket.destroy());
  });
}
