import type { IncomingHttpHeaders, IncomingMessage } from "node:http";
import type { ServerHttp2Stream } from "node:http2";
import type { ContextValues } from "@connectrpc/connect";
import type { validateUniversalHandlerOptions } from "@connectrpc/connect/protocol";
import type { Logger } from "../../telemetry/log.ts";
import type { Gate } from "../gate.ts";

/** What all calls on the short path share. */
export interface Serving {
  readonly gate: Gate;
  readonly contextValues: (call: ServerHttp2Stream | IncomingMessage, headers: IncomingHttpHeaders) => ContextValues;
  /** The options of the router, with its defaults filled in. */
  readonly limits: ReturnType<typeof validateUniversalHandlerOptions>;
  readonly log: Logger;
}

/** A header field as the parsers of connect want it. Fields that may occur only once are strings. */
export function field(headers: IncomingHttpHeaders, name: string): string | null {
  const value = headers[name];
  return typeof value === "string" ? value : null;
}
