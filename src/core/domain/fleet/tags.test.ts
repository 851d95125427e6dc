import { expect, test } from "vitest";
import { checkTag } from "./tags.ts";

test.each(["api", "API", "Api_Inbound", "garrison-x", "GARRISON-"])("the tag %s is the node's", (tag) => {
  expect(() => checkTag(tag)).toThrow(expect.objectContaining({ code: "TAG_RESERVED" }));
});
test.each(["api-eu", "direct", "garrison"])("the tag %s is anyone's", (tag) =>
  expect(() => checkTag(tag)).not.toThrow(),
);
