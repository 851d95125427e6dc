import { constants, type OutgoingHttpHeaders } from "node:http2";
import type { OddHttp2Request } from "./exchange-http2.ts";
import { byteByByte, frame, gzipped, statRequest, user } from "./frames.ts";
import { doHeader, gateHeader } from "./odd-service.ts";

/** A request, who has to serve it, and what is odd about it. */
export interface OddGrpcCase extends OddHttp2Request {
  name: string;
  /** Default: GetStats. */
  method?: "GetStats" | "GetLogs" | "SyncUser";
  /** The short path has to leave it to the router. */
  left?: boolean;
}

/** Fields of a well-formed gRPC call. */
export function grpcFields(path: string): OutgoingHttpHeaders {
  return { ":method": "POST", ":path": path, "content-type": "application/grpc", te: "trailers" };
}

/** The largest message that the servers of the test take. */
export const readMaxBytes = 16 * 1024;

const ok = [frame(statRequest)];
const empty = [frame(new Uint8Array())];
const utf8 = (text: string) => new TextEncoder().encode(text);
const path = "/service.NodeService/GetStats";

const bodies: OddGrpcCase[] = [
  { name: "well-formed", body: ok },
  { name: "no message, ended with the header", end: "header" },
  { name: "no message, ended by an empty frame", end: "empty" },
  { name: "ended by an empty frame behind the message", body: ok, end: "empty" },
  { name: "byte by byte", body: byteByByte(frame(statRequest)) },
  { name: "an empty message", body: empty },
  { name: "two messages in one piece", body: [Buffer.concat([...ok, ...ok])] },
  { name: "two messages in two pieces", body: [...ok, ...ok] },
  { name: "a second message that never comes", body: [...ok, frame(statRequest).subarray(0, 3)], end: "never" },
  { name: "a second message that is malformed", body: [...ok, frame(utf8("\xff\xff"))] },
  { name: "a prefix cut short", body: [frame(statRequest).subarray(0, 3)] },
  { name: "data cut short", body: [frame(statRequest).subarray(0, 9)] },
  { name: "a second message cut short", body: [...ok, frame(statRequest).subarray(0, 9)] },
  { name: "a length of 4 GiB, ended", body: [frame(statRequest, 0, 0xffffffff)] },
  { name: "a length of 4 GiB, not ended", body: [frame(statRequest, 0, 0xffffffff)], end: "never" },
  { name: "a length over the limit by one, cut short", body: [frame(statRequest, 0, readMaxBytes + 1)] },
  { name: "a message over the limit", body: [frame(new Uint8Array(readMaxBytes + 1))] },
  { name: "a message at the limit that is no message", body: [frame(new Uint8Array(readMaxBytes))] },
  {
    name: "a message far over the limit in many pieces",
    body: Array(20).fill(frame(new Uint8Array(10_000), 0, 200_000)),
  },
  { name: "an unknown flag", body: [frame(statRequest, 0x02)] },
  { name: "the flag of gRPC-Web trailers", body: [frame(statRequest, 0x80)] },
  { name: "malformed protobuf", body: [frame(utf8("\x0a\x7fx"))] },
  { name: "a field number of zero", body: [frame(Uint8Array.of(0, 1))] },
  { name: "a varint without end", body: [frame(new Uint8Array(20).fill(0xff))] },
  { name: "invalid UTF-8 in a string", body: [frame(Uint8Array.of(0x0a, 2, 0xc3, 0x28))] },
  { name: "an unknown enum value", body: [frame(Uint8Array.of(0x18, 0x63))] },
  { name: "unknown fields", body: [frame(Buffer.concat([statRequest, Uint8Array.of(0x78, 1)]))] },
  { name: "never a message", end: "never" },
  { name: "a message, but never the end", body: ok, end: "never" },
  { name: "trailers behind the message", body: ok, end: "empty", trailers: { "x-tail": "1" } },
  { name: "a reset before the message", end: "never", reset: constants.NGHTTP2_CANCEL },
  { name: "a reset without an error", body: [frame(statRequest).subarray(0, 9)], end: "never", reset: 0 },
  { name: "a reset with an error", body: ok, end: "never", reset: constants.NGHTTP2_INTERNAL_ERROR },
];

const compressed: OddGrpcCase[] = [
  { name: "gzip", body: [gzipped(statRequest)], fields: { "grpc-encoding": "gzip" } },
  { name: "gzip announced, not used", body: ok, fields: { "grpc-encoding": "gzip" } },
  { name: "gzip used, not announced", body: [gzipped(statRequest)] },
  { name: "identity announced, gzip used", body: [gzipped(statRequest)], fields: { "grpc-encoding": "identity" } },
  { name: "gzip, empty", body: [frame(new Uint8Array(), 1)], fields: { "grpc-encoding": "gzip" } },
  { name: "gzip that is none", body: [frame(statRequest, 1)], fields: { "grpc-encoding": "gzip" } },
  {
    name: "gzip cut short",
    body: [frame(gzipped(statRequest).subarray(5, 20), 1)],
    fields: { "grpc-encoding": "gzip" },
  },
  { name: "gzip over the limit", body: [gzipped(new Uint8Array(100_000))], fields: { "grpc-encoding": "gzip" } },
  { name: "gzip twice", body: [gzipped(statRequest), gzipped(statRequest)], fields: { "grpc-encoding": "gzip" } },
  { name: "an unknown encoding", body: ok, fields: { "grpc-encoding": "br" }, left: true },
  { name: "an encoding in upper case", body: ok, fields: { "grpc-encoding": "GZIP" }, left: true },
  { name: "an encoding twice", body: ok, fields: { "grpc-encoding": ["gzip", "gzip"] }, left: true },
  { name: "no encoding accepted", body: ok, fields: { "grpc-accept-encoding": "" } },
  {
    name: "a large answer, gzip accepted",
    body: ok,
    fields: { [doHeader]: "large", "grpc-accept-encoding": "br, gzip" },
  },
  {
    name: "a large answer, nothing known accepted",
    body: ok,
    fields: { [doHeader]: "large", "grpc-accept-encoding": "br" },
  },
  {
    name: "a large answer in the encoding of the request",
    body: ok,
    fields: { [doHeader]: "large", "grpc-encoding": "gzip" },
  },
];

const headers: OddGrpcCase[] = [
  { name: "a deadline", body: ok, fields: { "grpc-timeout": "5S" } },
  { name: "a deadline that passes", body: ok, fields: { "grpc-timeout": "40m", [doHeader]: "wait" } },
  { name: "a deadline of nothing", body: ok, fields: { "grpc-timeout": "0m", [doHeader]: "wait" } },
  { name: "a deadline in words", body: ok, fields: { "grpc-timeout": "soon" }, left: true },
  { name: "a deadline without unit", body: ok, fields: { "grpc-timeout": "5" }, left: true },
  { name: "a deadline below zero", body: ok, fields: { "grpc-timeout": "-1S" }, left: true },
  { name: "a deadline of nine digits", body: ok, fields: { "grpc-timeout": "999999999S" }, left: true },
  { name: "an unknown unit", body: ok, fields: { "grpc-timeout": "5s" }, left: true },
  { name: "two deadlines", body: ok, fields: { "grpc-timeout": ["1S", "2S"] }, left: true },
  {
    name: "a malformed deadline on a stream",
    method: "GetLogs",
    body: empty,
    fields: { "grpc-timeout": "x" },
    left: true,
  },
  { name: "gRPC with its codec", body: ok, fields: { "content-type": "application/grpc+proto" } },
  {
    name: "JSON over gRPC",
    body: [frame(utf8("{}"))],
    fields: { "content-type": "application/grpc+json" },
    left: true,
  },
  { name: "a content type in upper case", body: ok, fields: { "content-type": "APPLICATION/GRPC" }, left: true },
  {
    name: "a content type with a parameter",
    body: ok,
    fields: { "content-type": "application/grpc; a=b" },
    left: true,
  },
  { name: "an unknown codec", body: ok, fields: { "content-type": "application/grpc+xml" }, left: true },
  { name: "gRPC-Web", body: ok, fields: { "content-type": "application/grpc-web+proto" }, left: true },
  { name: "no content type", body: ok, fields: { "content-type": undefined }, left: true },
  { name: "two content types", body: ok, fields: { "content-type": "application/grpc, application/grpc" }, left: true },
  { name: "GET", fields: { ":method": "GET" }, end: "header", left: true },
  { name: "PUT", body: ok, fields: { ":method": "PUT" }, left: true },
  { name: "an unknown method", body: ok, fields: { ":path": `${path}s` }, left: true },
  { name: "an unknown service", body: ok, fields: { ":path": "/service.Other/GetStats" }, left: true },
  { name: "a path in lower case", body: ok, fields: { ":path": path.toLowerCase() }, left: true },
  { name: "a path with a query", body: ok, fields: { ":path": `${path}?a=b` }, left: true },
  { name: "a path with a slash behind it", body: ok, fields: { ":path": `${path}/` }, left: true },
  { name: "a path with an escape", body: ok, fields: { ":path": path.replace(".", "%2E") }, left: true },
  { name: "no te", body: ok, fields: { te: undefined } },
  { name: "an odd authority", body: ok, fields: { ":authority": "someone@localhost" }, left: true },
  { name: "an authority that is no host", body: ok, fields: { ":authority": "a b" }, left: true },
  { name: "a call from a web page", body: ok, fields: { origin: "http://elsewhere.test" }, left: true },
  { name: "an expectation", body: ok, fields: { expect: "100-continue" }, left: true },
  { name: "a field twice", body: ok, fields: { "x-custom": ["a", "b"] } },
  { name: "an empty field", body: ok, fields: { "x-custom": "" } },
  { name: "a binary field that is no base64", body: ok, fields: { "x-custom-bin": "***" } },
  { name: "a field in Latin letters", body: ok, fields: { "x-custom": "caf\u00e9" } },
  { name: "a length that the body keeps", body: ok, fields: { "content-length": String(ok[0]?.length) } },
];

const gates: OddGrpcCase[] = ["refuse", "wait-refuse", "break", "wait-break"].flatMap((order) => [
  { name: `the gate says ${order}`, body: ok, fields: { [gateHeader]: order } },
  { name: `the gate says ${order}, nothing was sent`, end: "header" as const, fields: { [gateHeader]: order } },
  {
    name: `the gate says ${order}, the client goes on sending`,
    body: ok,
    end: "never" as const,
    fields: { [gateHeader]: order },
  },
  {
    name: `the gate says ${order} to a stream`,
    method: "SyncUser" as const,
    body: [frame(user)],
    fields: { [gateHeader]: order },
  },
]);
gates.push(
  { name: "the end comes while the gate waits", body: ok, end: "empty", fields: { [gateHeader]: "wait" } },
  { name: "an empty end comes while the gate waits", end: "empty", fields: { [gateHeader]: "wait" } },
  {
    name: "a stream ends while the gate waits",
    method: "SyncUser",
    body: [frame(user)],
    end: "empty",
    fields: { [gateHeader]: "wait" },
  },
  {
    name: "a reset while the gate waits",
    body: ok,
    end: "never",
    reset: constants.NGHTTP2_CANCEL,
    fields: { [gateHeader]: "wait" },
  },
  { name: "the gate waits longer than the deadline", body: ok, fields: { [gateHeader]: "wait", "grpc-timeout": "1m" } },
);

const orders = [
  "fail",
  "fail-quietly",
  "break",
  "metadata",
  "metadata-and-fail",
  "connection-header",
  "content-type",
  "latin-header",
];
const handlers: OddGrpcCase[] = orders.flatMap((order) => [
  { name: `a unary handler: ${order}`, body: ok, fields: { [doHeader]: order } },
  { name: `a server stream: ${order}`, method: "GetLogs" as const, body: empty, fields: { [doHeader]: order } },
  {
    name: `a client stream: ${order}`,
    method: "SyncUser" as const,
    body: [frame(user)],
    fields: { [doHeader]: order },
  },
]);

const streams: OddGrpcCase[] = [
  { name: "a server stream", method: "GetLogs", body: empty },
  { name: "a server stream without messages", method: "GetLogs", body: empty, fields: { [doHeader]: "nothing" } },
  { name: "a server stream of many messages", method: "GetLogs", body: empty, fields: { [doHeader]: "many" } },
  { name: "a server stream that fails late", method: "GetLogs", body: empty, fields: { [doHeader]: "late-fail" } },
  { name: "a header behind the messages", method: "GetLogs", body: empty, fields: { [doHeader]: "late-header" } },
  { name: "a trailer behind the messages", method: "GetLogs", body: empty, fields: { [doHeader]: "late-trailer" } },
  { name: "a server stream without request", method: "GetLogs", end: "header" },
  { name: "a server stream with two requests", method: "GetLogs", body: [...empty, ...empty] },
  { name: "a server stream, request cut short", method: "GetLogs", body: [frame(user).subarray(0, 7)] },
  {
    name: "a deadline on a server stream",
    method: "GetLogs",
    body: empty,
    fields: { [doHeader]: "wait", "grpc-timeout": "40m" },
  },
  { name: "a client stream", method: "SyncUser", body: [frame(user), frame(user), frame(user)] },
  { name: "a client stream in one piece", method: "SyncUser", body: [Buffer.concat([frame(user), frame(user)])] },
  { name: "a client stream of nothing", method: "SyncUser", end: "header" },
  { name: "a client stream ended by an empty frame", method: "SyncUser", body: [frame(user)], end: "empty" },
  { name: "a client stream cut short", method: "SyncUser", body: [frame(user), frame(user).subarray(0, 8)] },
  { name: "a client stream with a malformed message", method: "SyncUser", body: [frame(user), frame(utf8("\xff"))] },
  { name: "a client stream, one compressed without encoding", method: "SyncUser", body: [frame(user), gzipped(user)] },
  {
    name: "a client stream, some compressed",
    method: "SyncUser",
    body: [gzipped(user), frame(user), gzipped(user)],
    fields: { "grpc-encoding": "gzip" },
  },
  {
    name: "a client stream with one message over the limit",
    method: "SyncUser",
    body: [frame(user), frame(new Uint8Array(20_000))],
  },
  {
    name: "a client stream that is not read",
    method: "SyncUser",
    body: [frame(user)],
    fields: { [doHeader]: "not-read" },
  },
  {
    name: "a client stream that is not read and does not end",
    method: "SyncUser",
    body: [frame(user)],
    end: "never",
    fields: { [doHeader]: "not-read" },
  },
  {
    name: "a client stream of which one is read",
    method: "SyncUser",
    body: [frame(user), frame(user)],
    fields: { [doHeader]: "read-one" },
  },
  {
    name: "a client stream of which one is read, without end",
    method: "SyncUser",
    body: [frame(user)],
    end: "never",
    fields: { [doHeader]: "read-one" },
  },
  {
    name: "a client stream that fails after one",
    method: "SyncUser",
    body: [frame(user), frame(user)],
    fields: { [doHeader]: "fail-after-one" },
  },
  {
    name: "a client stream that fails after one, without end",
    method: "SyncUser",
    body: [frame(user)],
    end: "never",
    fields: { [doHeader]: "fail-after-one" },
  },
  {
    name: "a client stream that is reset",
    method: "SyncUser",
    body: [frame(user)],
    end: "never",
    reset: constants.NGHTTP2_CANCEL,
  },
  {
    name: "a deadline on a client stream that does not end",
    method: "SyncUser",
    body: [frame(user)],
    end: "never",
    fields: { "grpc-timeout": "40m" },
  },
];

/** Odd gRPC requests. */
export const oddGrpc: readonly OddGrpcCase[] = [
  ...bodies,
  ...compressed,
  ...headers,
  ...gates,
  ...handlers,
  ...streams,
];
