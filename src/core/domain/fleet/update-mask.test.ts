import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { expect, test } from "vitest";
import { UpdateSubscriptionRequestSchema } from "../../../../gen/garrison/core/v1/subscriptions_pb.ts";
import { fieldsToChange } from "./update-mask.ts";

const changed = (request: MessageInitShape<typeof UpdateSubscriptionRequestSchema>) => [
  ...fieldsToChange(UpdateSubscriptionRequestSchema, create(UpdateSubscriptionRequestSchema, request)),
];

test("without a mask what is set is changed, whatever it is set to", () => {
  expect(changed({ id: 1n })).toEqual([]);
  expect(changed({ id: 1n, name: "", enabled: false, quotaBytes: 0n })).toEqual(["name", "enabled", "quotaBytes"]);
  expect(changed({ id: 1n, nodeProtocolIds: [] })).toEqual([]);
  expect(changed({ id: 1n, nodeProtocolIds: [1n] })).toEqual(["nodeProtocolIds"]);
});

test("a mask names what is changed, set or not", () => {
  expect(changed({ name: "a", updateMask: { paths: ["expires_at", "node_protocol_ids"] } })).toEqual([
    "expiresAt",
    "nodeProtocolIds",
  ]);
});

test.each(["id", "update_mask", "created_at", "*", "name.first"])("a mask cannot name %s", (path) => {
  expect(() => changed({ updateMask: { paths: [path] } })).toThrow(
    expect.objectContaining({ code: "FIELD_INVALID", message: expect.stringContaining(`"${path}" is none of name, `) }),
  );
});
