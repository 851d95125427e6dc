/** Whether a version, such as `1.4.0` or `1.4.0-rc.1`, comes before another one. What is no version does not. */
export function isOlder(version: string, than: string): boolean {
  const [one, other] = [partsOf(version), partsOf(than)];
  if (one === undefined || other === undefined) return false;
  for (const [place, part] of one.numbers.entries()) {
    const difference = part - (other.numbers[place] ?? 0);
    if (difference !== 0) return difference < 0;
  }
  return one.isEarly && !other.isEarly;
}

function partsOf(version: string): { readonly numbers: readonly number[]; readonly isEarly: boolean } | undefined {
  const [, major, minor, patch, early] = /^v?(\d+)\.(\d+)\.(\d+)(-[\w.-]+)?(?:\+[\w.-]+)?$/.exec(version) ?? [];
  if (major === undefined) return undefined;
  return { numbers: [major, minor, patch].map(Number), isEarly: early !== undefined };
}
