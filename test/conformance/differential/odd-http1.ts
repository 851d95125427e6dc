import { statRequest } from "./frames.ts";
import type { OddConnectCase } from "./odd-connect.ts";
import { doHeader, gateHeader } from "./odd-service.ts";

/** Pieces of a connection as the client writes them, and whether the short path serves the last request of it. */
export interface OddHttp1Case {
  name: string;
  pieces: readonly (string | Uint8Array)[];
  left?: boolean;
}

const path = "/service.NodeService/GetStats";
const length = statRequest.length;

function head(first: string, ...fields: string[]): string {
  return `${[first, ...fields].join("\r\n")}\r\n\r\n`;
}

const post = `POST ${path} HTTP/1.1`;
const host = "host: localhost";
const proto = "content-type: application/proto";
const close = "connection: close";
const sized = `content-length: ${length}`;
const last = [head(post, host, proto, sized, close), statRequest];

/** A request that HTTP/2 could carry too, over HTTP/1.1, its body in chunks. */
export function overHttp1({ name, path: own = path, fields = {}, body = [], end, left }: OddConnectCase): OddHttp1Case {
  const { "content-type": type = "application/proto", ...others } = fields;
  const given = "content-type" in fields && fields["content-type"] === undefined ? [] : [`content-type: ${type}`];
  const first = head(
    `POST ${own} HTTP/1.1`,
    host,
    close,
    ...given,
    ...Object.entries(others).map(([key, value]) => `${key}: ${value}`),
    ...(end === "header" ? [] : ["transfer-encoding: chunked"]),
  );
  const chunks = body.map((piece) =>
    Buffer.concat([Buffer.from(`${piece.length.toString(16)}\r\n`), piece, Buffer.from("\r\n")]),
  );
  return { name, pieces: [first, ...chunks, ...(end === "header" ? [] : ["0\r\n\r\n"])], ...(left && { left }) };
}

/** Odd requests that only HTTP/1.1 can carry. */
export const oddHttp1: readonly OddHttp1Case[] = [
  { name: "with a length", pieces: last },
  { name: "in one piece", pieces: [Buffer.concat(last.map((piece) => Buffer.from(piece)))] },
  { name: "two in turn on a connection", pieces: [head(post, host, proto, sized), statRequest, ...last] },
  {
    name: "two at once on a connection",
    pieces: [Buffer.concat([head(post, host, proto, sized), statRequest, ...last].map((piece) => Buffer.from(piece)))],
  },
  { name: "a length of nothing", pieces: [head(post, host, proto, "content-length: 0", close)] },
  { name: "neither length nor chunks", pieces: [head(post, host, proto, close)] },
  {
    name: "a length over the limit",
    pieces: [head(post, host, proto, "content-length: 99999", close), new Uint8Array(99_999)],
  },
  {
    name: "a length over the limit, and then another call",
    pieces: [head(post, host, proto, "content-length: 99999"), new Uint8Array(99_999), ...last],
  },
  {
    name: "chunks over the limit, and then another call",
    pieces: [
      head(post, host, proto, "transfer-encoding: chunked"),
      "7530\r\n",
      new Uint8Array(0x7530),
      "\r\n0\r\n\r\n",
      ...last,
    ],
  },
  {
    name: "the gate refuses, and then another call",
    pieces: [
      head(post, host, proto, "content-length: 40000", `${gateHeader}: refuse`),
      new Uint8Array(40_000),
      ...last,
    ],
  },
  {
    name: "the gate breaks after a while, and then another call",
    pieces: [
      head(post, host, proto, "content-length: 40000", `${gateHeader}: wait-break`),
      new Uint8Array(40_000),
      ...last,
    ],
  },
  {
    name: "the handler fails, and then another call",
    pieces: [head(post, host, proto, sized, `${doHeader}: fail`), statRequest, ...last],
  },
  { name: "a body cut short", pieces: [head(post, host, proto, "content-length: 50", close), statRequest] },
  { name: "chunks cut short", pieces: [head(post, host, proto, "transfer-encoding: chunked", close), "ff\r\nabc"] },
  {
    name: "a chunk with a malformed length",
    pieces: [head(post, host, proto, "transfer-encoding: chunked", close), "xyz\r\n"],
  },
  {
    name: "a malformed length",
    pieces: [head(post, host, proto, "content-length: 1x", close), statRequest],
    left: true,
  },
  {
    name: "two lengths",
    pieces: [head(post, host, proto, sized, "content-length: 5", close), statRequest],
    left: true,
  },
  { name: "HTTP/1.0", pieces: [head(`POST ${path} HTTP/1.0`, host, proto, sized), statRequest] },
  { name: "no host", pieces: [head(post, proto, sized, close), statRequest], left: true },
  { name: "an odd host", pieces: [head(post, "host: a@b", proto, sized, close), statRequest], left: true },
  { name: "a host that is none", pieces: [head(post, "host: a b", proto, sized, close), statRequest], left: true },
  {
    name: "a path with a host",
    pieces: [head(`POST http://localhost${path} HTTP/1.1`, host, proto, sized, close), statRequest],
    left: true,
  },
  {
    name: "fields in other cases",
    pieces: [head(post, "HOST: localhost", "CONTENT-Type: application/proto", sized, close), statRequest],
  },
  {
    name: "two content types",
    pieces: [head(post, host, proto, "content-type: application/json", sized, close), statRequest],
  },
  { name: "a field twice", pieces: [head(post, host, proto, "x-a: 1", "x-a: 2", sized, close), statRequest] },
  {
    name: "a field with spaces around it",
    pieces: [head(post, host, "content-type:   application/proto  ", sized, close), statRequest],
  },
  {
    name: "an expectation",
    pieces: [head(post, host, proto, sized, "expect: 100-continue", close), statRequest],
    left: true,
  },
  {
    name: "an unknown expectation",
    pieces: [head(post, host, proto, sized, "expect: more", close), statRequest],
    left: true,
  },
  { name: "GET", pieces: [head(`GET ${path} HTTP/1.1`, host, close)], left: true },
  { name: "HEAD", pieces: [head(`HEAD ${path} HTTP/1.1`, host, close)], left: true },
  { name: "OPTIONS", pieces: [head(`OPTIONS ${path} HTTP/1.1`, host, close)], left: true },
  {
    name: "gRPC over HTTP/1.1",
    pieces: [head(post, host, "content-type: application/grpc", sized, close), statRequest],
    left: true,
  },
  {
    name: "trailers behind the chunks",
    pieces: [head(post, host, proto, "transfer-encoding: chunked", "trailer: x-tail", close), "0\r\nx-tail: 1\r\n\r\n"],
  },
  {
    name: "an upgrade to h2c",
    pieces: [
      head(
        post,
        host,
        proto,
        sized,
        "upgrade: h2c",
        "connection: upgrade, http2-settings, close",
        "http2-settings: AAMAAABk",
      ),
      statRequest,
    ],
  },
  { name: "an answer for a client that half-closed", pieces: last },
  {
    name: "a connection header of the handler",
    pieces: [head(post, host, proto, sized, close, `${doHeader}: connection-header`), statRequest],
  },
];
