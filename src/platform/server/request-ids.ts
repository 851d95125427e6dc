import { randomBytes } from "node:crypto";

const accepted = /^[\w.-]{1,64}$/;

/**
 * Makes the source of request ids: the caller's own when it is short and harmless, else a random prefix per process
 * with a counter, which is unique enough to find a call in the logs and costs nothing.
 */
export function createRequestIds(prefix: string = randomBytes(6).toString("hex")): (given: unknown) => string {
  let count = 0;
  return (given) => {
    if (typeof given === "string" && accepted.test(given)) return given;
    count += 1;
    return `${prefix}-${count.toString(36)}`;
  };
}
