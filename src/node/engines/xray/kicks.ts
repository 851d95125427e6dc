import { create } from "@bufbuild/protobuf";
import {
  type KickedUser,
  type KickUsersResponse,
  KickUsersResponseSchema,
} from "../../../../gen/garrison/node/v1/connections_pb.ts";
import type { ConnectionCutter } from "../sockets/connection-cutter.ts";
import { cutOff, type Scene } from "./cut-off.ts";
import type { Loss } from "./losses.ts";

/** Cuts users off inbounds that they lose, together with all others who lose some while it is at it. */
export class Kicks {
  readonly #cutter: ConnectionCutter;
  #waiting: Kick[] = [];
  #isBusy = false;

  constructor(cutter: ConnectionCutter) {
    this.#cutter = cutter;
  }

  /** Rejects with `EngineUnreachable` when Xray goes away meanwhile. */
  kick(losses: readonly Loss[], scene: Scene): Promise<KickUsersResponse> {
    const { promise, resolve, reject } = Promise.withResolvers<KickUsersResponse>();
    this.#waiting.push({ losses, scene, resolve, reject });
    if (!this.#isBusy) void this.#work();
    return promise;
  }

  async #work(): Promise<void> {
    this.#isBusy = true;
    while (this.#waiting.length > 0) {
      const kicks = this.#waiting;
      this.#waiting = [];
      for (const together of Map.groupBy(kicks, ({ scene }) => scene.api).values()) await this.#runAll(together);
    }
    this.#isBusy = false;
  }

  async #runAll(kicks: readonly Kick[]): Promise<void> {
    const [first] = kicks;
    if (first === undefined) return;
    try {
      const users = await cutOff(merged(kicks), first.scene, this.#cutter);
      const byEmail = new Map(users.map((user) => [user.email, user]));
      for (const { losses, resolve } of kicks) {
        // One who is in several is told of in the first alone, so that nothing is counted twice.
        const own = losses.flatMap(({ email }) => byEmail.get(email) ?? []);
        for (const { email } of own) byEmail.delete(email);
        resolve(responseOf(own));
      }
    } catch (error) {
      for (const { reject } of kicks) reject(error);
    }
  }
}

interface Kick {
  readonly losses: readonly Loss[];
  readonly scene: Scene;
  readonly resolve: (response: KickUsersResponse) => void;
  readonly reject: (error: unknown) => void;
}

function merged(kicks: readonly Kick[]): Loss[] {
  const losses = Map.groupBy(
    kicks.flatMap((kick) => kick.losses),
    ({ email }) => email,
  );
  return Array.from(losses, ([email, some]) => ({
    email,
    listeners: [...new Set(some.flatMap(({ listeners }) => listeners))],
  }));
}

function responseOf(users: KickedUser[]): KickUsersResponse {
  const total = (count: (user: KickedUser) => number) => users.reduce((sum, user) => sum + count(user), 0);
  return create(KickUsersResponseSchema, {
    cut: total(({ cut }) => cut),
    left: total(({ left }) => left.length),
    users,
  });
}
