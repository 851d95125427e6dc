/** The key of the node with this number. */
export function benchKey(node: number): string {
  return `nk_${`${node}`.padStart(43, "0")}`;
}
