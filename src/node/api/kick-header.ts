import type { KickedUser } from "../../../gen/garrison/node/v1/connections_pb.ts";
import { type KickResult, nameOfReason } from "../runtime/kick-result.ts";

/** The header of a reply that tells what became of the connections of users who lost an inbound. */
export const kickHeader = "garrison-kick";

/** Waits for some results and sets the header, unless none of these users was online. */
export async function tellKicks(header: Headers, kicks: readonly (Promise<KickResult> | undefined)[]): Promise<void> {
  const text = kickText((await Promise.all(kicks)).filter((result) => result !== undefined));
  if (text !== undefined) header.set(kickHeader, text);
}

/** The header's value, with as many users as fit. Undefined when there is nothing to tell. */
export function kickText(results: readonly KickResult[]): string | undefined {
  const responses = results.flatMap((result) => (result.kind === "done" ? [result.response] : []));
  const failed = results.find((result) => result.kind === "failed");
  const pending = results.some(({ kind }) => kind === "pending");
  const users = responses.flatMap((response) => response.users).sort((a, b) => b.left.length - a.left.length);
  if (users.length === 0 && !pending && failed === undefined) return undefined;
  const sum = (count: (response: (typeof responses)[number]) => number) =>
    responses.reduce((total, response) => total + count(response), 0);
  const counts = { cut: sum(({ cut }) => cut), left: sum(({ left }) => left) };
  const rest = { ...(pending && { pending }), ...(failed && { failed: failed.reason.slice(0, longestReason) }) };
  const entries: string[] = [];
  let room = mostBytes - ascii({ ...counts, users: [], more: users.length, ...rest }).length;
  for (const user of users) {
    const entry = ascii(entryOf(user));
    room -= entry.length + 1;
    if (room < 0) break;
    entries.push(entry);
  }
  const more = users.length - entries.length;
  const text = ascii({ ...counts, users: [], ...(more > 0 && { more }), ...rest });
  return text.replace('"users":[]', () => `"users":[${entries.join()}]`);
}

const mostBytes = 2_048;
const longestReason = 200;

function entryOf({ email, cut, left }: KickedUser): object {
  return { email, cut, left: left.map(({ address, reason }) => [address, nameOfReason(reason)]) };
}

function ascii(value: object): string {
  return JSON.stringify(value).replace(
    /[^\x20-\x7e]/g,
    (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
}
