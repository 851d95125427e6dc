import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { mayMakeNamespaces } from "../support/network-namespace.ts";
import { type NetworkProcess, startInNetwork } from "../support/network-process.ts";
import { addresses, interfaces, makeRoutedNetworks, type RoutedNetworks } from "../support/routed-networks.ts";

const families = ["ipv4", "ipv6"] as const;
const { tunnel } = interfaces;

describe.skipIf(!(await mayMakeNamespaces()))("a router between a peer and the internet", () => {
  let networks: RoutedNetworks;
  let nodes: NetworkProcess[];
  beforeEach(async () => {
    networks = await makeRoutedNetworks();
    nodes = [];
  });
  afterEach(async () => {
    for (const node of nodes) await node.kill();
    await networks.close();
  });

  const startNode = async (
    owner = "a",
    masqueradeAll = false,
    egressInterface?: string,
    checkMs?: number,
    behind: readonly string[] = [],
  ) => {
    const enter = [...networks.enterRouter, ...behind];
    const node = startInNetwork(enter, new URL("../support/routing-node.ts", import.meta.url));
    nodes.push(node);
    await node.call("open", owner, masqueradeAll, egressInterface, checkMs);
    return node;
  };
  const route = async (node: NetworkProcess, ...which: string[]) => {
    await node.call("apply", tunnel, ...(which.length > 0 ? which : families));
  };
  const said = async (node: NetworkProcess) => node.call("said");
  const nft = (...args: string[]) => networks.onRouter("nft", ...args);
  const rules = () => nft("-s", "-a", "list", "ruleset");
  const setting = async (path: string) => (await networks.onRouter("cat", `/proc/sys/net/${path}`)).trim();
  const set = (path: string, value: string) => networks.onRouter("sh", "-c", `echo ${value} >/proc/sys/net/${path}`);
  /** As whom the internet sees the peer. */
  const peerSeenAs = (family: (typeof families)[number], timeoutMs = 5_000) =>
    networks.peer.call("seenBy", addresses[family].internet, networks.ports.tell, timeoutMs);
  const dropMs = 300;
  const everyone = async () => Promise.all(families.map((family) => peerSeenAs(family)));
  const routers = families.map((family) => addresses[family].router);

  test("sends on what the peer sends, masqueraded, by the interface of each family, and as it was when it is removed", async () => {
    const before = await rules();
    expect(await Promise.all(families.map((family) => peerSeenAs(family, dropMs)))).toEqual([undefined, undefined]);
    const node = await startNode();
    await route(node);
    expect(await everyone()).toEqual(routers);
    expect(await said(node)).toEqual([]);
    await node.call("remove");
    expect(await rules()).toBe(before);
    expect(await Promise.all(families.map((family) => peerSeenAs(family, dropMs)))).toEqual([undefined, undefined]);
    expect(await said(node)).toEqual([]);
  });

  test("is changed by a second application in nothing, and by one of another interface in that alone", async () => {
    await nft("add table inet fw; add chain inet fw forwarding { type filter hook forward priority 0; policy drop; }");
    const node = await startNode();
    await route(node);
    const once = await rules();
    await route(node);
    expect(await rules()).toBe(once);
    await node.call("apply", "tunnel1", "ipv4");
    expect(await rules()).not.toContain(tunnel);
    expect(await rules()).toContain("tunnel1");
    await route(node);
    expect(await everyone()).toEqual(routers);
  });

  describe("masquerades", () => {
    // The router itself has an address that the internet knows a way to.
    const local = "198.51.100.77";
    const seenFrom = async () => {
      await networks.onRouter("ip", "address", "add", `${local}/32`, "dev", interfaces.tunnel);
      const other = startInNetwork(networks.enterRouter, new URL("../support/network-host.ts", import.meta.url));
      nodes.push(other);
      await networks.onRouter("ip", "route", "replace", "default", "via", "198.51.100.2", "src", local);
      return other.call("seenBy", addresses.ipv4.internet, networks.ports.tell, dropMs);
    };

    test("only what comes from the interface", async () => {
      await networks.tellWayToPeer();
      await route(await startNode());
      expect(await everyone()).toEqual(routers);
      expect(await seenFrom()).toBe(local);
    });

    test("whatever leaves, where it is asked to", async () => {
      await networks.tellWayToPeer();
      await route(await startNode("a", true));
      expect(await everyone()).toEqual(routers);
      expect(await seenFrom()).toBe(addresses.ipv4.router);
    });
  });

  describe("behind the firewall of another", () => {
    const firewalls: [string, string, isIptables?: "iptables"][] = [
      [
        "a policy of nftables",
        "table inet fw { chain forwarding { type filter hook forward priority 0; policy drop; }; }",
      ],
      [
        "a refusal at the end, as that of firewalld",
        "table inet fw { chain forwarding { type filter hook forward priority 10; ct state { established, related } accept; iifname lo accept; counter log reject with icmpx admin-prohibited; }; }",
      ],
      [
        "a chain that refuses at the end, as that of OpenWrt",
        `table inet fw { chain deny { meta l4proto tcp reject with tcp reset; reject; }
         chain forwarding { type filter hook forward priority 0; policy drop; iifname "br0" accept; jump deny; }; }`,
      ],
      [
        "policies of iptables, as Docker and ufw set them",
        `table ip filter { chain FORWARD { type filter hook forward priority 0; policy drop; oifname "docker0" counter accept; }; }
         table ip6 filter { chain FORWARD { type filter hook forward priority 0; policy drop; }; }`,
        "iptables",
      ],
      [
        "several of them",
        `table inet fw { chain forwarding { type filter hook forward priority -5; policy drop; }
         chain more { type filter hook forward priority 5; policy drop; }; }
         table ip other { chain forward { type filter hook forward priority 7; policy drop; }; }
         table ip6 other { chain forward { type filter hook forward priority 7; policy drop; }; }`,
      ],
    ];
    test.each(firewalls)(
      "%s: it lets through what the peer sends, nothing else, and is left as it was",
      async (_, text, isIptables) => {
        await networks.tellWayToPeer();
        await networks.onRouter("sh", "-c", `echo '${text}' | nft -f -`);
        const before = await rules();
        const node = await startNode();
        await route(node);
        expect(await everyone()).toEqual(routers);
        for (const family of families)
          expect(
            await networks.internet.call("seenBy", addresses[family].peer, networks.ports.tellOfPeer, dropMs),
          ).toBeUndefined();
        // Programs of iptables list no table with such a condition.
        if (isIptables !== undefined) expect(await nft("list", "table", "ip", "filter")).not.toContain("ct state");
        expect(await said(node)).toEqual([]);
        await node.call("remove");
        expect(await rules()).toBe(before);
      },
    );

    test("what its admin forbids peers stays forbidden", async () => {
      await networks.onRouter(
        "sh",
        "-c",
        `echo 'table ip fw { chain forwarding { type filter hook forward priority 0; policy drop; iifname "${tunnel}" ip daddr ${addresses.ipv4.internet} drop; }; }' | nft -f -`,
      );
      await route(await startNode());
      expect(await peerSeenAs("ipv4", dropMs)).toBeUndefined();
      expect(await peerSeenAs("ipv6")).toBe(addresses.ipv6.router);
    });

    test("one that refuses nothing by itself is not touched", async () => {
      await nft("add table ip fw; add chain ip fw forwarding { type filter hook forward priority 0; policy accept; }");
      await nft('add rule ip fw forwarding iifname "lan0" drop');
      const before = await nft("-a", "list", "table", "ip", "fw");
      await route(await startNode());
      expect(await nft("-a", "list", "table", "ip", "fw")).toBe(before);
      expect(await everyone()).toEqual(routers);
    });

    test("one that is started or reloaded later is opened soon, and so is all that it took along made again", async () => {
      const node = await startNode("a", false, undefined, 50);
      await route(node);
      await nft(
        "flush ruleset; add table inet fw; add chain inet fw forwarding { type filter hook forward priority 0; policy drop; }",
      );
      await vi.waitFor(async () => expect(await everyone()).toEqual(routers), 10_000);
      await node.call("remove");
      expect(await nft("list", "ruleset")).not.toContain("garrison");
      // What was noted of it was emptied, too.
      expect(await setting("ipv4/ip_forward")).toBe("0");
    });

    test("one that nobody else may change is told, and the rest is done", async () => {
      const owner = startOwnedFirewall(networks);
      try {
        await vi.waitFor(async () => expect(await nft("list", "ruleset")).toContain("owned"), 5_000);
        const node = await startNode();
        await route(node);
        expect(await nft("list", "ruleset")).toContain("masquerade");
        expect(await said(node)).toEqual([
          expect.stringMatching(
            /^the chain forwarding of the table inet owned drops what peers send, and cannot be changed \(.*not permitted.*\): have that firewall forward between tunnel0 and out4, out6$/s,
          ),
        ]);
        await route(node);
        expect(await said(node)).toEqual([]);
        await node.call("remove");
        expect(await nft("list", "ruleset")).not.toContain("garrison");
      } finally {
        await owner.close();
      }
    });
  });

  test("after a crash all is removed by the next run of the same node", async () => {
    await nft("add table inet fw; add chain inet fw forwarding { type filter hook forward priority 0; policy drop; }");
    const before = await rules();
    const crashed = await startNode();
    await route(crashed);
    await crashed.kill();
    expect(await rules()).not.toBe(before);
    const other = await startNode("b");
    await other.call("recover");
    expect(await rules()).not.toBe(before);
    const next = await startNode();
    await next.call("recover");
    expect(await rules()).toBe(before);
    expect(await setting("ipv4/ip_forward")).toBe("0");
    expect(await setting("ipv6/conf/all/forwarding")).toBe("0");
  });

  test("two nodes do not touch what is the other's, and the last to go puts forwarding back", async () => {
    await nft("add table inet fw; add chain inet fw forwarding { type filter hook forward priority 0; policy drop; }");
    const before = await rules();
    const [first, second] = [await startNode("a"), await startNode("b")];
    await route(second, "ipv4");
    const ofSecond = await rules();
    await route(first);
    await first.call("remove");
    expect(await rules()).toBe(ofSecond);
    expect(await setting("ipv6/conf/all/forwarding")).toBe("0"); // nobody else needs it
    await route(first);
    await second.call("remove");
    expect(await everyone()).toEqual(routers);
    await first.call("remove");
    expect(await rules()).toBe(before);
    expect(await setting("ipv4/ip_forward")).toBe("0");
    expect(await setting("ipv6/conf/all/forwarding")).toBe("0");
  });

  describe("forwarding", () => {
    const switches = ["ipv4/ip_forward", "ipv4/conf/all/accept_redirects", "ipv6/conf/all/forwarding"];
    const acceptRa = [interfaces.ipv4, interfaces.ipv6].map((name) => `ipv6/conf/${name}/accept_ra`);
    const settings = async () => Promise.all([...switches, ...acceptRa].map(setting));

    test("is put back with what the kernel changes along with it", async () => {
      // Turning forwarding off again would have the kernel allow redirects.
      await set("ipv4/conf/all/accept_redirects", "0");
      const before = await settings();
      expect(before).toEqual(["0", "0", "0", "1", "1"]);
      const node = await startNode();
      await route(node);
      expect(await settings()).toEqual(["1", "0", "1", "1", "2"]);
      await node.call("remove");
      expect(await settings()).toEqual(before);
    });

    test("of a family that the interface has no address of is left alone", async () => {
      const node = await startNode();
      await route(node, "ipv4");
      expect(await settings()).toEqual(["1", "0", "0", "1", "1"]);
      await node.call("remove");
      expect(await settings()).toEqual(["0", "1", "0", "1", "1"]);
    });

    test("of a family that is routed no more is put back with the rest", async () => {
      const before = await settings();
      const node = await startNode();
      await route(node);
      await route(node, "ipv4");
      await node.call("remove");
      expect(await settings()).toEqual(before);
    });

    test("that was on stays on", async () => {
      for (const path of ["ipv4/ip_forward", "ipv6/conf/all/forwarding"]) await set(path, "1");
      const before = await settings();
      const node = await startNode();
      await route(node);
      expect(await settings()).toEqual(before);
      await node.call("remove");
      expect(await settings()).toEqual(before);
    });

    test("that cannot be turned on, as in many containers, is told with what to do, and the rules stand", async () => {
      const readOnly = ["unshare", "--mount", "sh", "-c", 'mount --bind -o ro /proc/sys /proc/sys && exec "$0" "$@"'];
      const node = await startNode("a", false, undefined, undefined, readOnly);
      await route(node, "ipv4");
      expect(await said(node)).toEqual([
        expect.stringMatching(
          /^what peers send by IPv4 is not routed: net\.ipv4\.ip_forward cannot be set to 1 \(EROFS.*\): run `sysctl -w net\.ipv4\.ip_forward=1` on the machine, or give a container `--sysctl net\.ipv4\.ip_forward=1`$/,
        ),
      ]);
      await set("ipv4/ip_forward", "1");
      expect(await peerSeenAs("ipv4")).toBe(addresses.ipv4.router);
      // It is not the node's to turn off.
      await node.call("remove");
      expect(await said(node)).toEqual([]);
      expect(await rules()).toBe("");
      expect(await setting("ipv4/ip_forward")).toBe("1");
    });

    test("that is turned on by a node that is not root, but may, is put back, too", async () => {
      const before = await settings();
      // The second one lets it read these sources, wherever they are.
      const capabilities = ["inh", "ambient"].map((set) => `--${set}-caps=+net_admin,+dac_read_search`);
      const node = await startNode("a", false, undefined, undefined, [
        ...["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", ...capabilities],
      ]);
      await route(node);
      expect(await said(node)).toEqual([]);
      expect(await everyone()).toEqual(routers);
      await node.call("remove");
      expect(await settings()).toEqual(before);
    });

    test("that others have come to need stays on, and that is told", async () => {
      const node = await startNode();
      await route(node);
      await nft("add table ip nat; add chain ip nat POSTROUTING { type nat hook postrouting priority 100; }");
      await nft('add rule ip nat POSTROUTING oifname "docker0" masquerade');
      await node.call("remove");
      expect(await settings()).toEqual(["1", "0", "0", "1", "1"]);
      expect(await said(node)).toEqual([
        "net.ipv4.ip_forward stays 1, though it was 0 before: others have come to route by IPv4, too",
      ]);
    });
  });

  test("without a default route it says so, once, and what to do", async () => {
    await networks.onRouter("ip", "-6", "route", "delete", "default");
    const node = await startNode();
    await route(node);
    await route(node);
    expect(await said(node)).toEqual([
      "what peers send by IPv6 goes nowhere: this machine has no default route of that family. Give it one, or name the " +
        "interface by PG_NODE_WG_NAT_OUTPUT_INTERFACE",
    ]);
    expect(await peerSeenAs("ipv4")).toBe(addresses.ipv4.router);
    expect(await setting("ipv6/conf/all/forwarding")).toBe("0");
  });

  test("an interface that is named is used instead, and missed aloud", async () => {
    await route(await startNode("a", false, interfaces.ipv6));
    expect(await peerSeenAs("ipv4", dropMs)).toBeUndefined(); // its route leads elsewhere
    expect(await peerSeenAs("ipv6")).toBe(addresses.ipv6.router);
    const node = await startNode("b", false, "nowhere0");
    await route(node);
    expect(await said(node)).toEqual([
      "what peers send goes nowhere: there is no interface nowhere0, which PG_NODE_WG_NAT_OUTPUT_INTERFACE names",
    ]);
  });

  describe("by the engine", () => {
    const name = `ge${process.pid}`; // its socket is a file, which networks do not keep apart
    let runDir = "";
    beforeEach(async () => {
      runDir = await mkdtemp(join(tmpdir(), "garrison-routing-"));
    });
    afterEach(() => rm(runDir, { recursive: true }));

    const startEngine = async (variables: Record<string, string> = {}) => {
      const script = new URL("../support/wireguard-engine-process.ts", import.meta.url);
      const engine = startInNetwork(networks.enterRouter, script, { RUN_DIR: runDir, ...variables });
      nodes.push(engine);
      await engine.call("recover");
      return engine;
    };
    const config = {
      interface_name: name,
      private_key: Buffer.alloc(32, 0x41).toString("base64"),
      address: ["10.78.0.1/24"],
    };

    test("as long as the interface is to stand, for the families of its addresses", async () => {
      const before = await rules();
      const engine = await startEngine();
      await engine.call("start", config);
      const routedFirst = await rules();
      expect(routedFirst).toContain(`iifname "${name}" oifname "${interfaces.ipv4}" masquerade`);
      expect(routedFirst).not.toContain("ipv6");
      await engine.call("start", { ...config, address: [...config.address, "fd78::1/64"] });
      const routed = await rules();
      expect(routed).toContain(`iifname "${name}" oifname "${interfaces.ipv6}" masquerade`);
      await engine.call("crash");
      expect(await rules()).toBe(routed);
      await engine.call("start", { ...config, interface_name: `${name}b` });
      expect(await rules()).not.toContain(`"${name}"`);
      expect(await rules()).toContain(`"${name}b"`);
      await engine.call("stop");
      expect(await rules()).toBe(before);
      expect(await setting("ipv4/ip_forward")).toBe("0");
    });

    test("and removed by the next one after a crash of the node", async () => {
      const before = await rules();
      const crashed = await startEngine();
      await crashed.call("start", config);
      await crashed.kill();
      expect(await rules()).not.toBe(before);
      await startEngine();
      expect(await rules()).toBe(before);
    });

    test("and left as it is by a node that leaves the interface to the next one", async () => {
      const variables = { STATE_FILE: join(runDir, "state") };
      const first = await startEngine(variables);
      await first.call("start", config);
      const routed = await rules();
      await first.call("close");
      expect(await rules()).toBe(routed);
      await first.kill();
      const before = await setting("ipv4/ip_forward");
      const second = await startEngine(variables);
      expect(await rules()).toBe(routed);
      expect(await setting("ipv4/ip_forward")).toBe(before);
      await second.call("stop");
      expect(await rules()).toBe("");
      expect(await setting("ipv4/ip_forward")).toBe("0");
    });

    test("and latency is probed by the way that it routes", async () => {
      const engine = await startEngine();
      const url = `http://${addresses.ipv4.internet}:${networks.ports.http}/`;
      await engine.call("start", { ...config, latency: { test_url: url, timeout_seconds: 1 } });
      expect(await engine.call("latencies")).toEqual([
        expect.objectContaining({ name: interfaces.ipv4, link: url, alive: true, source: "wireguard-probe" }),
      ]);
      await engine.call("stop");
    });
  });
});

/** A table that belongs to the program that has made it, and goes with it, as that of firewalld. */
function startOwnedFirewall({ enterRouter: [program = "", ...enter] }: RoutedNetworks): { close(): Promise<void> } {
  const firewall = spawn(program, [...enter, "nft", "-i"], { stdio: ["pipe", "ignore", "ignore"] });
  firewall.stdin.write("add table inet owned { flags owner; }\n");
  firewall.stdin.write("add chain inet owned forwarding { type filter hook forward priority 0; policy drop; }\n");
  return {
    async close() {
      firewall.stdin.end();
      if (firewall.exitCode === null) await once(firewall, "exit");
    },
  };
}
