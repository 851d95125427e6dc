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
    let number = lastNumbers.get(name.toLowerCase()) ?? 1;
    let unique = numbered(name, number);
    while (taken.has(unique.toLowerCase())) unique = numbered(name, ++number);
    taken.add(unique.toLowerCase());
    lastNumbers.set(name.toLowerCase(), number);
    return unique;
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
  return (
    name
      .toWellFormed()
      .replace(/[\p{Cc}\p{Zl}\p{Zp}\p{Zs}\ufeff\ufffe\uffff]+/gu, " ")
      .trim() || "?"
  );
}
