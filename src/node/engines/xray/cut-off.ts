import { setTimeout as sleep } from "node:timers/promises";
import { create } from "@bufbuild/protobuf";
import {
  type KickedUser,
  KickedUserSchema,
  LeftAddressSchema,
  LeftReason,
} from "../../../../gen/garrison/node/v1/connections_pb.ts";
import type { ConnectionCutter } from "../sockets/connection-cutter.ts";
import type { CutTarget } from "../sockets/ss-filter.ts";
import type { XrayApi } from "./api.ts";
import type { Listener } from "./listeners.ts";
import type { Loss } from "./losses.ts";
import { readAddresses, readAllOnline } from "./online.ts";

/** The running Xray whose users lose something. */
export interface Scene {
  readonly api: XrayApi;
  /** Whether this user may connect to some inbound, now. */
  mayConnect(email: string): boolean;
  /** Whether this user may connect to some inbound that is not among these, now. */
  mayConnectBeside(email: string, listeners: readonly Listener[]): boolean;
}

/**
 * Cuts users off inbounds that they lose, and tells what became of those who are online. Works after they were removed,
 * too: Xray counts them for as long as their connections live. Costs Xray one call when none is online, else one for
 * each user who is, of all users: to find out who shares an address. Throws `EngineUnreachable`.
 */
export async function cutOff(losses: readonly Loss[], scene: Scene, cutter: ConnectionCutter): Promise<KickedUser[]> {
  const lost = new Map(losses.map(({ email, listeners }) => [email, listeners]));
  const online = await readOnlineOf(scene.api, [...lost.keys()]);
  const users = Array.from(online.keys(), (email) => create(KickedUserSchema, { email }));
  const spots = users.flatMap((user) =>
    (online.get(user.email) ?? []).map((address) => new Spot(user, address, lost.get(user.email) ?? [])),
  );
  const { inability } = cutter;
  if (inability !== undefined) {
    for (const spot of spots) spot.leave(LeftReason.NOT_ABLE, spot.free, inability);
    return users;
  }
  if (spots.length === 0) return users;
  await setSharedAside(spots, lost, scene, online);
  await cutSpots(spots, cutter);
  await findLeft(spots, lost, scene);
  return users;
}

/** A user at an address, and the inbounds that the user loses. */
class Spot {
  readonly user: KickedUser;
  readonly address: string;
  /** The inbounds of which nothing is told yet. */
  free: readonly Listener[];
  /** How many connections were cut. */
  cut = 0;

  constructor(user: KickedUser, address: string, lost: readonly Listener[]) {
    this.user = user;
    this.address = address;
    this.free = lost;
  }

  /** The connections to these inbounds are left. */
  leave(reason: LeftReason, listeners: readonly Listener[], detail = ""): void {
    if (listeners.length === 0) return;
    const inbounds = [...tagsOf(listeners)];
    this.user.left.push(create(LeftAddressSchema, { address: this.address, reason, inbounds, detail }));
    this.free = this.free.filter((listener) => !listeners.includes(listener));
  }

  targets(): CutTarget[] {
    const direct = this.free.flatMap(({ tcp, indirect }) => (tcp === undefined || indirect ? [] : [tcp]));
    return Array.from(
      Map.groupBy(direct, ({ localAddress }) => localAddress),
      ([localAddress, some]) => ({
        peer: this.address,
        ports: some.flatMap(({ ports }) => ports),
        localAddress,
      }),
    );
  }
}

/** Few users are asked for one by one: on a busy node the list of all is long. */
const fewUsers = 16;

async function readOnlineOf(api: XrayApi, emails: readonly string[]): Promise<Map<string, string[]>> {
  if (emails.length <= fewUsers) return readAddresses(api, emails);
  const all = await readAllOnline(api);
  return readAddresses(api, all === undefined ? emails : emails.filter((email) => all.has(email)));
}

/** Leaves inbounds at addresses that others are online from, who do not lose these inbounds themselves. */
async function setSharedAside(
  spots: readonly Spot[],
  lost: ReadonlyMap<string, readonly Listener[]>,
  { api, mayConnect }: Scene,
  online: ReadonlyMap<string, readonly string[]>,
): Promise<void> {
  const cuttable = new Set(spots.filter((spot) => spot.targets().length > 0).map(({ address }) => address));
  if (cuttable.size === 0) return;
  const all = await readAllOnline(api);
  if (all === undefined) {
    for (const spot of spots)
      spot.leave(LeftReason.FAILED, spot.free, "xray before 26.1.13 does not tell who is online");
    return;
  }
  const others = [...all].filter((email) => mayConnect(email) && !online.has(email));
  // By address, how many users are there who may connect, and how many of these lose an inbound: all are to lose it.
  const present = new Map(
    Array.from(cuttable, (address) => [address, { users: 0, losing: new Map<string, number>() }]),
  );
  for (const [email, from] of [...online, ...(await readAddresses(api, others))]) {
    if (!mayConnect(email)) continue;
    for (const address of from) {
      const there = present.get(address);
      if (there === undefined) continue;
      there.users += 1;
      for (const tag of tagsOf(lost.get(email))) there.losing.set(tag, (there.losing.get(tag) ?? 0) + 1);
    }
  }
  for (const spot of spots) {
    const there = present.get(spot.address);
    const isShared = ({ tag }: Listener) => there !== undefined && there.users > (there.losing.get(tag) ?? 0);
    spot.leave(LeftReason.SHARED_ADDRESS, spot.free.filter(isShared));
  }
}

/** An inbound that has changed stands there as it was, and as it is. */
function tagsOf(listeners: readonly Listener[] = []): Set<string> {
  return new Set(listeners.map(({ tag }) => tag));
}

async function cutSpots(spots: readonly Spot[], cutter: ConnectionCutter): Promise<void> {
  const targeted = spots.map((spot) => ({ spot, targets: spot.targets() })).filter(({ targets }) => targets.length > 0);
  if (targeted.length === 0) return;
  const { connections, failure } = await cutter.cut(targeted.flatMap(({ targets }) => targets));
  const byPeer = Map.groupBy(targeted, ({ spot }) => spot.address);
  for (const { peer, localPort } of connections) {
    const at = byPeer
      .get(peer)
      ?.find(({ targets }) =>
        targets.some(({ ports }) => ports.some(({ from, to }) => from <= localPort && localPort <= to)),
      );
    if (at === undefined) continue;
    at.spot.cut += 1;
    at.spot.user.cut += 1;
  }
  if (failure === undefined) return;
  for (const { spot } of targeted) spot.leave(LeftReason.FAILED, spot.free.filter(isDirect), failure);
}

/** Tells of what is still connected, or may be. */
async function findLeft(
  spots: readonly Spot[],
  lost: ReadonlyMap<string, readonly Listener[]>,
  { api, mayConnectBeside }: Scene,
): Promise<void> {
  const open = spots.filter(({ free }) => free.length > 0);
  // Those who are left somewhere, or may connect elsewhere, are online all the same.
  const isOnlineAnyway = ({ user, address }: Spot) =>
    user.left.some((left) => left.address === address) || mayConnectBeside(user.email, lost.get(user.email) ?? []);
  const { maybe = [], known = [] } = Object.groupBy(open, (spot) => (isOnlineAnyway(spot) ? "maybe" : "known"));
  for (const spot of maybe) if (spot.cut === 0) leaveUncuttable(spot);
  for (const spot of await stillOnline(api, known)) {
    const { free } = spot;
    leaveUncuttable(spot);
    if (spot.cut === 0 && spot.free === free) spot.leave(LeftReason.NOT_A_DIRECT_PEER, free);
  }
}

function leaveUncuttable(spot: Spot): void {
  spot.leave(
    LeftReason.UDP_NOT_SUPPORTED,
    spot.free.filter(({ udp }) => udp),
  );
  spot.leave(
    LeftReason.NOT_A_DIRECT_PEER,
    spot.free.filter(({ indirect }) => indirect),
  );
}

/** Who is online from where they were a moment ago: Xray notices within milliseconds that a connection was cut. */
async function stillOnline(api: XrayApi, spots: readonly Spot[]): Promise<readonly Spot[]> {
  let rest = spots;
  for (const delayMs of noticeMs) {
    if (rest.length === 0) break;
    await sleep(delayMs);
    const now = await readAddresses(api, new Set(rest.map(({ user }) => user.email)));
    rest = rest.filter(({ user, address }) => now.get(user.email)?.includes(address));
  }
  return rest;
}

const noticeMs = [5, 15, 30, 50, 100, 200];

function isDirect({ tcp, indirect }: Listener): boolean {
  return tcp !== undefined && !indirect;
}
