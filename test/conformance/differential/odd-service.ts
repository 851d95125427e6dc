import { once } from "node:events";
import { Code, ConnectError, type HandlerContext } from "@connectrpc/connect";
import { NodeService, StatSchema } from "../../../gen/service/node_pb.ts";
import type { Gate } from "../../../src/platform/rpc/gate.ts";
import { PublicError } from "../../../src/platform/rpc/public-error.ts";
import { type ServedService, serveService } from "../../../src/platform/rpc/served-service.ts";

/** The header in which a request says what its handler does. */
export const doHeader = "x-do";
/** The header in which a request says what the gate does: `refuse`, `break`, and either with `wait-` before it. */
export const gateHeader = "x-gate";

const gateWaitMs = 30;

/** A gate that does what the request says. Tells `asked` who asked. */
export function oddGate(asked: (header: Headers) => void): Gate {
  return ({ header }) => {
    asked(header);
    const order = header.get(gateHeader) ?? "";
    if (!order.startsWith("wait")) return judge(order);
    return new Promise((resolve) => setTimeout(resolve, gateWaitMs)).then(() => judge(order.replace("wait-", "")));
  };
}

function judge(order: string): void {
  if (order === "refuse") throw new PublicError("no key: send one", Code.Unauthenticated);
  if (order === "break") throw new Error("a secret of the gate");
}

/** Handlers that do what the request says: fail, send odd headers, stop reading early, wait for the end of the call. */
export const oddService: ServedService = serveService(
  NodeService,
  {
    async getStats({ name, type }, context) {
      await obey(context);
      const repeated = context.requestHeader.get(doHeader) === "large" ? "x".repeat(40_000) : name;
      return { stats: [{ name: repeated, type: String(type), value: BigInt(name.length) }] };
    },
    async *getLogs(_request, context) {
      const order = context.requestHeader.get(doHeader);
      await obey(context);
      if (order === "nothing") return;
      for (const detail of ["one", "two", "three"]) yield { detail };
      if (order === "late-fail") throw richError();
      if (order === "late-header") context.responseHeader.set("x-late", "1");
      if (order === "late-trailer") context.responseTrailer.set("x-late", "1");
      if (order === "many") for (let count = 0; count < 5_000; count += 1) yield { detail: `line ${count}` };
    },
    async syncUser(users, context) {
      const order = context.requestHeader.get(doHeader);
      await obey(context);
      if (order === "not-read") return {};
      let count = 0;
      for await (const { email } of users) {
        count += email.length;
        if (order === "read-one") break;
        if (order === "fail-after-one") throw richError();
      }
      context.responseTrailer.set("x-count", String(count));
      return {};
    },
  },
  { validated: false },
);

async function obey({ requestHeader, responseHeader, responseTrailer, signal }: HandlerContext): Promise<void> {
  switch (requestHeader.get(doHeader)) {
    case "fail":
      throw richError();
    case "fail-quietly":
      throw new ConnectError("", Code.Aborted);
    case "break":
      throw new Error("a secret of the handler");
    case "metadata":
      responseHeader.set("x-head", "a");
      responseHeader.append("x-head", "b");
      responseHeader.set("x-data-bin", "AAEC");
      responseHeader.append("set-cookie", "a=1");
      responseHeader.append("set-cookie", "b=2");
      responseTrailer.set("X-Tail", " padded ");
      responseTrailer.append("x-tail", "c");
      return;
    case "metadata-and-fail":
      responseHeader.set("x-head", "a");
      responseTrailer.set("x-tail", "c");
      throw richError();
    case "connection-header":
      responseHeader.set("keep-alive", "1");
      responseHeader.set("x-kept", "1");
      return;
    case "content-type":
      responseHeader.set("content-type", "text/plain");
      return;
    case "latin-header":
      responseHeader.set("x-head", "caf\u00e9");
      return;
    case "wait":
      if (!signal.aborted) await once(signal, "abort");
      throw signal.reason;
  }
}

function richError(): ConnectError {
  const metadata = { "x-meta": "1", "grpc-status": "9", "content-length": "7" };
  const detail = { desc: StatSchema, value: { name: "n", value: 5n } };
  return new ConnectError("not found: 100 % g\u00fcltig\n\u{1f600}", Code.NotFound, metadata, [detail]);
}
