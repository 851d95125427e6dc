import { setTimeout as sleep } from "node:timers/promises";
import { Code, ConnectError } from "@connectrpc/connect";
import { PublicError } from "../../src/platform/rpc/public-error.ts";
import { type ServeOptions, serveService } from "../../src/platform/rpc/served-service.ts";
import { ShelfService } from "./gen/garrison/resttest/v1/shelf_service_pb.ts";

/** What has happened in the handlers, for tests to look at. */
export interface ShelfLog {
  readonly calls: unknown[];
  /** Reasons of signals that were aborted while their call ran. */
  readonly aborted: unknown[];
}

/** The document that GetDocument embeds: digits, order and white space that objects would lose. */
export const document = '{ "b": 12345678901234567890, "2": 1.10, "1": [] }';

/** The test-only JSON service, which mostly says back what it was told. */
export function serveShelf(log: ShelfLog = { calls: [], aborted: [] }, options: ServeOptions = {}) {
  return serveService(
    ShelfService,
    {
      getItem(request, { protocolName, responseHeader, requestHeader, url }) {
        log.calls.push({ request, protocolName, url });
        if (request.id === "none")
          throw new PublicError("no such item", Code.NotFound, { machineCode: "ITEM_UNKNOWN" });
        responseHeader.set("x-shelf", requestHeader.get("x-shelf") ?? "none");
        return { id: request.id, name: "ladder", size: 9007199254740993n, document };
      },
      listItems: (request) => ({
        request,
        items: [{ id: "1" }, { id: "2" }],
        pagination: { total: 2, page: request.page },
      }),
      createItem({ item, dryRun }) {
        if (item && !dryRun) item.id = "new";
        return item ?? {};
      },
      updateItem: ({ item }) => item ?? {},
      deleteItem(request) {
        log.calls.push(request);
        return {};
      },
      archiveItem: ({ id }) => ({ id: id || "all" }),
      getFile: ({ path }) => ({
        file: { path, token: "t" },
        agentId: "agent-1",
        token: path === "anonymous" ? "" : "t",
        secret: "s",
      }),
      getNames: ({ kind }) => ({ text: "alice\nbob\n", raw: new TextEncoder().encode("alice,bob\n"), kind }),
      getDocument(_request, { responseHeader }) {
        responseHeader.set("etag", '"revision-7"');
        return { document, total: 0n };
      },
      echo(request) {
        log.calls.push(request);
        return { ...request, $typeName: "garrison.resttest.v1.EchoResponse" };
      },
      fail: ({ how }, { signal }) => fail(how, signal, log),
      async *watchItems({ count, fail: fails, pauseMs, padding }, { signal, responseHeader, requestHeader }) {
        const onAbort = () => log.aborted.push(signal.reason);
        signal.addEventListener("abort", onAbort, { once: true });
        responseHeader.set("x-after", requestHeader.get("last-event-id") ?? "0");
        try {
          for (let sequence = 1; count === 0 ? !fails : sequence <= count; sequence += 1) {
            if (pauseMs > 0) await sleep(pauseMs, undefined, { signal });
            if (signal.aborted) return;
            log.calls.push(sequence);
            yield {
              event: "item_added",
              sequence: BigInt(sequence),
              item: { id: `${sequence}`, name: "x".repeat(padding) },
            };
          }
          if (fails) throw new PublicError("the shelf fell over", Code.FailedPrecondition);
        } finally {
          log.calls.push("ended");
        }
      },
      async importItems(requests) {
        let count = 0;
        for await (const { item } of requests) {
          if (item?.name === "bad") throw new PublicError("a bad item", Code.InvalidArgument);
          count += 1;
        }
        return { count };
      },
    },
    options,
  );
}

async function fail(how: string, signal: AbortSignal, log: ShelfLog): Promise<{ document: string }> {
  switch (how) {
    case "public":
      throw new PublicError("too many", Code.ResourceExhausted, { httpStatus: 409, machineCode: "AGENT_LIMIT" });
    case "retry":
      throw new PublicError("later", Code.Unavailable, { retryAfterSeconds: 2.5 });
    case "connect":
      throw new ConnectError("out of range", Code.OutOfRange);
    case "internal":
      throw new ConnectError("told on purpose", Code.Internal);
    case "header":
      throw new ConnectError("with a header", Code.Unauthenticated, { "www-authenticate": "Bearer" });
    case "forwarded":
      throw new ConnectError("from elsewhere", Code.Aborted, {
        "content-length": "3",
        "x-more": "1",
        date: "yesterday",
      });
    case "caused":
      throw new ConnectError("told, with a cause", Code.Internal, undefined, undefined, new TypeError("secret"));
    case "slow": {
      const { promise, reject } = Promise.withResolvers<never>();
      signal.addEventListener("abort", () => {
        log.aborted.push(signal.reason);
        reject(signal.reason);
      });
      return promise;
    }
    case "unwritable":
      return { document: "{" };
    default:
      throw new TypeError("secret of the house");
  }
}
