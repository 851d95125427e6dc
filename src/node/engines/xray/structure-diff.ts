import type { ConfigParts, HandlerPart } from "./config-parts.ts";

/** What turns one config into another while Xray runs. */
export interface StructureDiff {
  /** In the order in which they must be taken. */
  readonly steps: readonly StructureStep[];
  /** Tags of inbounds that stay, with their users. */
  readonly keptInbounds: ReadonlySet<string>;
}

/** One call of Xray's API. What is removed is so as the config before has it, what is added as the one after has it. */
export type StructureStep = HandlerStep | { readonly kind: "setRouting" };

interface HandlerStep {
  readonly kind: "addInbound" | "removeInbound" | "addOutbound" | "removeOutbound";
  readonly tag: string;
}

/**
 * The steps from one config to another. Undone from the last to the first they lead back. Undefined when Xray would
 * have to be started again.
 */
export function diffStructure(before: ConfigParts, after: ConfigParts): StructureDiff | undefined {
  if (before.fixed !== after.fixed) return undefined;
  const inbounds = diffHandlers(before.inbounds, after.inbounds);
  const outbounds = diffHandlers(before.outbounds, after.outbounds);
  const defaults = diffDefault(before.outbounds, after.outbounds);
  if (inbounds === undefined || outbounds === undefined || defaults === undefined) return undefined;
  const isRouted = before.routing !== after.routing;
  // The way back must be open, too.
  if (isRouted && !(before.routable && after.routable)) return undefined;

  const moved = new Set(defaults.map(({ tag }) => tag));
  const rest = (tags: readonly string[]) => tags.filter((tag) => !moved.has(tag));
  const steps: StructureStep[] = [
    // What rules lead to must be there before them, and stay as long as they do.
    ...rest(outbounds.added).map((tag) => ({ kind: "addOutbound", tag }) as const),
    ...rest(outbounds.changed).flatMap((tag) => replaceOutbound(tag)),
    ...defaults,
    ...(isRouted ? [{ kind: "setRouting" } as const] : []),
    ...rest(outbounds.removed).map((tag) => ({ kind: "removeOutbound", tag }) as const),
    // All leave before one comes: it may take the port of another.
    ...[...inbounds.removed, ...inbounds.changed].map((tag) => ({ kind: "removeInbound", tag }) as const),
    ...[...inbounds.changed, ...inbounds.added].map((tag) => ({ kind: "addInbound", tag }) as const),
  ];
  return { steps, keptInbounds: new Set(inbounds.kept) };
}

interface HandlersDiff {
  readonly kept: string[];
  readonly removed: string[];
  readonly changed: string[];
  readonly added: string[];
}

/** Undefined when one that changes is not movable. */
function diffHandlers(before: readonly HandlerPart[], after: readonly HandlerPart[]): HandlersDiff | undefined {
  const nameless = (parts: readonly HandlerPart[]) => parts.filter(({ tag }) => tag === "").map(({ text }) => text);
  if (nameless(before).join("\n") !== nameless(after).join("\n")) return undefined;
  const [old, now] = [byTag(before), byTag(after)];
  const diff: HandlersDiff = { kept: [], removed: [], changed: [], added: [] };
  for (const [tag, part] of old) {
    const next = now.get(tag);
    if (next?.text === part.text) {
      diff.kept.push(tag);
      continue;
    }
    if (!part.movable || next?.movable === false) return undefined;
    (next === undefined ? diff.removed : diff.changed).push(tag);
  }
  for (const [tag, part] of now) {
    if (old.has(tag)) continue;
    if (!part.movable) return undefined;
    diff.added.push(tag);
  }
  return diff;
}

/**
 * The steps that make another outbound the default one: it is the first to be added while there is none. Undefined
 * when one of the two is not movable.
 */
function diffDefault(before: readonly HandlerPart[], after: readonly HandlerPart[]): HandlerStep[] | undefined {
  const [old, now] = [before[0], after[0]];
  if (old === undefined || now === undefined || old.tag === now.tag) return [];
  if (!old.movable || !now.movable) return undefined;
  const steps: HandlerStep[] = [];
  // The default goes after the other one, so that it comes back before it when this is undone.
  if (before.some(({ tag }) => tag === now.tag)) steps.push({ kind: "removeOutbound", tag: now.tag });
  steps.push({ kind: "removeOutbound", tag: old.tag }, { kind: "addOutbound", tag: now.tag });
  if (after.some(({ tag }) => tag === old.tag)) steps.push({ kind: "addOutbound", tag: old.tag });
  return steps;
}

function replaceOutbound(tag: string): HandlerStep[] {
  return [
    { kind: "removeOutbound", tag },
    { kind: "addOutbound", tag },
  ];
}

function byTag(parts: readonly HandlerPart[]): Map<string, HandlerPart> {
  return new Map(parts.filter(({ tag }) => tag !== "").map((part) => [part.tag, part]));
}
