/**
 * Makes names of endpoints fit to be shown, and unlike each other: what would break a line becomes a space, and who
 * comes second to a name gets a number behind it. Programs know some names as their own: these count as taken.
 */
export function createEndpointNames(): (wanted: string) => string {
  const taken = new Set(reserved);
  // Where counting goes on: thousands may want one name.
  const lastNumbers = new Map<string, number>();
  return (wanted) => {
    const name = clean(wanted);
    const key = name.toLowerCase();
    let number = (lastNumbers.get(key) ?? 0) + 1;
    while (taken.has(numbered(key, number))) number += 1;
    taken.add(numbered(key, number));
    lastNumbers.set(key, number);
    return numbered(name, number);
  };
}

/** The names of groups in documents: nothing else is named so. */
export const groupNames = { chosen: "Proxy", fastest: "Fastest" } as const;

const reserved = [
  ...Object.values(groupNames).map((name) => name.toLowerCase()),
  ...["direct", "reject", "reject-drop", "pass", "compatible", "global"],
];

function numbered(name: string, number: number): string {
  return number === 1 ? name : `${name} ${number}`;
}

function clean(name: string): string {
  // Most are, and all classes of Unicode take ten times as long.
  if (isPlain.test(name)) return name;
  return (
    name
      .toWellFormed()
      .replace(/[\p{Cc}\p{Zl}\p{Zp}\p{Zs}\ufeff\ufffe\uffff]+/gu, " ")
      .trim() || "?"
  );
}

/** Letters, digits and signs of ASCII, with single spaces between them. */
const isPlain = /^[!-~]+(?: [!-~]+)*$/;
