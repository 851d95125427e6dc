import { serveService } from "../../src/platform/rpc/served-service.ts";
import { Severity } from "../../test/rest/gen/garrison/resttest/v1/kinds_pb.ts";
import { ShelfService } from "../../test/rest/gen/garrison/resttest/v1/shelf_service_pb.ts";

/** What the REST routes of the bench answer: an item as JSON, as the contract prints it. */
export function itemOf(id: string) {
  return { id, name: "a thing", size: 123_456_789, severity: "high" };
}

/** A JSON API of which the bench gets items. */
export const itemService = serveService(ShelfService, {
  getItem: ({ id }) => ({ ...itemOf(id), size: 123_456_789n, severity: Severity.HIGH }),
});
