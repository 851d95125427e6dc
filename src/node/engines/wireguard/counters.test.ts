import { expect, test } from "vitest";
import { PeerCounters } from "./counters.ts";
import type { DeviceState, PeerState } from "./device/device.ts";

function openCounters() {
  let now = 1_000_000_000;
  const owners = new Map([
    ["k1", "a"],
    ["k2", "b"],
  ]);
  const counters = new PeerCounters(() => now);
  const peer = (publicKey: string, received: number, sent: number, more: Partial<PeerState> = {}): PeerState => ({
    publicKey,
    allowedIps: [],
    endpoint: "192.0.2.1:5000",
    lastHandshake: 0,
    receivedBytes: BigInt(received),
    sentBytes: BigInt(sent),
    ...more,
  });
  const observe = (...peers: PeerState[]) => {
    const state: DeviceState = { listenPort: 1, peers };
    counters.observe(state, (key) => owners.get(key));
  };
  const told = () =>
    Array.from(counters.counters(), ({ name, link, uplinkBytes, downlinkBytes }) => [
      name,
      link,
      Number(uplinkBytes),
      Number(downlinkBytes),
    ]);
  const wait = (seconds: number) => {
    now += seconds * 1_000;
  };
  return { counters, owners, peer, observe, told, wait };
}

test("counters grow as WireGuard's do, and go on when those begin again", () => {
  const { counters, peer, observe, told } = openCounters();
  observe(peer("k1", 10, 20), peer("k2", 0, 0));
  observe(peer("k1", 15, 29));
  expect(told()).toEqual([
    ["a", "k1", 15, 29],
    ["b", "k2", 0, 0],
  ]);
  counters.removed("k1");
  observe(peer("k1", 100, 200));
  observe(peer("k1", 1, 2)); // made anew behind our back
  expect(told()[0]).toEqual(["a", "k1", 116, 231]);
});

test("a key that changes hands is counted for either user as long as they had it", () => {
  const { owners, peer, observe, told } = openCounters();
  observe(peer("k1", 10, 10));
  owners.set("k1", "c");
  observe(peer("k1", 15, 30));
  expect(told()).toEqual([
    ["a", "k1", 10, 10],
    ["c", "k1", 5, 20],
  ]);
});

test("of a key that nobody has nothing is counted, also not later", () => {
  const { owners, peer, observe, told } = openCounters();
  observe(peer("k9", 10, 10));
  owners.set("k9", "d");
  observe(peer("k9", 12, 10));
  expect(told()).toEqual([["d", "k9", 2, 0]]);
});

test("what an interface that was left has counted long ago makes nobody online", () => {
  const before = openCounters();
  before.observe(before.peer("k1", 10, 10));
  const { counters, peer, observe, told } = openCounters();
  counters.restore(before.counters.kept());
  observe(peer("k1", 15, 10, { lastHandshake: 990_000 }), peer("k2", 7, 7, { lastHandshake: 990_000 }));
  expect(told()).toEqual([
    ["a", "k1", 15, 10],
    ["b", "k2", 7, 7],
  ]);
  expect(counters.onlineNames()).toEqual(new Set());
  observe(peer("k1", 16, 10, { lastHandshake: 990_000 }), peer("k2", 7, 7, { lastHandshake: 990_000 }));
  expect(counters.onlineNames()).toEqual(new Set(["a"]));
});

test("who is on their way in when a new interface is looked at first is online, from where they are", () => {
  const { counters, peer, observe } = openCounters();
  observe(peer("k1", 148, 92)); // no handshake is complete yet
  expect(counters.online("a")).toEqual({ "192.0.2.1": 1_000_000n });
});

test("online is whoever was heard, or shook hands, within three minutes", () => {
  const { counters, peer, observe, wait } = openCounters();
  observe(peer("k1", 0, 0), peer("k2", 0, 5, { lastHandshake: 999_900, endpoint: "[2001:db8::1]:7" }));
  expect([counters.online("a"), counters.online("b"), counters.online("nobody")]).toEqual([
    {},
    { "2001:db8::1": 999_900n },
    {},
  ]);
  observe(peer("k1", 1, 0), peer("k2", 0, 500, { lastHandshake: 999_900 }));
  expect(counters.onlineNames()).toEqual(new Set(["a", "b"]));
  wait(100);
  expect(counters.onlineNames()).toEqual(new Set(["a"]));
  expect(counters.online("a")).toEqual({ "192.0.2.1": 1_000_000n });
  wait(100);
  expect(counters.onlineNames()).toEqual(new Set());
});
