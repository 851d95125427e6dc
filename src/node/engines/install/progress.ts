/** Shows somebody how far a long work is. */
export interface Progress {
  /** A line that stays. */
  note(text: string): void;
  /** How far it is now; replaces what was shown before. */
  update(text: string): void;
}

/** A size for the eye: `31.4 MiB`. */
export function mebibytes(bytes: number): string {
  return `${(bytes / 1_048_576).toFixed(1)} MiB`;
}
