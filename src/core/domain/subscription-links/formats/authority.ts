import { isIPv6 } from "node:net";
import type { Endpoint } from "../endpoint.ts";

/** Host and port of an endpoint, as they stand together: IPv6 in brackets. */
export function authority({ host, port }: Pick<Endpoint, "host" | "port">): string {
  return isIPv6(host) ? `[${host}]:${port}` : `${host}:${port}`;
}
