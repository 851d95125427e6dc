import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { expect, it } from "vitest";
import { TestRouteRequestSchema } from "../../../gen/service/node_pb.ts";
import { connectionOf, InvalidRoutingRequest, required } from "./routing-request.ts";

const read = (request: MessageInitShape<typeof TestRouteRequestSchema>) =>
  connectionOf(create(TestRouteRequestSchema, request));

it.each(["", "192.0.2.1", "2001:db8::1"])("an address may be %j", (targetIp) => {
  expect(read({ targetIp, targetPort: 65_535 })).toMatchObject({ targetIp, targetPort: 65_535 });
});

it.each([
  [{ targetIp: "192.0.2" }, 'target_ip "192.0.2" is not an IP address'],
  [{ targetIp: "[::1]" }, 'target_ip "[::1]" is not an IP address'],
  [{ targetIp: "example.org" }, 'target_ip "example.org" is not an IP address'],
  [{ targetPort: 65_536 }, "target_port 65536 is beyond 65535"],
])("%j is refused", (request, sentence) => {
  expect(() => read(request)).toThrow(new InvalidRoutingRequest(sentence));
});

it("a required field must not be empty", () => {
  expect(required("tag", "a")).toBe("a");
  expect(() => required("tag", "")).toThrow(new InvalidRoutingRequest("tag is required"));
});
