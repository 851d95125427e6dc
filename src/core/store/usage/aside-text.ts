import type { Aside } from "../../domain/usage/usage-store.ts";

/** An entry as JSON, to be looked at later: long texts are cut. */
export function asideText(entry: Aside["entry"]): string {
  return JSON.stringify(entry, (name, value: unknown) => {
    if (name === "$typeName" || name === "$unknown") return undefined;
    if (typeof value === "bigint") return exact(value);
    return typeof value === "string" && value.length > longest ? `${value.slice(0, longest).toWellFormed()}…` : value;
  });
}

function exact(value: bigint): unknown {
  return Number.isSafeInteger(Number(value)) ? Number(value) : value.toString();
}

const longest = 128;
