/**
 * Makes names of endpoints fit to be shown, and unlike each other: what would break a line becomes a space, and who
 * comes second to a name gets a number behind it. Programs know some names as their own: these count as taken.
 */
export function createEndpointNames(): (wanted: string) => string {
  const taken = new Set(reserved);
  return (wanted) => {
    const name = clean(wanted);
    let unique = name;
    for (let number = 2; taken.has(unique.toLowerCase()); number++) unique = `${name} ${number}`;
    taken.add(unique.toLowerCase());
    return unique;
  };
}

/** The names of groups in documents: nothing else is named so. */
export const groupNames = { chosen: "Proxy", fastest: "Fastest" } as const;

const reserved = [
  ...Object.values(groupNames).map((name) => name.toLowerCase()),
  ...["direct", "reject", "reject-drop", "pass", "compatible", "global"],
];

function clean(name: string): string {
  return (
    name
      .toWellFormed()
      .replace(/[\p{Cc}\p{Zl}\p{Zp}\p{Zs}\ufeff\ufffe\uffff]+/gu, " ")
      .trim() || "?"
  );
}
