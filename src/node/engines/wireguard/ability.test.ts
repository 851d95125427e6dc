import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { release, tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { canRunWireGuard } from "./ability.ts";

let root: string;
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), "garrison-ability-"));
});
afterEach(() => rm(root, { recursive: true }));

const right = { "proc/self/status": "Name:\tnode\nCapEff:\t0000000000001000\n" };
const noRight = { "proc/self/status": "CapEff:\t0000000000000fff\n" };
const tun = { "dev/net/tun": "" };
const dependencies = `lib/modules/${release()}/modules.dep`;
const module = { [dependencies]: "kernel/net/wireguard/wireguard.ko.zst: kernel/net/ipv4/udp_tunnel.ko.zst\n" };

test.each<[what: string, files: Record<string, string>, programs: string[], executable: boolean, can: boolean]>([
  ["wireguard-go and its device", { ...right, ...tun }, ["ip"], true, true],
  ["wireguard-go without the device", right, ["ip"], true, false],
  ["wireguard-go without the right to make interfaces", { ...tun, ...noRight }, ["ip"], true, false],
  ["wireguard-go without `ip`", { ...right, ...tun }, [], true, false],
  ["neither wireguard-go nor a module", { ...right, ...tun }, ["ip", "wg"], false, false],
  ["a module that is loaded when it is wanted", { ...right, ...module }, ["ip", "wg"], false, true],
  ["a module that is loaded", { ...right, "sys/module/wireguard/version": "" }, ["ip", "wg"], false, true],
  ["another module", { ...right, [dependencies]: "kernel/nowireguard.ko:\n" }, ["ip", "wg"], false, false],
  // The engine uses the kernel's where there is one.
  ["a module without `wg`", { ...right, ...tun, ...module }, ["ip"], true, false],
])("with %s a node says that it can run WireGuard, or not", async (_, files, programs, hasExecutable, can) => {
  const all = { ...files, ...Object.fromEntries(programs.map((name) => [`bin/${name}`, ""])) };
  for (const [path, text] of Object.entries(all)) {
    await mkdir(dirname(join(root, path)), { recursive: true });
    await writeFile(join(root, path), text, { mode: 0o755 });
  }
  const executable = hasExecutable ? "/usr/bin/wireguard-go" : undefined;
  expect(await canRunWireGuard({ executable, env: { PATH: join(root, "bin") }, root })).toBe(can);
});
