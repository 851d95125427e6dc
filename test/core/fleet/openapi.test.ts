import { Validator } from "@seriousme/openapi-schema-validator";
import { afterAll, beforeAll, expect, test } from "vitest";
import { type FleetUnderTest, serveFleetUnderTest } from "./fleet-under-test.ts";

let fleet: FleetUnderTest;
beforeAll(async () => {
  fleet = await serveFleetUnderTest("sqlite");
});
afterAll(() => fleet.close());

test("the fleet API describes itself in valid OpenAPI", async () => {
  const { key } = await fleet.caller("rest", "*");
  const response = await fetch(`${fleet.url}/openapi.json`, { headers: { authorization: `Bearer ${key}` } });
  const document = (await response.json()) as { paths: Record<string, Record<string, object>> };
  expect(await new Validator().validate(structuredClone(document))).toMatchObject({ valid: true });
  const routes = Object.values(document.paths).flatMap((path) => Object.keys(path));
  expect(routes.length).toBeGreaterThanOrEqual(49);
  expect(document.paths["/api/v1/nodes/{id}:sync"]).toHaveProperty("post");
});

test("in REST, answers and errors have the documented form, byte for byte", async () => {
  const { key } = await fleet.caller("rest", "*");
  const send = async (verb: string, path: string, body?: string) => {
    const headers = { authorization: `Bearer ${key}`, "x-request-id": "r-1" };
    const response = await fetch(fleet.url + path, { method: verb, headers, ...(body !== undefined && { body }) });
    return `${response.status} ${await response.text()}`;
  };
  expect(await send("POST", "/api/v1/users", '{"name":"Zoë","unknown":1}')).toBe(
    '201 {"ok":true,"data":{"id":1,"name":"Zoë","note":"","enabled":true,"createdAt":"2026-11-21T12:00:00Z"}}',
  );
  expect(await send("GET", "/api/v1/users?pageSize=1&order=-id")).toBe(
    '200 {"ok":true,"data":[{"id":1,"name":"Zoë","note":"","enabled":true,"createdAt":"2026-11-21T12:00:00Z"}],"nextPageToken":""}',
  );
  expect(await send("PATCH", "/api/v1/users/1", '{"updateMask":"note,enabled","enabled":"true"}')).toMatch(/^400 /);
  expect(await send("PATCH", "/api/v1/users/1", '{"updateMask":"note,enabled"}')).toMatch(/^200 .*"enabled":false/);
  expect(await send("GET", "/api/v1/users/2")).toBe(
    '404 {"ok":false,"error":"there is no user 2","code":"USER_UNKNOWN","request_id":"r-1"}',
  );
  expect(await send("DELETE", "/api/v1/users/1?force=true")).toBe('200 {"ok":true,"data":{}}');
  expect(await send("POST", "/api/v1/users", `{"note":"${"x".repeat(1_048_576)}"}`)).toMatch(
    /^413 .*"code":"PAYLOAD_TOO_LARGE"/,
  );
});
