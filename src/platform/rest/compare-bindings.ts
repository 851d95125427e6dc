import { createFileRegistry, type DescService, type FileRegistry, fromBinary } from "@bufbuild/protobuf";
import { FileDescriptorSetSchema } from "@bufbuild/protobuf/wkt";
import { BadContract } from "./bad-contract.ts";
import type { RestBinding, TextFeed } from "./binding.ts";
import { compareJson } from "./compare-json.ts";
import { bindingsOfAll } from "./read-bindings.ts";

/** A contract: as Buf's image, or described. */
export type Contract = Uint8Array | FileRegistry;

/**
 * What of a contract breaks its REST callers of before: routes that are gone or behave otherwise, and legacy JSON that
 * is read or written otherwise. One line each; none for mere additions. What cannot be served at all is told as well.
 */
export function compareBindings(before: Contract, after: Contract): string[] {
  const [old, now] = [describe(before), describe(after)];
  let served: RestBinding[];
  try {
    served = bindingsOfAll(servicesOf(now));
  } catch (cause) {
    if (cause instanceof BadContract) return [...cause.problems];
    throw cause;
  }
  const routes = new Map(served.map((binding) => [routeOf(binding), binding]));
  const broken = bindingsOfAll(servicesOf(old)).flatMap((binding) => {
    const where = `${binding.verb} ${binding.path.text}`;
    const next = routes.get(routeOf(binding));
    if (next === undefined) return [`${where}: the route of ${rpcOf(binding)} is gone`];
    return Array.from(changesOf(binding, next), (change) => `${where}: ${change}`);
  });
  return [...broken, ...compareJson(old, now)];
}

function describe(contract: Contract): FileRegistry {
  return contract instanceof Uint8Array ? createFileRegistry(fromBinary(FileDescriptorSetSchema, contract)) : contract;
}

function servicesOf(registry: FileRegistry): DescService[] {
  return [...registry].filter((desc) => desc.kind === "service");
}

function routeOf({ verb, path }: RestBinding): string {
  return `${verb} ${path.shape}`;
}

function rpcOf({ method }: RestBinding): string {
  return `${method.parent.typeName}.${method.name}`;
}

/** What must stay as it is, by name. */
const settled: Readonly<Record<string, (binding: RestBinding) => string>> = {
  RPC: rpcOf,
  "variables of the path": ({ pathFields }) => pathFields.map((path) => path.map(nameOf).join(".")).join(", "),
  body: ({ body }) => (typeof body === "string" ? body : body.name),
  codec: ({ codec }) => codec,
  "framing of the request": ({ delimitedRequest }) => (delimitedRequest ? "delimited" : "one message"),
  "framing of the response": ({ responseFraming }) => responseFraming ?? "one message",
  "field that is sent": ({ responseBody }) => nameOf(responseBody),
  envelope: ({ envelope }) => envelope,
  "name of events": ({ eventField }) => nameOf(eventField),
  "status of success": ({ successStatus }) => `${successStatus}`,
  text: ({ feed }) => (feed === undefined ? "none" : `${feed.field.name} as ${contentTypeOf(feed)}`),
  "form of errors": ({ errors }) => errors.form,
  "status of unforeseen errors": ({ errors }) => `${errors.internalStatus}`,
  "wording of errors": ({ errors }) => JSON.stringify(errors.sentences),
};

function* changesOf(old: RestBinding, now: RestBinding): Generator<string> {
  for (const [what, of] of Object.entries(settled)) {
    if (of(old) !== of(now)) yield `the ${what} was ${of(old)}, and is ${of(now)}`;
  }
  if (now.contentTypeRequired && !old.contentTypeRequired) yield "the body must now come with its content type";
  if (now.bodyLimitBytes < old.bodyLimitBytes) yield "bodies of more bytes than now were taken";
  if (now.streamLimitBytes < old.streamLimitBytes) yield "streamed bodies of more bytes than now were taken";
  if (old.arrayBody && nameOf(old.arrayBody) !== nameOf(now.arrayBody))
    yield "a body that is an array was read otherwise";
  if (old.quotedBody && !now.quotedBody) yield "a body that is a string was read";
  if (old.eventIdField && nameOf(old.eventIdField) !== nameOf(now.eventIdField)) yield "events had another id";
  if (old.emitDefaults && !now.emitDefaults) yield "fields with default values were sent";
  if (old.etag && !now.etag) yield "an ETag was sent";
  for (const field of old.beside) {
    if (!now.beside.some(({ name }) => name === field.name)) yield `${field.name} was sent beside the data`;
  }
  for (const field of now.beside) {
    const wasData = old.method.output.fields.some(({ name }) => name === field.name);
    if (wasData && !old.beside.some(({ name }) => name === field.name)) yield `${field.name} was sent in the data`;
  }
}

function contentTypeOf({ contentType, contentTypeField }: TextFeed): string {
  return contentTypeField === undefined ? contentType : `what ${contentTypeField.name} tells`;
}

function nameOf(field: { name: string } | undefined): string {
  return field?.name ?? "none";
}
