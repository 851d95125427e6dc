import type { OutgoingHttpHeaders } from "node:http2";
import { gzipSync } from "node:zlib";
import type { OddHttp2Request } from "./exchange-http2.ts";
import { byteByByte, statRequest } from "./frames.ts";
import { doHeader, gateHeader } from "./odd-service.ts";

/** A unary Connect request of either HTTP version, and what is odd about it. */
export interface OddConnectCase extends Pick<OddHttp2Request, "fields" | "body" | "end"> {
  name: string;
  path?: string;
  /** The short path has to leave it to the router. */
  left?: boolean;
}

const path = "/service.NodeService/GetStats";
const json = (value: unknown): Uint8Array[] => [new TextEncoder().encode(JSON.stringify(value))];
const bytes = (...values: number[]): Uint8Array[] => [Uint8Array.from(values)];
const zipped = gzipSync(statRequest);
const ok = [statRequest];
const okJson = json({ name: "someone", type: "UserStat" });
const asJson: OutgoingHttpHeaders = { "content-type": "application/json" };

/** Fields of a well-formed Connect call over HTTP/2; a request's own replace them. */
export const connectFields: OutgoingHttpHeaders = {
  ":method": "POST",
  ":path": path,
  "content-type": "application/proto",
};

/** Odd requests that both versions of HTTP can carry. */
export const oddConnect: readonly OddConnectCase[] = [
  { name: "proto", body: ok },
  { name: "JSON", body: okJson, fields: asJson },
  { name: "proto, byte by byte", body: byteByByte(statRequest) },
  { name: "no body" },
  { name: "no body, ended with the header", end: "header" },
  { name: "no body, JSON", end: "header", fields: asJson },
  { name: "an empty body after a while", end: "empty" },
  { name: "malformed protobuf", body: bytes(0x0a, 0x7f, 0x78) },
  { name: "invalid UTF-8 in a string", body: bytes(0x0a, 2, 0xc3, 0x28) },
  { name: "an unknown enum value", body: bytes(0x18, 0x63) },
  { name: "malformed JSON", body: [new TextEncoder().encode('{"name":')], fields: asJson },
  { name: "JSON of another shape", body: json(["a"]), fields: asJson },
  { name: "JSON with a wrong type", body: json({ name: 5 }), fields: asJson },
  { name: "JSON with an unknown field", body: json({ nickname: "x", name: "y" }), fields: asJson },
  { name: "JSON with an unknown enum name", body: json({ type: "Nobody" }), fields: asJson },
  { name: "JSON with invalid UTF-8", body: [Buffer.from('{"name":"\xff"}', "latin1")], fields: asJson },
  {
    name: "JSON with a byte order mark",
    body: [Buffer.concat([bytes(0xef, 0xbb, 0xbf)[0] ?? "", ...okJson].map((part) => Buffer.from(part)))],
    fields: asJson,
  },
  {
    name: "JSON with a charset",
    body: okJson,
    fields: { "content-type": "application/json; charset=utf-8" },
    left: true,
  },
  { name: "a content type in upper case", body: ok, fields: { "content-type": "APPLICATION/PROTO" }, left: true },
  { name: "an unknown content type", body: ok, fields: { "content-type": "text/plain" }, left: true },
  { name: "no content type", body: ok, fields: { "content-type": undefined }, left: true },
  {
    name: "the content type of streams",
    body: ok,
    fields: { "content-type": "application/connect+proto" },
    left: true,
  },
  { name: "a streaming method", body: ok, path: "/service.NodeService/GetLogs", left: true },
  { name: "an unknown method", body: ok, path: `${path}s`, left: true },
  { name: "a query", body: ok, path: `${path}?a=b`, left: true },
  { name: "gzip", body: [zipped], fields: { "content-encoding": "gzip" } },
  { name: "gzip that is none", body: ok, fields: { "content-encoding": "gzip" } },
  { name: "gzip cut short", body: [zipped.subarray(0, 12)], fields: { "content-encoding": "gzip" } },
  { name: "gzip, empty", fields: { "content-encoding": "gzip" }, end: "empty" },
  { name: "gzip over the limit", body: [gzipSync(new Uint8Array(100_000))], fields: { "content-encoding": "gzip" } },
  { name: "identity", body: ok, fields: { "content-encoding": "identity" } },
  { name: "an unknown encoding", body: ok, fields: { "content-encoding": "br" }, left: true },
  { name: "a large answer, gzip accepted", body: ok, fields: { [doHeader]: "large", "accept-encoding": "br, gzip" } },
  {
    name: "a large answer, gzip accepted by weight",
    body: ok,
    fields: { [doHeader]: "large", "accept-encoding": "gzip;q=0.5" },
  },
  { name: "a body over the limit", body: [new Uint8Array(20_000)] },
  { name: "a body over the limit in pieces", body: Array(4).fill(new Uint8Array(6_000)) },
  { name: "a deadline", body: ok, fields: { "connect-timeout-ms": "5000" } },
  { name: "a deadline that passes", body: ok, fields: { "connect-timeout-ms": "40", [doHeader]: "wait" } },
  { name: "a deadline of nothing", body: ok, fields: { "connect-timeout-ms": "0", [doHeader]: "wait" } },
  { name: "a malformed deadline", body: ok, fields: { "connect-timeout-ms": "5s" }, left: true },
  { name: "a deadline of eleven digits", body: ok, fields: { "connect-timeout-ms": "99999999999" }, left: true },
  { name: "the protocol's version", body: ok, fields: { "connect-protocol-version": "1" } },
  { name: "another version of the protocol", body: ok, fields: { "connect-protocol-version": "2" } },
  { name: "a call from a web page", body: ok, fields: { origin: "http://elsewhere.test" }, left: true },
  ...["refuse", "wait-refuse", "break", "wait-break", "wait"].map((order) => ({
    name: `the gate says ${order}`,
    body: ok,
    fields: { [gateHeader]: order },
  })),
  { name: "the end comes while the gate waits", end: "empty", fields: { [gateHeader]: "wait" } },
  { name: "the gate refuses a large body", body: [new Uint8Array(60_000)], fields: { [gateHeader]: "refuse" } },
  ...["fail", "fail-quietly", "break", "metadata", "metadata-and-fail", "content-type", "latin-header"].flatMap(
    (order) => [
      { name: `the handler: ${order}`, body: ok, fields: { [doHeader]: order } },
      { name: `the handler, in JSON: ${order}`, body: okJson, fields: { ...asJson, [doHeader]: order } },
    ],
  ),
];
