import { create } from "@bufbuild/protobuf";
import {
  AddUserOperationSchema,
  AlterInboundRequestSchema,
  HandlerService,
  RemoveUserOperationSchema,
} from "../../../../gen/xray/app/proxyman/command/command_pb.ts";
import { UserSchema } from "../../../../gen/xray/common/protocol/user_pb.ts";
import { TypedMessageSchema } from "../../../../gen/xray/common/serial/typed_message_pb.ts";
import type { RejectedUser } from "../engine.ts";
import { EngineNotRunning, EngineUnreachable } from "../engine-error.ts";
import type { Account } from "./accounts.ts";
import { isRefusal, type XrayApi, XrayRefusal } from "./api.ts";
import type { UserInbound } from "./config.ts";
import { createEncoder } from "./encoder.ts";
import type { UserTable } from "./users.ts";
import { type AccountChange, leavesIdentity } from "./users-diff.ts";

/**
 * Applies changes to the running Xray and notes in the table what it holds then. One user's steps follow one another,
 * different users go together. Returns the users that Xray refused; throws {@link EngineUnreachable} when it stopped
 * answering or failed in a way that no user is to blame for, and {@link EngineNotRunning} when the signal is aborted.
 */
export async function applyChanges(
  api: XrayApi,
  table: UserTable,
  changes: readonly AccountChange[],
  signal: AbortSignal,
): Promise<RejectedUser[]> {
  const rejected: RejectedUser[] = [];
  const waiting: AccountChange[] = [];
  const steps = new Steps(api, table);
  const takesOver = takeovers(changes);
  const attempt = async (change: AccountChange, work: (change: AccountChange) => Promise<void>) => {
    if (signal.aborted) throw new EngineNotRunning("xray is being stopped");
    try {
      await work(change);
    } catch (error) {
      if (!(error instanceof XrayRefusal)) throw error;
      const email = (change.after ?? change.before)?.email ?? "";
      rejected.push({ email, inbound: change.inbound.tag, reason: error.message });
    }
  };
  const add = async ({ inbound, after }: AccountChange) => {
    if (after !== undefined) await steps.add(inbound, after);
  };
  const removeAndAdd = async (change: AccountChange) => {
    const { inbound, before, after } = change;
    if (before !== undefined) await steps.remove(inbound, before);
    // One that is only set again stays in the table: should Xray go away now, it comes back with it.
    if (before !== undefined && before !== after) table.removed(inbound, before);
    if (takesOver(change)) waiting.push(change);
    else await add(change);
  };

  await inParallel(changes, (change) => attempt(change, removeAndAdd));
  await inParallel(waiting, (change) => attempt(change, add));
  return rejected;
}

// Calls in flight at once. Those that come anew come together: they leave in one write, which Xray wakes up for once.
const mostCalls = 128;
const fewCalls = 64;

const alterInbound = createEncoder(AlterInboundRequestSchema);
const addUser = createEncoder(AddUserOperationSchema);
const removeUser = createEncoder(RemoveUserOperationSchema);

class Steps {
  readonly #api: XrayApi;
  readonly #table: UserTable;

  constructor(api: XrayApi, table: UserTable) {
    this.#api = api;
    this.#table = table;
  }

  /** Takes an account away, also one that is not there. */
  async remove(inbound: UserInbound, account: Account): Promise<void> {
    try {
      await this.#alter(inbound, RemoveUserOperationSchema.typeName, removeUser({ email: account.email }));
    } catch (error) {
      if (!isRefusal(error, /User .* not found/)) throw error;
    }
  }

  /** Adds an account, in place of one with the same e-mail that should not be there. */
  async add(inbound: UserInbound, account: Account): Promise<void> {
    try {
      await this.#insert(inbound, account).catch(async (error: unknown) => {
        if (!isRefusal(error, /User .* already exists/)) throw error;
        await this.remove(inbound, account);
        await this.#insert(inbound, account);
      });
      this.#table.added(inbound, account);
    } catch (error) {
      if (error instanceof XrayRefusal) this.#table.removed(inbound, account);
      else this.#table.doubted(inbound, account);
      throw error;
    }
  }

  #insert(inbound: UserInbound, account: Account): Promise<void> {
    const user = create(UserSchema, { email: account.email, account: inbound.kind.message(account) });
    return this.#alter(inbound, AddUserOperationSchema.typeName, addUser({ user }));
  }

  async #alter({ tag }: UserInbound, type: string, value: Uint8Array): Promise<void> {
    try {
      const operation = create(TypedMessageSchema, { type, value });
      await this.#api.exchange(HandlerService.method.alterInbound, alterInbound({ tag, operation }));
    } catch (error) {
      if (isRefusal(error, /handler not found|not a UserManager|unknown operation/)) {
        throw new EngineUnreachable(`inbound ${tag}: ${error.message}`);
      }
      throw error;
    }
  }
}

/**
 * Whether a change gives an account the identity that another account leaves in this batch. Xray would take both away
 * when the other one goes, so that it must have gone before.
 */
function takeovers(changes: readonly AccountChange[]): (change: AccountChange) => boolean {
  const key = ({ tag, kind }: UserInbound, account: Account) => `${tag}\n${kind.identity(account)}`;
  const leaving = new Set(
    changes.filter(leavesIdentity).flatMap(({ inbound, before }) => (before ? [key(inbound, before)] : [])),
  );
  return ({ inbound, after }) => after !== undefined && leaving.size > 0 && leaving.has(key(inbound, after));
}

/** Stops beginning new work at the first failure, and throws it when what was begun has ended. */
function inParallel<T>(items: readonly T[], work: (item: T) => Promise<void>): Promise<void> {
  return new Promise((resolve, reject) => {
    let next = 0;
    let running = 0;
    let failure: { readonly error: unknown } | undefined;
    const goOn = () => {
      while (running < mostCalls && next < items.length && failure === undefined) {
        const item = items[next++] as T; // it is there
        running += 1;
        work(item).then(ended, (error: unknown) => {
          failure ??= { error };
          ended();
        });
      }
      if (running > 0) return;
      if (failure === undefined) resolve();
      else reject(failure.error);
    };
    const ended = () => {
      running -= 1;
      if (running <= fewCalls) goOn();
    };
    goOn();
  });
}
