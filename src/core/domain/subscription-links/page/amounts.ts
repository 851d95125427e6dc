/** Bytes as people read them, such as `1.5 GiB`. */
export function amountOf(bytes: bigint): string {
  let unit = 0;
  let value = Number(bytes);
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024;
    unit += 1;
  }
  const digits = unit === 0 || value >= 100 ? 0 : value >= 10 ? 1 : 2;
  return `${value.toFixed(digits)} ${units[unit]}`;
}

const units = ["bytes", "KiB", "MiB", "GiB", "TiB", "PiB"];

/** How far off a time is, such as `14 days`. Both in milliseconds since 1970. */
export function distanceOf(to: number, now: number): string {
  const hours = Math.max(0, Math.floor((to - now) / 3_600_000));
  if (hours >= 48) return `${Math.floor(hours / 24)} days`;
  if (hours >= 2) return `${hours} hours`;
  return hours === 1 ? "1 hour" : "less than an hour";
}
