import {
  type DescField,
  type DescMessage,
  type DescMethod,
  type DescService,
  getOption,
  hasOption,
  ScalarType,
} from "@bufbuild/protobuf";
import {
  type Api,
  api as apiOption,
  type Binding,
  binding as bindingOption,
  Codec,
  Envelope,
  ErrorForm,
  Framing,
  Verb,
} from "../../../gen/garrison/rest/v1/rest_pb.ts";
import { BadContract } from "./bad-contract.ts";
import { type ErrorStyle, type FieldPath, ownSentences, type RestBinding, type SentenceName } from "./binding.ts";
import { parsePathTemplate } from "./path-template.ts";

/** All REST routes of a service. */
function bindingsOf(service: DescService): RestBinding[] {
  const api = getOption(service, apiOption);
  const problems: string[] = [];
  const bindings: RestBinding[] = [];
  for (const method of service.methods) {
    for (const binding of getOption(method, bindingOption)) {
      const where = `${service.typeName}.${method.name} at ${verbs.get(binding.verb) ?? "(no verb)"} ${binding.path}`;
      const report = (problem: string) => problems.push(`${where}: ${problem}`);
      const read = readBinding(method, binding, api, report);
      if (read !== undefined) bindings.push(read);
    }
  }
  if (problems.length > 0) throw new BadContract(problems);
  return bindings;
}

/** All REST routes of some services. Throws {@link BadContract} with everything that is wrong with them. */
export function bindingsOfAll(services: readonly DescService[]): RestBinding[] {
  const bindings = services.flatMap(bindingsOf);
  const seen = new Map<string, RestBinding>();
  const problems: string[] = [];
  for (const binding of bindings) {
    const { method, verb, path } = binding;
    const other = seen.get(`${verb} ${path.shape}`);
    if (other !== undefined) {
      const there = `${other.method.name} at ${other.path.text}`;
      problems.push(`${method.parent.typeName}.${method.name} at ${verb} ${path.text}: ${there} is the same route`);
    }
    seen.set(`${verb} ${path.shape}`, binding);
  }
  if (problems.length > 0) throw new BadContract(problems);
  return bindings;
}

/** How a service words errors where no binding says otherwise. Undefined for a service without REST routes. */
export function errorStyleOf(service: DescService): ErrorStyle | undefined {
  const served = service.methods.some((method) => hasOption(method, bindingOption));
  return served ? styleOf(getOption(service, apiOption), undefined) : undefined;
}

const bodyLimitBytesByDefault = 64 * 1024 * 1024;
const streamLimitBytesByDefault = 1024 * 1024 * 1024;

type Report = (problem: string) => void;

function readBinding(method: DescMethod, binding: Binding, api: Api, report: Report): RestBinding | undefined {
  const { input, output } = method;
  const verb = verbs.get(binding.verb);
  if (verb === undefined) report("no verb");
  const path = parsePathTemplate(binding.path);
  if (typeof path === "string") report(path);
  const pathFields = typeof path === "string" ? [] : path.variables.map((name) => pathField(input, name, report));
  if (verb === undefined || typeof path === "string") return undefined;

  const codec = (binding.codec || api.codec) === Codec.PROTOBUF ? "protobuf" : "json";
  const isEnveloped = codec === "json" && binding.feed === undefined && binding.responseFraming === Framing.UNSPECIFIED;
  const named = (desc: DescMessage, name: string, what: string) => fieldNamed(desc, name, what, report);
  const body = binding.body === "*" ? "all" : (named(input, binding.body, "body") ?? "none");
  const holder = body === "all" ? input : body === "none" ? undefined : body.message;
  const feedField = binding.feed && named(output, binding.feed.field, "feed");
  const contentTypeField = binding.feed && named(output, binding.feed.contentTypeField, "content_type_field");
  const read: RestBinding = {
    method,
    verb,
    path,
    pathFields: pathFields.filter((field) => field !== undefined),
    body,
    codec,
    contentTypeRequired: binding.contentTypeRequired ?? api.contentTypeRequired,
    bodyLimitBytes: binding.bodyLimitBytes || api.bodyLimitBytes || bodyLimitBytesByDefault,
    streamLimitBytes: Number(binding.streamLimitBytes) || streamLimitBytesByDefault,
    arrayBody: holder && named(holder, binding.arrayBody, "array_body"),
    quotedBody: binding.quotedBody,
    delimitedRequest: binding.requestFraming === Framing.DELIMITED,
    responseBody: named(output, binding.responseBody, "response_body"),
    envelope: isEnveloped && (binding.envelope || api.envelope) === Envelope.OK_DATA ? "ok_data" : "bare",
    beside: binding.beside.map((name) => named(output, name, "beside")).filter((field) => field !== undefined),
    emitDefaults: api.emitDefaults,
    successStatus: binding.successStatus || 200,
    responseFraming: framings.get(binding.responseFraming),
    eventField: named(output, binding.eventField, "event_field"),
    eventIdField: named(output, binding.eventIdField, "event_id_field"),
    feed: feedField && {
      field: feedField,
      contentType: binding.feed?.contentType || "text/plain; charset=utf-8",
      contentTypeField,
    },
    etag: binding.etag,
    cacheControl: binding.cacheControl || undefined,
    errors: styleOf(api, binding),
    summary: binding.summary,
  };
  for (const problem of problemsOf(read, binding)) report(problem);
  return read;
}

const verbs = new Map<Verb, RestBinding["verb"]>([
  [Verb.GET, "GET"],
  [Verb.POST, "POST"],
  [Verb.PUT, "PUT"],
  [Verb.PATCH, "PATCH"],
  [Verb.DELETE, "DELETE"],
]);

const framings = new Map<Framing, RestBinding["responseFraming"]>([
  [Framing.SSE, "sse"],
  [Framing.LINES, "lines"],
  [Framing.DELIMITED, "delimited"],
]);

function fieldNamed(desc: DescMessage, name: string, what: string, report: Report): DescField | undefined {
  if (name === "") return undefined;
  const field = desc.fields.find((candidate) => candidate.name === name);
  if (field === undefined) report(`${what} names "${name}", which ${desc.typeName} does not have`);
  return field;
}

function pathField(input: DescMessage, name: string, report: Report): FieldPath | undefined {
  const fields: DescField[] = [];
  let desc: DescMessage | undefined = input;
  for (const step of name.split(".")) {
    const field: DescField | undefined = desc?.fields.find((candidate) => candidate.name === step);
    if (field === undefined) {
      report(`the path names "${name}", which ${input.typeName} does not have`);
      return undefined;
    }
    fields.push(field);
    desc = field.fieldKind === "message" ? field.message : undefined;
  }
  const [first, ...others] = fields;
  const last = fields.at(-1);
  if (first === undefined || (last?.fieldKind !== "scalar" && last?.fieldKind !== "enum")) {
    report(`the path names "${name}", which is not a scalar`);
    return undefined;
  }
  return [first, ...others];
}

function styleOf(api: Api, binding: Binding | undefined): ErrorStyle {
  const names = Object.keys(ownSentences) as SentenceName[]; // the keys of a literal
  const sentence = (name: SentenceName) => binding?.sentences?.[name] ?? api.sentences?.[name] ?? ownSentences[name];
  return {
    form: errorForms.get(api.errorForm) ?? "json",
    internalStatus: api.internalStatus || 500,
    sentences: Object.fromEntries(names.map((name) => [name, sentence(name)])) as Record<SentenceName, string>,
  };
}

const errorForms = new Map<ErrorForm, ErrorStyle["form"]>([
  [ErrorForm.TEXT, "text"],
  [ErrorForm.DETAIL, "detail"],
]);

/** What contradicts itself in a binding whose names all exist. */
function* problemsOf(read: RestBinding, binding: Binding): Generator<string> {
  const { methodKind } = read.method;
  const streamsRequest = methodKind === "client_streaming" || methodKind === "bidi_streaming";
  const streamsResponse = methodKind === "server_streaming" || methodKind === "bidi_streaming";
  if (binding.requestFraming !== Framing.UNSPECIFIED && !read.delimitedRequest) {
    yield "a request can only be framed as FRAMING_DELIMITED";
  }
  if (read.delimitedRequest && !streamsRequest) yield "request_framing needs a streamed request";
  if (read.delimitedRequest && (read.codec !== "protobuf" || read.body !== "all" || read.pathFields.length > 0)) {
    yield 'request_framing needs CODEC_PROTOBUF, body "*", and a path without variables';
  }
  if (streamsResponse && read.responseFraming === undefined) yield "a streamed response needs response_framing";
  if (!streamsResponse && read.responseFraming !== undefined) yield "response_framing needs a streamed response";
  if (read.responseFraming === "delimited" && read.codec !== "protobuf") yield "FRAMING_DELIMITED needs CODEC_PROTOBUF";
  if (read.responseFraming === "lines" && stringFieldsOf(read.method.output).length !== 1) {
    yield "FRAMING_LINES needs a message with exactly one string";
  }
  if ((read.eventField || read.eventIdField) && read.responseFraming !== "sse") {
    yield "event_field and event_id_field need FRAMING_SSE";
  }
  if (read.eventField && !isSingle(read.eventField, (field) => field.scalar === ScalarType.STRING || !!field.enum)) {
    yield "event_field needs a string or an enum";
  }
  if (read.eventIdField && !isSingle(read.eventIdField, (field) => !!field.scalar && !notAnId.has(field.scalar))) {
    yield "event_id_field needs a string or an integer";
  }
  if (read.beside.length > 0 && read.envelope !== "ok_data") yield "beside needs ENVELOPE_OK_DATA";
  if (binding.envelope === Envelope.OK_DATA && read.envelope !== "ok_data") {
    yield "ENVELOPE_OK_DATA needs CODEC_JSON and one response that is no feed";
  }
  if (read.codec === "protobuf" && (read.arrayBody || read.quotedBody)) {
    yield "array_body and quoted_body need CODEC_JSON";
  }
  if (read.arrayBody && read.arrayBody.fieldKind !== "list") yield "array_body needs a repeated field";
  if (binding.arrayBody !== "" && typeof read.body === "object" && !read.body.message) {
    yield "array_body needs a body that is a message";
  }
  if (read.codec === "protobuf" && typeof read.body === "object" && !isMessageField(read.body)) {
    yield "in CODEC_PROTOBUF, body needs a message of its own";
  }
  if (read.codec === "protobuf" && read.responseBody && !isMessageField(read.responseBody)) {
    yield "in CODEC_PROTOBUF, response_body needs a message of its own";
  }
  if (read.feed && (streamsResponse || read.responseBody || read.beside.length > 0)) {
    yield "a feed has one response, and neither response_body nor beside";
  }
  if (read.feed && !isSingle(read.feed.field, (field) => feedTypes.has(field.scalar)))
    yield "feed needs a string or bytes";
  const typeField = read.feed?.contentTypeField;
  if (typeField && !isSingle(typeField, (field) => field.scalar === ScalarType.STRING))
    yield "content_type_field needs a string";
  if (read.etag && (read.verb !== "GET" || streamsResponse)) yield "etag needs VERB_GET and one response";
  if (read.successStatus < 200 || read.successStatus > 299) yield "success_status is not one of success";
}

const notAnId = new Set([ScalarType.BOOL, ScalarType.BYTES, ScalarType.DOUBLE, ScalarType.FLOAT]);
const feedTypes = new Set<ScalarType | undefined>([ScalarType.STRING, ScalarType.BYTES]);

// Wrappers and Struct lie in memory as something else than messages.
function isMessageField(field: DescField): boolean {
  return field.fieldKind === "message" && !field.message.typeName.startsWith("google.protobuf.");
}

function isSingle(field: DescField, test: (field: DescField) => boolean): boolean {
  return field.fieldKind !== "list" && field.fieldKind !== "map" && test(field);
}

/** The plain strings of a message. */
export function stringFieldsOf(desc: DescMessage): DescField[] {
  return desc.fields.filter((field) => field.fieldKind === "scalar" && field.scalar === ScalarType.STRING);
}
