import { createHostRouting, type HostRouting } from "../../src/node/engines/wireguard/host/host-routing.ts";
import { createLatencyProbe } from "../../src/node/engines/wireguard/host/latency-probe.ts";
import { createSystemTools } from "../../src/node/engines/wireguard/host/system-tool.ts";
import { doAsAsked } from "./network-process.ts";

// Routes as a node does, in whichever network it is started.
const tools = createSystemTools(process.env);
const said: string[] = [];
let routing: HostRouting | undefined;

doAsAsked({
  open(owner: string, masqueradeAll: boolean, egressInterface?: string, checkMs?: number) {
    routing = createHostRouting({
      settings: { masqueradeAll },
      egressInterface,
      owner,
      tools,
      say: (note) => said.push(note),
      ...(checkMs !== undefined && { checkMs }),
    });
  },
  async apply(name: string, ...families: ("ipv4" | "ipv6")[]) {
    await routing?.apply({ name, families: new Set(families) });
  },
  async remove() {
    await routing?.remove();
  },
  async recover() {
    await routing?.recover();
  },
  said: () => said.splice(0),
  async probe(url: string, timeoutMs: number, askers: number, egressInterface?: string) {
    const probe = createLatencyProbe({ egressInterface, tools, now: Date.now });
    const { signal } = new AbortController();
    return Promise.all(Array.from({ length: askers }, () => probe({ url, timeoutMs, signal })));
  },
});
