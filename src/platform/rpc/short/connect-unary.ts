import type { IncomingHttpHeaders, OutgoingHttpHeaders } from "node:http";
import { Code, ConnectError, type ContextValues } from "@connectrpc/connect";
import { type Compression, compressionNegotiate, mergeNonProtocolHeaders } from "@connectrpc/connect/protocol";
import { codeToHttpStatus, errorToJsonBytes, parseTimeout } from "@connectrpc/connect/protocol-connect";
import { Call } from "../call/call.ts";
import { invokeUnary, type UnarySpec } from "../call/invoke.ts";
import { kDelivery } from "../call-context.ts";
import { passGate } from "../gate.ts";
import { asBuffer, type Codec } from "./codecs.ts";
import type { ShortMethod } from "./methods.ts";
import { field, type Serving } from "./serving.ts";

/** A unary Connect call whose header has been understood. */
export interface ConnectUnary {
  readonly call: Call;
  /**
   * Answers it with the body that `read` gives, which is asked for only once the gate has let the call pass. Never
   * rejects.
   */
  answer(read: () => Promise<Buffer>): Promise<ConnectAnswer>;
}

/** The answer to a unary Connect call, of either HTTP version. */
interface ConnectAnswer {
  readonly status: number;
  readonly fields: OutgoingHttpHeaders;
  readonly body: Uint8Array;
}

/** Opens a unary Connect call. Undefined: it is left to the router. */
export function openConnectUnary(
  serving: Serving,
  method: ShortMethod,
  headers: IncomingHttpHeaders,
  origin: string,
  values: () => ContextValues,
): ConnectUnary | undefined {
  const { spec } = method;
  if (spec.kind !== "unary") return undefined;
  const { acceptCompression, maxTimeoutMs, requireConnectProtocolHeader } = serving.limits;
  const accepted = field(headers, "accept-encoding");
  const encoding = compressionNegotiate(
    acceptCompression,
    field(headers, "content-encoding"),
    accepted,
    "accept-encoding",
  );
  const timeout = parseTimeout(field(headers, "connect-timeout-ms"), maxTimeoutMs);
  if (encoding.error !== undefined || timeout.error !== undefined) return undefined;
  if (requireConnectProtocolHeader && headers["connect-protocol-version"] !== "1") return undefined;

  const contentType = headers["content-type"] ?? "";
  const call = new Call({
    method: spec.method,
    protocolName: "connect",
    requestMethod: "POST",
    url: () => origin + method.path,
    timeoutMs: timeout.timeoutMs,
    requestFields: headers,
    responseFields: { "content-type": contentType },
    trailerFields: {},
    values: values(),
    running: method.running,
  });
  const codec = method.codecs[contentType === "application/proto" ? "binary" : "json"];
  return {
    call,
    async answer(read) {
      let status = 200;
      let body: Uint8Array;
      try {
        body = await run(serving, method, spec, call, encoding.request, codec, read);
      } catch (cause) {
        call.values.get(kDelivery).replaced();
        const error = cause instanceof ConnectError ? cause : new ConnectError("internal error", Code.Internal);
        status = codeToHttpStatus(error.code);
        body = describe(error, call, serving);
      }
      call.end();
      return finish(status, call, body, encoding.response, serving);
    },
  };
}

async function run(
  serving: Serving,
  { interceptors }: ShortMethod,
  spec: UnarySpec,
  call: Call,
  encoding: Compression | null,
  { parse, serialize }: Codec,
  read: () => Promise<Buffer>,
): Promise<Uint8Array> {
  const admitted = passGate(serving.gate, call);
  if (admitted !== undefined) await admitted;
  const sent = await read();
  const body = encoding === null ? sent : asBuffer(await encoding.decompress(sent, serving.limits.readMaxBytes));
  const parsed = parse(body, 0, body.length);
  const message = parsed instanceof Promise ? await parsed : parsed;
  return serialize(await invokeUnary(spec, interceptors, call, message), 0);
}

function describe(error: ConnectError, call: Call, serving: Serving): Uint8Array {
  call.responseHeader.set("content-type", "application/json");
  // What another server said of itself in an error that is passed on is not ours to say.
  if (!error.isWireError) mergeNonProtocolHeaders(call.responseHeader, error.metadata);
  return errorToJsonBytes(error, serving.limits.jsonOptions);
}

async function finish(
  status: number,
  { responseHeader, responseTrailer }: Call,
  body: Uint8Array,
  encoding: Compression | null,
  { limits }: Serving,
): Promise<ConnectAnswer> {
  let bytes = body;
  if (encoding !== null && body.byteLength >= limits.compressMinBytes) {
    bytes = await encoding.compress(body);
    responseHeader.set("content-encoding", encoding.name);
  }
  for (const [name, value] of Object.entries(responseTrailer.toFields())) {
    responseHeader.append(`trailer-${name}`, String(value));
  }
  responseHeader.set("content-length", String(bytes.byteLength));
  return { status, fields: responseHeader.toFields(), body: bytes };
}
