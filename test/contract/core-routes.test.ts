import { type DescMessage, toJson } from "@bufbuild/protobuf";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { NodeAgentService } from "../../gen/garrison/core/v1/node_agent_pb.ts";
import { serveService } from "../../src/platform/rpc/served-service.ts";
import { createServer, type Server } from "../../src/platform/server/server.ts";
import { createLog } from "../../src/platform/telemetry/log.ts";
import { createMetrics } from "../../src/platform/telemetry/metrics.ts";

// What agents that know nothing but the documented routes send to Core and get from it, byte for byte. The handlers
// here only note what arrives, as canonical JSON, and answer what Core would.

const received: unknown[] = [];
const note = (method: keyof typeof NodeAgentService.method, message: unknown) => {
  const input: DescMessage = NodeAgentService.method[method].input;
  received.push(toJson(input, message as never));
};

const service = serveService(NodeAgentService, {
  register(request) {
    note("register", request);
    return { authKey: "nk_1_secret", nodeId: 9_007_199_254_740_993n };
  },
  heartbeat(request) {
    note("heartbeat", request);
    return { ok: true, needSync: request.revision === undefined };
  },
  reportUsage(request) {
    note("reportUsage", request);
    return { ok: true };
  },
  reportOutboundUsage(request) {
    note("reportOutboundUsage", request);
    return { ok: true };
  },
  reportSessions(request) {
    note("reportSessions", request);
    return { ok: true };
  },
  getConfig(request) {
    note("getConfig", request);
    return {
      config: {
        revision: 42n,
        clientMap: {
          "3b0a6a2e-7f0e-4f5e-9d0b-5a4f0c1e2d3b": { userId: 7n, subscriptionId: 12n },
          "8f14e45f-ceea-467f-a8d1-3c5b1f0a9b77": { userId: 8n },
        },
        services: {
          xray: {
            inbounds: '[{"tag":"vless","port":443,"settings":{"clients":[{"email":"1.3b0a6a2e"}]}}]',
            outbounds: '[{"tag":"direct","protocol":"freedom"}]',
            routing: '{"rules":[]}',
          },
          mtproto: { inbounds: [{ nodeProtocolId: 3n, port: 8443, modes: [3], tlsDomains: ["example.org"] }] },
        },
      },
    };
  },
  reportApplied(request) {
    note("reportApplied", request);
    return { ok: true };
  },
  reportError(request) {
    note("reportError", request);
    return { ok: true };
  },
});

describe("Core's private node routes, as documented", () => {
  let server: Server;
  beforeAll(async () => {
    server = await createServer({
      services: [service],
      gate: () => undefined,
      host: "127.0.0.1",
      port: 0,
      log: createLog("test", "silent"),
      metrics: createMetrics("test"),
    });
  });
  afterAll(() => server.close());
  beforeEach(() => {
    received.length = 0;
  });

  const call = async (path: string, body?: string) => {
    const post = { method: "POST", headers: { "content-type": "application/json" }, body };
    const answer = await fetch(`${server.url}${path}`, body === undefined ? {} : post);
    return { status: answer.status, text: await answer.text(), headers: answer.headers };
  };

  test.each([
    {
      path: "/node/register",
      body: '{"code":"ABCD-1234","name":"fra-1","host":"fra-1.example.org","ip":"203.0.113.10","region":"eu"}',
      arrives: { code: "ABCD-1234", name: "fra-1", host: "fra-1.example.org", ip: "203.0.113.10", region: "eu" },
      answer: '{"authKey":"nk_1_secret","nodeId":9007199254740993}',
    },
    {
      path: "/node/register",
      body: '{"code":"ABCD-1234","name":"fra-1","ip":"203.0.113.10","port":3001,"region":"","domain":"fra-1.example.org"}',
      arrives: { code: "ABCD-1234", name: "fra-1", ip: "203.0.113.10", port: 3001, domain: "fra-1.example.org" },
      answer: '{"authKey":"nk_1_secret","nodeId":9007199254740993}',
    },
    { path: "/node/heartbeat", body: "{}", arrives: {}, answer: '{"ok":true,"needSync":true}' },
    {
      path: "/node/heartbeat",
      body: '{"ip":"2001:db8::7","revision":41}',
      arrives: { ip: "2001:db8::7", revision: "41" },
      answer: '{"ok":true,"needSync":false}',
    },
    {
      path: "/node/usage",
      body:
        '{"entries":[' +
        '{"userId":7,"subscriptionId":12,"nodeProtocolId":3,"bytesUp":1048576,"bytesDown":9007199254740993,' +
        '"recordedAt":"2026-05-10T12:34:00.000Z"},' +
        '{"userId":8,"subscriptionId":null,"nodeProtocolId":3,"bytesUp":0,"bytesDown":-1,"recordedAt":"yesterday"}]}',
      arrives: {
        entries: [
          {
            userId: "7",
            subscriptionId: "12",
            nodeProtocolId: "3",
            bytesUp: "1048576",
            bytesDown: "9007199254740993",
            recordedAt: "2026-05-10T12:34:00.000Z",
          },
          { userId: "8", nodeProtocolId: "3", bytesDown: "-1", recordedAt: "yesterday" },
        ],
      },
      answer: '{"ok":true}',
    },
    {
      path: "/node/outbound-usage",
      body: '{"items":[{"tag":"direct","bytesUp":10,"bytesDown":20}]}',
      arrives: { items: [{ tag: "direct", bytesUp: "10", bytesDown: "20" }] },
      answer: '{"ok":true}',
    },
    {
      path: "/node/session-events",
      body:
        '{"events":[' +
        '{"userId":7,"protocol":"vless","eventType":"online","occurredAt":"2026-05-10T12:34:01Z","ipAddress":"198.51.100.4"},' +
        '{"userId":7,"protocol":"HYSTERIA2","eventType":"offline","occurredAt":"2026-05-10T12:36:01Z"},' +
        '{"userId":7,"protocol":"carrier-pigeon","eventType":"lost","occurredAt":"2026-05-10T12:36:02Z"}]}',
      arrives: {
        events: [
          {
            userId: "7",
            protocol: "VPN_PROTOCOL_VLESS",
            eventType: "SESSION_EVENT_TYPE_ONLINE",
            occurredAt: "2026-05-10T12:34:01Z",
            ipAddress: "198.51.100.4",
          },
          {
            userId: "7",
            protocol: "VPN_PROTOCOL_HYSTERIA2",
            eventType: "SESSION_EVENT_TYPE_OFFLINE",
            occurredAt: "2026-05-10T12:36:01Z",
          },
          { userId: "7", occurredAt: "2026-05-10T12:36:02Z" },
        ],
      },
      answer: '{"ok":true}',
    },
    { path: "/node/config/applied", body: '{"revision":42}', arrives: { revision: "42" }, answer: '{"ok":true}' },
    {
      path: "/node/error",
      body: '{"message":"xray exited","code":"ENGINE_CRASHED","details":{"exitCode":23,"lines":["bad config",null]}}',
      arrives: {
        message: "xray exited",
        code: "ENGINE_CRASHED",
        details: { exitCode: 23, lines: ["bad config", null] },
      },
      answer: '{"ok":true}',
    },
    {
      path: "/node/error",
      body: '{"message":"out of disk","somethingNewer":{"a":1}}',
      arrives: { message: "out of disk" },
      answer: '{"ok":true}',
    },
  ])("POST $path $body", async ({ path, body, arrives, answer }) => {
    const { status, text, headers } = await call(path, body);
    expect({ status, text }).toEqual({ status: 200, text: answer });
    expect(headers.get("content-type")).toMatch(/^application\/json/);
    expect(received).toEqual([arrives]);
  });

  test("GET /node/config/latest", async () => {
    const { status, text, headers } = await call("/node/config/latest");
    expect(status).toBe(200);
    expect(text).toBe(
      '{"revision":42,"clientMap":{' +
        '"3b0a6a2e-7f0e-4f5e-9d0b-5a4f0c1e2d3b":{"userId":7,"subscriptionId":12},' +
        '"8f14e45f-ceea-467f-a8d1-3c5b1f0a9b77":{"userId":8,"subscriptionId":null}},' +
        '"services":{"xray":{' +
        '"inbounds":[{"tag":"vless","port":443,"settings":{"clients":[{"email":"1.3b0a6a2e"}]}}],' +
        '"outbounds":[{"tag":"direct","protocol":"freedom"}],"routing":{"rules":[]}},' +
        '"mtproto":{"inbounds":[' +
        '{"nodeProtocolId":3,"port":8443,"modes":["tls"],"tlsDomains":["example.org"],"users":[]}]}}}',
    );
    const etag = headers.get("etag") ?? "";
    const again = await fetch(`${server.url}/node/config/latest`, { headers: { "if-none-match": etag } });
    expect({ status: again.status, text: await again.text() }).toEqual({ status: 304, text: "" });
  });

  test.each([
    ["/node/register", '{"code":"","name":"fra-1","ip":"203.0.113.10"}', "code"],
    ["/node/register", '{"code":"a","name":"fra-1","ip":"fra-1"}', "ip"],
    ["/node/config/applied", "{}", "revision"],
    ["/node/config/applied", '{"revision":-1}', "revision"],
    ["/node/usage", '{"entries":[{"userId":"seven"}]}', "userId"],
    ["/node/usage", '{"entries":[],"batch":{"epoch":"e","seq":0}}', "batch.seq"],
    ["/node/error", "{}", "message"],
    ["/node/error", "[1", ""],
  ])("POST %s %s is refused, naming what is wrong", async (path, body, named) => {
    const { status, text } = await call(path, body);
    expect(status).toBe(400);
    expect(JSON.parse(text)).toMatchObject({ ok: false, error: expect.stringContaining(named) });
    expect(received).toEqual([]);
  });
});
