import { Invalid } from "./situations.ts";

/** Refuses tags that the agent needs for itself: {@link Invalid} with TAG_RESERVED. */
export function checkTag(tag: string): void {
  const lower = tag.toLowerCase();
  if (lower === "api" || lower === "api_inbound" || lower.startsWith("garrison-")) {
    throw new Invalid("TAG_RESERVED", `the tag ${tag} is reserved for the node itself: choose another one`);
  }
}
