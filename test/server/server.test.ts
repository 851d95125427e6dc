import { execFile } from "node:child_process";
import { once } from "node:events";
import { request as httpRequest, type IncomingMessage } from "node:http";
import { connect, type IncomingHttpHeaders, type IncomingHttpStatusHeader } from "node:http2";
import { Writable } from "node:stream";
import { text as consumeText } from "node:stream/consumers";
import { connect as connectTls } from "node:tls";
import { promisify } from "node:util";
import { ViolationsSchema } from "@bufbuild/protovalidate/gen/buf/validate/validate_pb.js";
import { Code, ConnectError, createClient } from "@connectrpc/connect";
import { createConnectTransport, createGrpcTransport, createGrpcWebTransport } from "@connectrpc/connect-node";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { NodeAgentService } from "../../gen/garrison/core/v1/node_agent_pb.ts";
import { Health, HealthCheckResponse_ServingStatus as Status } from "../../gen/grpc/health/v1/health_pb.ts";
import { NodeService } from "../../gen/service/node_pb.ts";
import type { Gate } from "../../src/platform/rpc/gate.ts";
import { PublicError } from "../../src/platform/rpc/public-error.ts";
import { serveService } from "../../src/platform/rpc/served-service.ts";
import { createServer, type Server, type ServerOptions } from "../../src/platform/server/server.ts";
import { createLog } from "../../src/platform/telemetry/log.ts";
import { createMetrics } from "../../src/platform/telemetry/metrics.ts";

const run = promisify(execFile);
const key = "right";
const headers = { "x-api-key": key };
const gate: Gate = ({ header }) => {
  if (header.get("x-api-key") !== key) throw new PublicError("no key: send x-api-key", Code.Unauthenticated);
};

let streamsEnded = 0;
const service = serveService(
  NodeService,
  {
    getBaseInfo: () => ({ started: true, coreVersion: "1.2.3", nodeVersion: "0.3.0" }),
    async *getLogs(_request, { signal }) {
      try {
        yield { detail: "first" };
        await new Promise((resolve) => signal.addEventListener("abort", resolve, { once: true }));
      } finally {
        streamsEnded += 1;
      }
    },
    async stop() {
      await new Promise((resolve) => setTimeout(resolve, 400));
      return {};
    },
    start: ({ config }) => {
      throw new PublicError(JSON.parse(config), Code.Unknown);
    },
    syncUsers: ({ users }) => {
      const machineCode = users.length > 1 ? "TOO_MANY" : undefined;
      throw new PublicError(`failed to update users: ${users.length}`, Code.Internal, {
        ...(machineCode && { machineCode }),
      });
    },
  },
  { validated: false },
);

function start(options: Partial<ServerOptions>): Promise<Server> {
  return createServer({
    services: [service],
    gate,
    host: "127.0.0.1",
    port: 0,
    corsOrigins: ["http://panel.test"],
    metricsToken: "scrape",
    log: createLog("test", "silent"),
    metrics: createMetrics("test"),
    ...options,
  });
}

function countLines(into: { lines: number }): Writable {
  return new Writable({
    write(_line, _encoding, done) {
      into.lines += 1;
      done();
    },
  });
}

const transports = {
  gRPC: (url: string) => createGrpcTransport({ baseUrl: url }),
  "gRPC-Web": (url: string) => createGrpcWebTransport({ baseUrl: url, httpVersion: "1.1" }),
  "Connect over HTTP/1.1": (url: string) => createConnectTransport({ baseUrl: url, httpVersion: "1.1" }),
  "Connect over HTTP/2": (url: string) => createConnectTransport({ baseUrl: url, httpVersion: "2" }),
};

describe.each([{ shortPath: true }, { shortPath: false }])("a server, short path $shortPath", (options) => {
  let server: Server;
  beforeAll(async () => {
    server = await start(options);
  });
  afterAll(() => server.close());

  describe.each(Object.entries(transports))("over %s", (_name, transport) => {
    const client = () => createClient(NodeService, transport(server.url));

    test.each([
      ["is long", `why ${"x".repeat(100_000)} because`],
      ["is long in other letters than ASCII's", `why ${"ж💥".repeat(50_000)} because`],
    ])("tells an error that %s, with its beginning and its end", async (_, sentence) => {
      const error = await client()
        .start({ config: JSON.stringify(sentence) }, { headers })
        .catch(ConnectError.from);
      expect(error).toMatchObject({
        code: Code.Unknown,
        rawMessage: expect.stringMatching(/^why .{2000,} because$/su),
      });
    });

    test("tells an error that quotes half a surrogate pair", async () => {
      const error = await client()
        .start({ config: JSON.stringify("there is no \ud800") }, { headers })
        .catch(ConnectError.from);
      expect(error).toMatchObject({ code: Code.Unknown, rawMessage: "there is no \ufffd" });
    });

    test("answers a call, with the id of the request", async () => {
      let id: string | null = null;
      const info = await client().getBaseInfo(
        {},
        {
          headers: { ...headers, "x-request-id": "mine-1" },
          onHeader: (header) => {
            id = header.get("x-request-id");
          },
        },
      );
      expect(info).toMatchObject({ started: true, coreVersion: "1.2.3" });
      expect(id).toBe("mine-1");
    });

    test("refuses a call without the key", async () => {
      await expect(client().getBaseInfo({})).rejects.toMatchObject({
        code: Code.Unauthenticated,
        rawMessage: "no key: send x-api-key",
      });
    });

    test("passes on the errors that are meant for the caller", async () => {
      const call = client().syncUsers({ users: [{ email: "1" }] }, { headers });
      await expect(call).rejects.toMatchObject({ code: Code.Internal, rawMessage: "failed to update users: 1" });
    });

    test("tells programs the stable name of an error that has one of its own", async () => {
      const nameOf = async (...users: object[]) => {
        const error = await client().syncUsers({ users }, { headers }).catch(ConnectError.from);
        return error instanceof ConnectError ? error.metadata.get("garrison-code") : undefined;
      };
      expect(await nameOf({ email: "1" }, { email: "2" })).toBe("TOO_MANY");
      expect(await nameOf({ email: "1" })).toBeNull();
    });

    test("answers Unimplemented for a method without a handler", async () => {
      await expect(client().getStats({}, { headers })).rejects.toMatchObject({ code: Code.Unimplemented });
    });

    test("answers health checks without a key, and only those", async () => {
      const health = createClient(Health, transport(server.url));
      expect(await health.check({})).toMatchObject({ status: Status.SERVING });
      await expect(health.list({})).rejects.toMatchObject({ code: Code.Unauthenticated });
      const watching = health.watch({})[Symbol.asyncIterator]().next();
      await expect(watching).rejects.toMatchObject({ code: Code.Unauthenticated });
    });

    test("a stream that the caller leaves ends in the handler", async () => {
      const before = streamsEnded;
      const leave = new AbortController();
      const reading = (async () => {
        for await (const { detail } of client().getLogs({}, { headers, signal: leave.signal })) {
          expect(detail).toBe("first");
          leave.abort();
        }
      })();
      await expect(reading).rejects.toBeInstanceOf(ConnectError);
      await expect.poll(() => streamsEnded).toBe(before + 1);
    });
  });

  // In each protocol's own form: a status in the header or trailer, or an end of the stream in the body.
  const refusal = /"grpc-status":"16"|":status":401|grpc-status: ?16|"code":"unauthenticated"/;

  test.each(["application/grpc", "application/grpc-web+proto", "application/proto", "application/connect+proto"])(
    "a caller without the key is refused before any of a body of %s has come",
    async (type) => {
      const session = connect(server.url);
      for (const method of ["GetBaseInfo", "GetLogs", "SyncUser"]) {
        const path = `/service.NodeService/${method}`;
        const stream = session.request({ ":method": "POST", ":path": path, "content-type": type, te: "trailers" });
        let answer = "";
        stream.on("response", (head) => {
          answer += JSON.stringify(head);
        });
        stream.on("trailers", (trailers) => {
          answer += JSON.stringify(trailers);
        });
        for await (const piece of stream) answer += piece;
        expect(answer).toMatch(refusal);
        expect(stream.writableEnded).toBe(false);
        stream.close();
      }
      session.close();
    },
  );

  test("a caller over HTTP/1.1 as well", async () => {
    for (const type of ["application/json", "application/proto", "application/grpc-web"]) {
      const request = httpRequest(`${server.url}/service.NodeService/GetBaseInfo`, {
        method: "POST",
        headers: { "content-type": type, "content-length": 100 },
      });
      request.flushHeaders();
      const [answer] = (await once(request, "response")) as [IncomingMessage];
      const text = `":status":${answer.statusCode} ${JSON.stringify(answer.headers)} ${await consumeText(answer)}`;
      expect(text).toMatch(refusal);
      request.destroy();
    }
  });

  test("a call that breaks a rule of its contract is InvalidArgument and says which, on every protocol", async () => {
    const registered: string[] = [];
    const core = serveService(NodeAgentService, {
      register({ name }) {
        registered.push(name);
        return { authKey: "nk", nodeId: 1n };
      },
    });
    const validated = await start({ ...options, services: [core] });
    const request = { code: "ABCD-1234", name: "fra-1", ip: "203.0.113.10" };
    for (const [name, transport] of Object.entries(transports)) {
      const client = createClient(NodeAgentService, transport(validated.url));
      const error = await client.register({ ...request, name, ip: "nowhere" }, { headers }).catch(ConnectError.from);
      expect(error).toMatchObject({ code: Code.InvalidArgument, message: expect.stringContaining("ip") });
      const [violations] = ConnectError.from(error).findDetails(ViolationsSchema);
      expect(violations?.violations).toMatchObject([{ field: { elements: [{ fieldName: "ip" }] } }]);
      expect(await client.register({ ...request, name }, { headers })).toMatchObject({ authKey: "nk" });
    }
    expect(registered).toEqual(Object.keys(transports));
    await validated.close();
  });

  test("a connection that the server closes by itself is counted, and told to the log at debug", async () => {
    const metrics = createMetrics("test");
    const lines: string[] = [];
    const into = new Writable({
      write(line, _encoding, done) {
        lines.push(String(line));
        done();
      },
    });
    const plain = await start({ ...options, metrics, log: createLog("test", "debug", into) });
    const { hostname, port } = new URL(plain.url);
    const socket = connectTls({ host: hostname, port: Number(port) });
    await once(socket, "error");
    const counted = 'garrison_connections_closed_total{reason="TLS on a plain port",garrison_service="test"} 1';
    await expect.poll(() => metrics.registry.metrics()).toContain(counted);
    expect(lines.map((line) => JSON.parse(line))).toContainEqual(
      expect.objectContaining({ msg: "connection closed", reason: "TLS on a plain port" }),
    );
    await plain.close();
  });

  test("unknown paths need the key, and then are not found", async () => {
    const unknown = `${server.url}/nothing/here?x=1`;
    expect((await fetch(unknown)).status).toBe(401);
    const answer = await fetch(unknown, { headers });
    expect(answer.status).toBe(404);
    expect(await answer.text()).toBe("404 page not found\n");
  });

  test("a path that is no path needs the key too, and says nothing of the inside", async () => {
    const broken = `${server.url}/%zz`;
    expect((await fetch(broken)).status).toBe(401);
    const answer = await fetch(broken, { headers });
    expect(answer.status).toBe(404);
    expect(await answer.text()).toBe("404 page not found\n");
  });

  test("a query that is not percent-encoded well leads to the same route", async () => {
    expect((await fetch(`${server.url}/info?share=100%&x=%zz`, { headers })).status).toBe(200);
  });

  test.each<[string, string, Record<string, string>, number]>([
    ["another verb", "PUT", {}, 405],
    ["a GET", "GET", {}, 405],
    ["a content type of no protocol", "POST", { "content-type": "text/plain" }, 415],
    ["a content type that is none", "POST", { "content-type": "nothing" }, 415],
    ["a stream's content type on a unary call", "POST", { "content-type": "application/connect+json" }, 415],
  ])("that there is an RPC is told only with the key: %s", async (_, method, header, status) => {
    const log = { lines: 0 };
    const quiet = await start({ ...options, log: createLog("test", "info", countLines(log)) });
    const call = (path: string, credential: Record<string, string>) =>
      fetch(quiet.url + path, { method, headers: { ...header, ...credential } });
    const rpc = "/service.NodeService/GetBaseInfo";
    const [there, notThere] = await Promise.all([call(rpc, {}), call("/service.NodeService/Nothing", {})]);
    expect([there.status, notThere.status]).toEqual([401, 401]);
    expect(await there.text()).toBe(await notThere.text());
    expect((await call(rpc, headers)).status).toBe(status);
    expect(log.lines).toBe(0);
    await quiet.close();
  });

  test("a verb that nobody knows, which HTTP/2 lets through, meets the gate as well", async () => {
    const log = { lines: 0 };
    const quiet = await start({ ...options, log: createLog("test", "info", countLines(log)) });
    const session = connect(quiet.url);
    const ask = async (path: string, credential: Record<string, string>) => {
      const stream = session.request({ ":method": "FROB", ":path": path, ...credential });
      const [head] = (await once(stream, "response")) as [IncomingHttpHeaders & IncomingHttpStatusHeader];
      stream.close();
      return head[":status"];
    };
    expect(await ask("/info", {})).toBe(401);
    expect(await ask("/nothing", {})).toBe(401);
    expect(await ask("/info", headers)).toBe(405);
    expect(await ask("/nothing", headers)).toBe(404);
    expect(log.lines).toBe(0);
    session.close();
    await quiet.close();
  });

  test("receive windows rise once a call on the connection has passed the gate, and not before", async () => {
    const session = connect(server.url);
    const call = async (credential: Record<string, string>) => {
      const stream = session.request({ ":path": "/info", ...credential }).resume();
      await once(stream, "close");
    };
    const windows = () => [session.remoteSettings.initialWindowSize, session.state.remoteWindowSize];
    const kib = 1024;
    await call({});
    await call({});
    expect(windows()).toEqual([256 * kib, 1024 * kib]);
    await call(headers);
    await expect.poll(windows).toEqual([16 * 1024 * kib, 64 * 1024 * kib]);
    session.close();
  });

  test("an unknown method answers Unimplemented in gRPC and Connect, behind the key", async () => {
    const Unknown = { ...NodeService, typeName: "service.Nobody" } as typeof NodeService;
    const methods = { ...Unknown.method.getBaseInfo, parent: Unknown } as typeof NodeService.method.getBaseInfo;
    for (const transport of Object.values(transports)) {
      const call = (init?: Record<string, string>) =>
        transport(server.url).unary(methods, undefined, undefined, init, {});
      await expect(call()).rejects.toMatchObject({ code: Code.Unauthenticated });
      await expect(call(headers)).rejects.toMatchObject({ code: Code.Unimplemented });
    }
  });

  test("/healthz says the state and nothing else, to everybody", async () => {
    const answer = await fetch(`${server.url}/healthz`);
    expect(answer.status).toBe(200);
    expect(await answer.json()).toEqual({ status: "SERVING" });
  });

  test("/metrics opens to the key and to the token for metrics", async () => {
    const url = `${server.url}/metrics`;
    expect((await fetch(url)).status).toBe(401);
    expect((await fetch(url, { headers: { authorization: "Bearer wrong" } })).status).toBe(401);
    expect((await fetch(url, { headers })).status).toBe(200);
    const answer = await fetch(url, { headers: { authorization: "Bearer scrape" } });
    expect(answer.status).toBe(200);
    const text = await answer.text();
    expect(text).toContain(
      'garrison_calls_total{service="service.NodeService",method="GetBaseInfo",protocol="grpc",code="ok"',
    );
    expect(text).not.toContain("127.0.0.1");
    expect(text).not.toContain(key);
  });

  test("/openapi.json needs the key and describes the REST paths", async () => {
    expect((await fetch(`${server.url}/openapi.json`)).status).toBe(401);
    const document = await (await fetch(`${server.url}/openapi.json`, { headers })).json();
    expect(document).toMatchObject({ openapi: expect.stringMatching(/^3\.1/), paths: { "/info": { get: {} } } });
  });

  test("buf curl and reflection need no schema, but the key", async () => {
    const args = [
      "curl",
      "--http2-prior-knowledge",
      "--protocol",
      "grpc",
      `${server.url}/service.NodeService/GetBaseInfo`,
    ];
    const withKey = await run("buf", [
      ...args,
      "--header",
      `x-api-key: ${key}`,
      "--reflect-header",
      `x-api-key: ${key}`,
    ]);
    expect(JSON.parse(withKey.stdout)).toEqual({ started: true, coreVersion: "1.2.3", nodeVersion: "0.3.0" });
    await expect(run("buf", [...args, "--header", `x-api-key: ${key}`])).rejects.toThrow(/failed to find service/);
  });

  test("pages of an allowed origin may call and read the headers; others get no permission", async () => {
    const url = `${server.url}/service.NodeService/GetBaseInfo`;
    const preflight = (origin: string) =>
      fetch(url, {
        method: "OPTIONS",
        headers: {
          origin,
          "access-control-request-method": "POST",
          "access-control-request-headers": "content-type,connect-protocol-version,x-api-key",
        },
      });
    const allowed = await preflight("http://panel.test");
    expect(allowed.status).toBe(204);
    expect(allowed.headers.get("access-control-allow-origin")).toBe("http://panel.test");
    expect(allowed.headers.get("access-control-allow-headers")?.toLowerCase()).toContain("x-api-key");
    expect((await preflight("http://evil.test")).headers.get("access-control-allow-origin")).toBeNull();
    const call = await fetch(url, {
      method: "POST",
      headers: { ...headers, origin: "http://panel.test", "content-type": "application/json" },
      body: "{}",
    });
    expect(call.headers.get("access-control-allow-origin")).toBe("http://panel.test");
    expect(call.headers.get("access-control-expose-headers")?.toLowerCase()).toContain("grpc-status");
  });

  test("a message over the limit is refused and the connection goes on", async () => {
    const small = await createServer({
      services: [service],
      gate,
      host: "127.0.0.1",
      port: 0,
      maxMessageBytes: 1024,
      log: createLog("test", "silent"),
      metrics: createMetrics("test"),
      ...options,
    });
    const users = Array.from({ length: 100 }, (_, index) => ({ email: `someone-${index}` }));
    for (const transport of Object.values(transports)) {
      const client = createClient(NodeService, transport(small.url));
      await expect(client.syncUsers({ users }, { headers })).rejects.toMatchObject({ code: Code.ResourceExhausted });
      expect(await client.getBaseInfo({}, { headers })).toMatchObject({ started: true });
    }
    await small.close();
  });

  test("closing ends streams at once and lets unary calls finish", async () => {
    const closing = await start(options);
    const client = createClient(NodeService, createGrpcTransport({ baseUrl: closing.url }));
    const stream = client.getLogs({}, { headers })[Symbol.asyncIterator]();
    expect((await stream.next()).value).toMatchObject({ detail: "first" });
    const next = stream.next().then(
      (result) => (result.done ? "ended" : "more"),
      (error: ConnectError) => Code[error.code],
    );
    const unary = client.stop({}, { headers });
    await new Promise((resolve) => setTimeout(resolve, 50));
    const startedAt = performance.now();
    const closed = closing.close();
    expect(["ended", "Unavailable"]).toContain(await next);
    expect(performance.now() - startedAt).toBeLessThan(350);
    expect(await unary).toMatchObject({});
    await closed;
    expect(performance.now() - startedAt).toBeLessThan(5_000);
    await expect(fetch(`${closing.url}/healthz`)).rejects.toThrow();
  });
});
