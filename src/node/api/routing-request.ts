import { isIP } from "node:net";
import type { TestRouteRequest } from "../../../gen/service/node_pb.ts";

/** A request about routing is not complete, or not well-formed. The message says which field, and why. */
export class InvalidRoutingRequest extends Error {
  override readonly name = "InvalidRoutingRequest";
}

/** A field that must not be empty. */
export function required(field: string, value: string): string {
  if (value === "") throw new InvalidRoutingRequest(`${field} is required`);
  return value;
}

/** The connection that a request asks about. */
export function connectionOf(request: TestRouteRequest): TestRouteRequest {
  const { targetIp, targetPort } = request;
  if (targetIp !== "" && isIP(targetIp) === 0) {
    throw new InvalidRoutingRequest(`target_ip ${JSON.stringify(targetIp)} is not an IP address`);
  }
  if (targetPort > 65_535) throw new InvalidRoutingRequest(`target_port ${targetPort} is beyond 65535`);
  return request;
}
