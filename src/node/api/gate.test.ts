import { Code, createContextValues } from "@connectrpc/connect";
import { describe, expect, it } from "vitest";
import { kPeer } from "../../platform/rpc/call-context.ts";
import { PublicError } from "../../platform/rpc/public-error.ts";
import { parseUuid } from "./api-key.ts";
import { createNodeGate } from "./gate.ts";

const right = "0b1c2d3e-4f50-6172-8394-a5b6c7d8e9f0";
const other = "11111111-4f50-6172-8394-a5b6c7d8e9f0";

function gateFor(clock = { ms: 0 }) {
  const gate = createNodeGate({ key: parseUuid(right) ?? new Uint8Array(16), now: () => clock.ms });
  return async (header: Record<string, string>, address = "192.0.2.1"): Promise<PublicError | undefined> => {
    const values = createContextValues().set(kPeer, { address, secure: true, trust: () => undefined });
    try {
      await gate({ header: new Headers(header), values, path: "/info" });
    } catch (error) {
      if (error instanceof PublicError) return error;
      throw error;
    }
  };
}

describe("createNodeGate", () => {
  it.each<[string, Record<string, string>]>([
    ["the key", { "x-api-key": right }],
    ["upper case", { "x-api-key": right.toUpperCase() }],
    ["no hyphens", { "x-api-key": right.replaceAll("-", "") }],
    ["braces", { "x-api-key": `{${right}}` }],
    ["urn:uuid", { "x-api-key": `urn:uuid:${right}` }],
    ["the first of several values", { "x-api-key": `${right}, ${other}` }],
    ["a Bearer", { authorization: `Bearer ${right}` }],
    ["a Bearer in other spellings", { authorization: `bearer  {${right.toUpperCase()}}` }],
    ["a Bearer beside an empty x-api-key", { "x-api-key": "", authorization: `Bearer ${right}` }],
    ["x-api-key beside a wrong Bearer", { "x-api-key": right, authorization: `Bearer ${other}` }],
  ])("admits %s", async (_, header) => {
    expect(await gateFor()(header)).toBeUndefined();
  });

  it.each<[string, Record<string, string>, Code, number, string]>([
    ["nothing", {}, Code.Unauthenticated, 401, "missing x-api-key header"],
    ["an empty key", { "x-api-key": " " }, Code.Unauthenticated, 401, "missing x-api-key header"],
    ["no UUID", { "x-api-key": "abc" }, Code.InvalidArgument, 422, "invalid api key format: must be a valid UUID"],
    ["a wrong key", { "x-api-key": other }, Code.PermissionDenied, 403, "api key mismatch"],
    ["a wrong first value", { "x-api-key": `${other}, ${right}` }, Code.PermissionDenied, 403, "api key mismatch"],
    ["the nil UUID", { "x-api-key": "0".repeat(32) }, Code.PermissionDenied, 403, "api key mismatch"],
    [
      "a wrong x-api-key beside a right Bearer",
      { "x-api-key": other, authorization: `Bearer ${right}` },
      Code.PermissionDenied,
      403,
      "api key mismatch",
    ],
  ])("refuses %s as the original does", async (_, header, code, status, text) => {
    expect(await gateFor()(header)).toMatchObject({ code, httpStatus: status, rawMessage: text });
  });

  it.each([`Bearer ${other}`, "Bearer abc", "Bearer", "Bearer ", `Basic ${right}`, right, ""])(
    "refuses the authorization %j with 401",
    async (authorization) => {
      expect(await gateFor()({ authorization })).toMatchObject({ code: Code.Unauthenticated, httpStatus: 401 });
    },
  );

  it("limits failures by address, and no one who has the key", async () => {
    const clock = { ms: 0 };
    const ask = gateFor(clock);
    const refusals = await Promise.all(Array.from({ length: 150 }, () => ask({ "x-api-key": other })));
    expect(refusals.slice(0, 100).every((refusal) => refusal?.httpStatus === 403)).toBe(true);
    expect(refusals.slice(100).every((refusal) => refusal?.httpStatus === 429)).toBe(true);
    expect(refusals.at(-1)?.code).toBe(Code.ResourceExhausted);
    expect(refusals.at(-1)?.metadata.get("retry-after")).toBe("1");
    expect(await ask({ "x-api-key": right })).toBeUndefined();
    expect((await ask({ "x-api-key": other }, "192.0.2.2"))?.httpStatus).toBe(403);
    clock.ms += 1_000;
    expect((await ask({ "x-api-key": other }))?.httpStatus).toBe(403);
  });

  it("never limits successes", async () => {
    const ask = gateFor();
    const answers = await Promise.all(Array.from({ length: 1_000 }, () => ask({ "x-api-key": right })));
    expect(answers.every((answer) => answer === undefined)).toBe(true);
  });
});
