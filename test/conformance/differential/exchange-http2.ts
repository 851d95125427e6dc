import { type ClientHttp2Session, constants, type IncomingHttpHeaders, type OutgoingHttpHeaders } from "node:http2";

/** A request as it goes over the wire. */
export interface OddHttp2Request {
  /** Replaces or removes fields of a well-formed call. */
  fields?: OutgoingHttpHeaders;
  /** Pieces of the body, each in a turn of its own. */
  body?: Uint8Array[];
  /** The end of the stream: with the header, with the last piece, in an empty frame of its own, or never. */
  end?: "header" | "piece" | "empty" | "never";
  /** Sent behind the body. */
  trailers?: OutgoingHttpHeaders;
  /** Resets the stream with this code once the body is sent. */
  reset?: number;
}

/** What came back, without what differs from call to call. */
export interface Http2Outcome {
  header: Record<string, unknown>;
  trailer: Record<string, unknown>;
  body: string;
  resetCode: number;
}

// What a client that never ends waits for an answer.
const patienceMs = 150;
const turnMs = 5;

/** Sends a request and notes all that comes back. */
export async function exchangeHttp2(
  session: ClientHttp2Session,
  fields: OutgoingHttpHeaders,
  request: OddHttp2Request,
): Promise<Http2Outcome> {
  const { body = [], end = "piece", trailers, reset } = request;
  const stream = session.request(
    Object.fromEntries(Object.entries({ ...fields, ...request.fields }).filter(([, value]) => value !== undefined)),
    { endStream: end === "header", waitForTrailers: trailers !== undefined },
  );
  const outcome: Http2Outcome = { header: {}, trailer: {}, body: "", resetCode: constants.NGHTTP2_NO_ERROR };
  const pieces: Buffer[] = [];
  stream.on("error", () => undefined);
  stream.on("response", (header) => {
    outcome.header = stable(header);
  });
  stream.on("trailers", (trailer) => {
    outcome.trailer = stable(trailer);
  });
  stream.on("data", (piece: Buffer) => pieces.push(piece));
  stream.on("wantTrailers", () => stream.sendTrailers(trailers ?? {}));
  const closed = new Promise((resolve) => stream.once("close", resolve));
  const turn = () => new Promise((resolve) => setTimeout(resolve, turnMs));
  for (const [index, piece] of body.entries()) {
    if (end === "piece" && index === body.length - 1) stream.end(piece);
    else stream.write(piece);
    await turn();
  }
  if (end === "empty" || (end === "piece" && body.length === 0)) stream.end();
  await turn();
  if (reset !== undefined) stream.close(reset);
  const patience = setTimeout(() => stream.close(constants.NGHTTP2_CANCEL), patienceMs);
  await closed;
  clearTimeout(patience);
  outcome.body = Buffer.concat(pieces).toString("latin1");
  outcome.resetCode = stream.rstCode;
  return outcome;
}

function stable(fields: IncomingHttpHeaders): Record<string, unknown> {
  const { date: _, "x-request-id": id, ...rest } = fields;
  // Which fields are not to be indexed is nothing that a caller sees.
  const plain = Object.fromEntries(Object.entries(rest));
  return { ...plain, ...(id !== undefined && { "x-request-id": "one" }) };
}
