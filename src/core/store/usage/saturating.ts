/** SQL for a counter after something was added to it. One that is full stays full, instead of failing for ever. */
export function added(counter: string, more: string): string {
  return `case when ${counter} > ${most} - ${more} then ${most} else ${counter} + ${more} end`;
}

/** 2^63 - 1 */
const most = "9223372036854775807";
