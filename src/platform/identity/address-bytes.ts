import { isIP } from "node:net";

/** The 4 or 16 bytes of an IP address. A zone is left out. Throws a RangeError for anything else. */
export function addressBytes(address: string): Buffer {
  switch (isIP(address)) {
    case 4:
      return Buffer.from(address.split(".").map(Number));
    case 6:
      return ipv6Bytes(address);
    default:
      throw new RangeError(`not an IP address: ${JSON.stringify(address)}`);
  }
}

function ipv6Bytes(address: string): Buffer {
  // The URL parser knows every spelling and answers with one: lower case, `::` for the longest run of zeros, no zone.
  const [left = "", right] = new URL(`http://[${address.replace(/%.*/, "")}]`).hostname.slice(1, -1).split("::");
  const head = groupsOf(left);
  const tail = right === undefined ? [] : groupsOf(right);
  const groups = [...head, ...new Array<number>(8 - head.length - tail.length).fill(0), ...tail];
  return Buffer.from(groups.flatMap((group) => [group >> 8, group & 0xff]));
}

function groupsOf(text: string): number[] {
  return text === "" ? [] : text.split(":").map((group) => Number.parseInt(group, 16));
}
