/** Gives so many random bytes, which nobody can guess. */
export type Random = (bytes: number) => Buffer;

/** A UUID of version 4, in lower case. */
export function randomUuid(random: Random): string {
  const bytes = random(16);
  bytes[6] = ((bytes[6] ?? 0) & 0x0f) | 0x40;
  bytes[8] = ((bytes[8] ?? 0) & 0x3f) | 0x80;
  return bytes.toString("hex").replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, "$1-$2-$3-$4-$5");
}

/** A range of IPv6 for addresses that are nobody else's (RFC 4193): 2^64 of them. */
export function randomUniqueLocal(random: Random): string {
  const [first, ...rest] = random(5);
  const groups = [Buffer.from([0xfd, first ?? 0]), Buffer.from(rest.slice(0, 2)), Buffer.from(rest.slice(2))];
  return `${groups.map((group) => group.readUInt16BE().toString(16)).join(":")}::/64`;
}
