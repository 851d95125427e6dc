import {
  create,
  createRegistry,
  type DescMessage,
  type DescMethodUnary,
  isFieldSet,
  type MessageInitShape,
  type MessageShape,
  toJson,
} from "@bufbuild/protobuf";
import { type Code, ConnectError, createClient } from "@connectrpc/connect";
import { createConnectTransport } from "@connectrpc/connect-node";
import { createReaders, openText } from "../../../src/platform/rest/json/reader.ts";
import { createWriters } from "../../../src/platform/rest/json/writer.ts";
import { bindingsOfAll } from "../../../src/platform/rest/read-bindings.ts";

/** Ways to call the fleet API, which must do the same. */
export const ways = ["connect", "rest"] as const;
/** One of {@link ways}. */
export type Way = (typeof ways)[number];

/** An error as the caller gets it. What a way does not tell is absent. */
export class Refused extends Error {
  readonly code: Code | undefined;
  readonly status: number | undefined;
  readonly machineCode: string | undefined;

  constructor(message: string, told: { code?: Code; status?: number; machineCode?: string }) {
    super(message);
    this.code = told.code;
    this.status = told.status;
    this.machineCode = told.machineCode;
  }
}

/** Calls an RPC. Throws {@link Refused}. */
export type CallRpc = <I extends DescMessage, O extends DescMessage>(
  method: DescMethodUnary<I, O>,
  request: MessageInitShape<I>,
) => Promise<MessageShape<O>>;

/** Makes a caller that goes one way, with a key. */
export function createCaller(way: Way, url: string, key: string): CallRpc {
  return way === "connect" ? connectCaller(url, key) : restCaller(url, key);
}

function connectCaller(url: string, key: string): CallRpc {
  const transport = createConnectTransport({
    baseUrl: url,
    httpVersion: "1.1",
    interceptors: [
      (next) => (request) => {
        if (key !== "") request.header.set("authorization", `Bearer ${key}`);
        return next(request);
      },
    ],
  });
  return async (method, request) => {
    const client = createClient(method.parent, transport) as Record<string, (request: unknown) => Promise<never>>;
    try {
      return (await client[method.localName]?.(request)) ?? Promise.reject(new Error(`${method} is not callable`));
    } catch (cause) {
      if (!(cause instanceof ConnectError)) throw cause;
      throw new Refused(cause.rawMessage, { code: cause.code });
    }
  };
}

/** Calls by the contract's binding: path, query and body as it has them. */
function restCaller(url: string, key: string): CallRpc {
  return async (method, init) => {
    const binding = bindingsOfAll([method.parent]).find((each) => each.method === method);
    if (binding === undefined) throw new Error(`${method} is not served in REST`);
    const request = create(method.input, init);
    const json = toJson(method.input, request) as Record<string, unknown>;
    const inPath = binding.pathFields.map(([field]) => field);
    let path = binding.path.text;
    for (const field of inPath) {
      // A path has the same spellings as a body; its numbers may be beyond what JSON.parse reads.
      const value = field.enum ? JSON.parse(bodyOf(method.input, request))[field.jsonName] : json[field.jsonName];
      path = path.replace(`{${field.name}}`, encodeURIComponent(String(value ?? 0)));
    }
    const query = new URLSearchParams();
    if (binding.body === "none") {
      for (const field of method.input.fields) {
        if (inPath.includes(field) || !isFieldSet(request, field)) continue;
        for (const value of [json[field.jsonName]].flat()) query.append(field.jsonName, String(value));
      }
    }
    const response = await fetch(`${url}${path}${query.size > 0 ? `?${query}` : ""}`, {
      method: binding.verb,
      headers: {
        ...(key !== "" && { authorization: `Bearer ${key}` }),
        ...(binding.body === "all" && { "content-type": "application/json" }),
      },
      ...(binding.body === "all" && { body: bodyOf(method.input, request) }),
    });
    const text = await response.text();
    const answer = parseExactly(text);
    if (answer.ok !== true) {
      throw new Refused(String(answer.error), { status: response.status, machineCode: String(answer.code) });
    }
    if (response.status !== binding.successStatus) throw new Error(`${method} succeeds with ${response.status}`);
    const { ok: _, data, ...beside } = answer;
    const whole = binding.responseBody === undefined ? data : { [binding.responseBody.jsonName]: data, ...beside };
    return readersOf(method.output).message(method.output)(openText(JSON.stringify(whole))) as never;
  };
}

/** Integers of 64 bits, which JSON.parse would round, become texts, which readers of messages take as well. */
function parseExactly(text: string): Record<string, unknown> {
  return JSON.parse(text.replaceAll(/(?<=[:[,])-?\d{16,}(?=[,}\]])/g, '"$&"'));
}

function bodyOf(desc: DescMessage, request: MessageShape<DescMessage>): string {
  return createWriters(createRegistry(desc.file), false).message(desc)(request);
}

function readersOf(desc: DescMessage) {
  return createReaders(createRegistry(desc.file));
}
