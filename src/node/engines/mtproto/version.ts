/** The oldest telemt that can be driven: the first that ends the connections of users who are disabled. */
const oldest = [3, 4, 14];

/** Why this version of telemt cannot be driven. Undefined when it can. */
export function whyUnsupported(version: string): string | undefined {
  const parts = /^v?(\d+)\.(\d+)\.(\d+)/.exec(version)?.slice(1).map(Number);
  if (parts === undefined) return `telemt says that its version is ${JSON.stringify(version)}`;
  const difference = parts.map((part, index) => part - (oldest[index] ?? 0)).find((each) => each !== 0) ?? 0;
  return difference < 0 ? `telemt ${version} is too old: ${oldest.join(".")} or newer is needed` : undefined;
}
