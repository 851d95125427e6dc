import type { User } from "../../../../gen/service/node_pb.ts";
import type { UsersOutcome } from "../engine.ts";
import type { XrayApi } from "./api.ts";
import type { ClientsOf, XrayConfig } from "./config.ts";
import type { Plan } from "./plan.ts";
import { canTakeSteps, takeSteps } from "./structure.ts";
import { diffStructure, type StructureStep } from "./structure-diff.ts";
import { readTypedConfig, type TypedConfig } from "./typed-config.ts";
import { UserTable } from "./users.ts";
import type { AccountChange } from "./users-diff.ts";

/** A way from the plan in force to another one that needs no restart. */
export interface LiveChange {
  /** In force when the way was taken. */
  readonly plan: Plan;
  /** What users still have to become then. */
  readonly changes: readonly AccountChange[];
  /** What is already known of them. */
  readonly outcome: UsersOutcome;
  /** Changes the structure of the running Xray. Throws {@link StepFailed}. */
  take(api: XrayApi): Promise<void>;
}

/**
 * Prepares the change to another config with these users: nothing is touched yet. Undefined when Xray would have to be
 * started again. Throws what `test` throws.
 */
export async function prepareLiveChange(
  before: Plan,
  config: XrayConfig,
  users: readonly User[],
  { test, timeoutMs }: { test: (plan: Plan, clientsOf: ClientsOf) => Promise<void>; timeoutMs: number },
): Promise<LiveChange | undefined> {
  const diff = diffStructure(before.config.parts, config.parts);
  if (diff === undefined) return undefined;
  const { steps, keptInbounds } = diff;
  const table = await UserTable.succeeding(before.table, config.inbounds, keptInbounds);
  const { changes, ...outcome } = await table.diff(users, true);
  const { along, behind } = split(changes, keptInbounds);
  // Those who did not fit would take minutes, one by one.
  if (behind.some(({ inbound }) => inbound.kind.rebuildsTable && !keptInbounds.has(inbound.tag))) return undefined;
  await table.settle(along);

  const plan = { ...before, config, table };
  const read = (of: Plan, part: "add" | "remove") => readParts(of, steps, part, timeoutMs);
  // Should an Xray that accepts the config fail to read it in this way, it is started again.
  const reading = read(plan, "add").catch(() => undefined);
  // Users who stay where they are were accepted before; to read tens of thousands of them again takes half a second.
  const clientsOf: ClientsOf = (inbound) => (keptInbounds.has(inbound.tag) ? [] : table.clientsOf(inbound));
  const testing = test(plan, clientsOf);
  const [after] = await Promise.all([reading, testing.catch(() => undefined)]);
  await testing;
  if (after === undefined || !canTakeSteps(steps, after)) return undefined;
  return {
    plan,
    changes: behind,
    outcome,
    take: (api) => takeSteps(api, steps, after, () => read(before, "remove")),
  };
}

/** Has Xray read what the steps add, or what they remove, with the users as they are in the plan's table. */
export function readParts(
  { program, config, table }: Plan,
  steps: readonly StructureStep[],
  part: "add" | "remove",
  timeoutMs: number,
): Promise<TypedConfig> {
  const tags = (kind: StructureStep["kind"]) =>
    new Set(steps.flatMap((step) => (step.kind === kind && "tag" in step ? [step.tag] : [])));
  const extract = {
    inbounds: tags(`${part}Inbound`),
    outbounds: tags(`${part}Outbound`),
    routing: steps.some(({ kind }) => kind === "setRouting"),
  };
  const document = config.renderExtract(extract, (inbound) => table.clientsOf(inbound));
  return readTypedConfig(program, document, timeoutMs);
}

/** Users of inbounds that are new come along with them, as many as fit into a message; the others behind them. */
function split(
  changes: readonly AccountChange[],
  kept: ReadonlySet<string>,
): { along: AccountChange[]; behind: AccountChange[] } {
  const along: AccountChange[] = [];
  const behind: AccountChange[] = [];
  const bytes = new Map<string, number>();
  for (const change of changes) {
    const { tag } = change.inbound;
    const { email = "", secret = "", detail = "" } = change.after ?? {};
    const total = (bytes.get(tag) ?? 0) + Buffer.byteLength(email + secret + detail) + bytesAroundUser;
    bytes.set(tag, total);
    const fits = !kept.has(tag) && total < largestUsersBytes;
    (fits ? along : behind).push(change);
  }
  return { along, behind };
}

/** Names of types and fields: 50 of Shadowsocks-2022, 39 of VLESS. */
const bytesAroundUser = 52;
/** Of the 4 MiB that Xray takes at once; the rest is for certificates and the like. */
const largestUsersBytes = 15 << 18;
