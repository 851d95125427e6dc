import { readFileSync } from "node:fs";
import { appendFile, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { parse } from "smol-toml";
import { afterAll, beforeAll, expect, test } from "vitest";
import { parseMetrics } from "../../src/node/engines/mtproto/metrics.ts";
import { freePorts } from "../support/ports.ts";
import { connectTelegram, type DataCentre, startDataCentre, type TelegramClient } from "../support/telegram.ts";
import { onEveryTelemt } from "./telemt-kinds.ts";
import { createTelemtUnderTest, type TelemtUnderTest, telemtConfig, telemtUser } from "./telemt-under-test.ts";

// What telemt 3.4.25 answered, with one live session of bob.
const recorded: {
  reads: Record<string, { data?: unknown }>;
  refusals: Record<string, { status: number; body: unknown }>;
  metrics_user_lines: string[];
} = JSON.parse(readFileSync(join(import.meta.dirname, "../support/telemt-stand-in/recorded-answers.json"), "utf8"));

const [alice, bob] = [telemtUser(1), telemtUser(2)];

onEveryTelemt("answers", (kind) => {
  let telemt: TelemtUnderTest;
  let dataCentre: DataCentre;
  let session: TelegramClient;
  let configPath: string;
  let api: string;
  let metrics: string;
  let authorization: string;

  beforeAll(async () => {
    telemt = await createTelemtUnderTest(kind);
    dataCentre = await startDataCentre();
    const [port = 0] = await freePorts(1);
    await telemt.engine.apply(telemtConfig(dataCentre.address, { port, users: [alice, bob] }));
    for (const [user, last] of [[alice, false] as const, [bob, true] as const]) {
      session = await connectTelegram(port, user.secret);
      await session.exchange(1_000, 2_000);
      if (!last) await session.close();
    }
    configPath = join(telemt.runDir, "mtproto-7", "telemt.toml");
    const { server } = parse(await readFile(configPath, "utf8")) as {
      server: { metrics_listen: string; api: { listen: string; auth_header: string } };
    };
    api = `http://${server.api.listen}`;
    metrics = `http://${server.metrics_listen}/metrics`;
    authorization = server.api.auth_header;
  });
  afterAll(async () => {
    await session.close();
    await telemt.close();
    await dataCentre.close();
  });

  async function ask(path: string, headers: Record<string, string> = { authorization }): Promise<[number, unknown]> {
    const response = await fetch(`${api}${path}`, { headers });
    return [response.status, await response.json()];
  }

  test.each([
    ["v1_health", "/v1/health"],
    ["v1_health_ready", "/v1/health/ready"],
    ["v1_runtime_gates", "/v1/runtime/gates"],
    ["v1_stats_summary", "/v1/stats/summary"],
    ["v1_stats_users_active-ips", "/v1/stats/users/active-ips"],
    ["v1_stats_users_quota", "/v1/stats/users/quota"],
    ["v1_system_info", "/v1/system/info"],
    ["v1_users", "/v1/users"],
    ["v1_users_alice", `/v1/users/${alice.linkUuid}`],
  ])("to %s have the fields that were recorded", async (name, path) => {
    const [status, body] = await ask(path);
    expect(status).toBe(200);
    expect(shapeOf(body)).toEqual(shapeOf(recorded.reads[name]));
  });

  test("without the right word are refused", async () => {
    const [status, body] = await ask("/v1/users", {});
    expect(status).toBe(401);
    expect(body).toEqual({ ...recorded.reads.noauth, request_id: expect.any(Number) });
  });

  test("of a user who is not there say so", async () => {
    const { status, body } = recorded.refusals["16_GET_users_nobody"] ?? {};
    expect(await ask("/v1/users/nobody")).toEqual([status, { ...Object(body), request_id: expect.any(Number) }]);
  });

  test("to whoever wants to change something say that only reading is allowed", async () => {
    const response = await fetch(`${api}/v1/users`, { method: "POST", headers: { authorization }, body: "{}" });
    expect([response.status, await response.json()]).toMatchObject([403, { ok: false, error: { code: "read_only" } }]);
  });

  test("of counters have the series that were recorded", async () => {
    const text = await (await fetch(metrics)).text();
    const of = (lines: string[]) => new Set(lines.filter((line) => / \S+$/.test(line)).map(seriesOf));
    const answered = of(text.split("\n"));
    for (const series of of(recorded.metrics_user_lines))
      if (/^telemt_(user_octets|user_connections|telemetry_user)/.test(series)) expect(answered).toContain(series);
    expect(parseMetrics(text)?.users.get(bob.linkUuid)).toEqual({
      uplinkBytes: session.uplinkBytes,
      downlinkBytes: session.downlinkBytes,
      connections: 1,
    });
  });

  test("while the files cannot be read say so, and the proxy goes on", async () => {
    const access = configPath.replace("telemt.toml", "access.toml");
    const before = await readFile(access, "utf8");
    await appendFile(access, '\nbob "broken"\n');
    const [status, body] = await ask("/v1/users");
    expect([status, body]).toMatchObject([500, { ok: false, error: { code: "internal_error" } }]);
    await session.exchange(1, 1);
    await writeFile(access, before);
    await expect.poll(async () => (await ask("/v1/users"))[0]).toBe(200);
  });
});

/** The names and types of what is in a value; of a list, of its first element. */
function shapeOf(value: unknown): unknown {
  if (value === null || typeof value === "string") return "text or nothing";
  if (Array.isArray(value)) return value.length === 0 ? [] : [shapeOf(value[0])];
  if (typeof value !== "object") return typeof value;
  return Object.fromEntries(Object.entries(value).map(([key, each]) => [key, listless(key) ? [] : shapeOf(each)]));
}

/** Lists that may be empty by chance. */
function listless(key: string): boolean {
  return /_list$|_by_class$|^(?:classic|secure|tls)$/.test(key);
}

/** A sample without the name of its user and its value. */
function seriesOf(line: string): string {
  return line.replace(/user="[^"]*"/, 'user=""').replace(/ \S+$/, "");
}
