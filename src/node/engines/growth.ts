/**
 * What a counter that shows `bytes` has counted since it showed `seen`. One that went down began again behind our back:
 * all that it shows was counted since.
 */
export function growth(bytes: bigint, seen: bigint): bigint {
  return bytes >= seen ? bytes - seen : bytes;
}
