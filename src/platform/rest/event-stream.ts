import type { Message } from "@bufbuild/protobuf";
import type { FastifyRequest } from "fastify";
import type { RestBinding } from "./binding.ts";
import { delimited } from "./delimited.ts";
import { stringFieldsOf } from "./read-bindings.ts";
import { contentTypes } from "./request-body.ts";
import { createTextReader, type ResponseWriter } from "./response-writer.ts";

/** How the messages of a streamed response go out. */
export interface Framer {
  readonly header: Readonly<Record<string, string>>;
  frame(message: Message): string | Buffer;
  /** What is sent in silence, so that whoever is between does not take the connection for dead. */
  readonly keepAlive: string | undefined;
  /** How an error is told once messages were sent. Absent: by cutting the connection. */
  readonly error: ((body: string) => string) | undefined;
}

/** Compiles the framing of a route's messages; the request chooses where there is a choice. */
export function createFramer(binding: RestBinding, writer: ResponseWriter): (request: FastifyRequest) => Framer {
  switch (binding.responseFraming) {
    case "lines": {
      const lineOf = lineReader(binding);
      const raw: Framer = {
        header: eventStream,
        frame: (message) => `${lineOf(message)}\n`,
        keepAlive: undefined,
        error: undefined,
      };
      const events: Framer = { ...sse, frame: (message) => eventOf(lineOf(message)) };
      return ({ headers }) => (asksForEvents(headers.accept) ? events : raw);
    }
    case "delimited": {
      const framer: Framer = {
        header: { "content-type": contentTypes.protobuf[0] },
        frame: (message) => delimited(Buffer.from(writer.write(message))),
        keepAlive: undefined,
        error: undefined,
      };
      return () => framer;
    }
    default: {
      const nameOf = binding.eventField && createTextReader(binding.eventField);
      const idOf = binding.eventIdField && createTextReader(binding.eventIdField);
      const framer: Framer = {
        ...sse,
        frame: (message) => eventOf(writer.write(message).toString(), nameOf?.(message), idOf?.(message)),
      };
      return () => framer;
    }
  }
}

/** One Server-Sent Event. */
function eventOf(data: string, name = "", id = ""): string {
  let event = id === "" ? "" : `id: ${oneLine(id)}\n`;
  if (name !== "") event += `event: ${oneLine(name)}\n`;
  for (const line of data.split(/\r\n|\r|\n/)) event += `data: ${line}\n`;
  return `${event}\n`;
}

const eventStream = {
  "content-type": "text/event-stream",
  "cache-control": "no-cache",
  // Proxies that collect answers would hold events back.
  "x-accel-buffering": "no",
};

const sse = {
  header: eventStream,
  keepAlive: ": keep-alive\n\n",
  error: (body: string) => eventOf(body.trimEnd(), "error"),
};

function asksForEvents(accept: string | undefined): boolean {
  return (
    accept?.split(",").some((type) => type.split(";", 1)[0]?.trim().toLowerCase() === "text/event-stream") ?? false
  );
}

function lineReader({ method }: RestBinding): (message: Message) => string {
  const [field] = stringFieldsOf(method.output);
  if (field === undefined) throw new TypeError(`${method.output} has no line`);
  return createTextReader(field);
}

// A line break would end the field, and a NUL makes browsers ignore an id.
function oneLine(text: string): string {
  return text.replace(/[\r\n\0]+/g, " ");
}
