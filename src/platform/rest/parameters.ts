import { create, type DescField, type DescMessage, type Message, ScalarType } from "@bufbuild/protobuf";
import { Code } from "@connectrpc/connect";
import { PublicError } from "../rpc/public-error.ts";
import { badParameter } from "./bad-request.ts";
import type { FieldPath, RestBinding } from "./binding.ts";
import { JsonFault } from "./json/json-fault.ts";
import { openText, type Readers } from "./json/reader.ts";
import { type Fields, namesOf, ruleOf } from "./json/rules.ts";

/** Puts the variables of a path into a request. */
export type PathReader = (variables: Record<string, string | undefined>, request: Message) => void;

/** Puts the parameters of a query into a request. */
export type QueryReader = (query: Record<string, string | string[] | undefined>, request: Message) => void;

/** Compiles the reader of a route's path variables. They win over what the body said. */
export function createPathReader(binding: RestBinding, readers: Readers): PathReader {
  const variables = binding.path.parameters.flatMap((parameter, index) => {
    const path = binding.pathFields[index];
    const name = binding.path.variables[index] ?? "";
    return path === undefined ? [] : [{ parameter, name, set: createSetter(path, readers) }];
  });
  return (values, request) => {
    for (const { parameter, name, set } of variables) {
      const value = values[parameter];
      // The router takes an empty segment for a value.
      if (value === "" && parameter !== "*") throw new PublicError(binding.errors.sentences.notFound, Code.NotFound);
      if (value !== undefined) named(`"${name}" in the path`, () => set(request, value));
    }
  };
}

/**
 * Compiles the reader of a route's query: of all fields that neither path nor body have, under all their names, those
 * of nested messages joined by dots. Unknown parameters are ignored. Undefined where the body is the whole request.
 */
export function createQueryReader(binding: RestBinding, readers: Readers): QueryReader | undefined {
  if (binding.body === "all") return undefined;
  const taken = new Set(binding.pathFields.filter(({ length }) => length === 1).map(([field]) => field));
  if (binding.body !== "none") taken.add(binding.body);
  const free = binding.method.input.fields.filter((field) => !taken.has(field));
  if (free.length === 0) return undefined;
  const parameterOf = createParameterLookup(free, readers);
  return (query, request) => {
    let seen: Set<Parameter> | undefined;
    for (const name in query) {
      const value = query[name];
      const parameter = value === undefined ? undefined : parameterOf(name);
      if (value === undefined || parameter === undefined) continue;
      seen ??= new Set();
      const isTwice = seen.has(parameter) || (Array.isArray(value) && !parameter.isList);
      if (isTwice) throw badParameter(`"${name}" in the query`, "the field is given twice");
      seen.add(parameter);
      named(`"${name}" in the query`, () => parameter.set(request, value));
    }
  };
}

interface Parameter {
  readonly isList: boolean;
  set(request: Message, value: string | string[]): void;
}

function createParameterLookup(free: readonly DescField[], readers: Readers) {
  const made = new Map<string, Parameter>();
  const parameterAt = (path: FieldPath): Parameter => {
    const key = path.map(({ number }) => number).join(".");
    const known = made.get(key);
    if (known !== undefined) return known;
    const parameter = { isList: path.at(-1)?.fieldKind === "list", set: createSetter(path, readers) };
    made.set(key, parameter);
    return parameter;
  };
  const top = byName(free);
  const direct = new Map(Array.from(top, ([name, field]) => [name, parameterAt([field])]));
  const below = new Map<DescMessage, ReadonlyMap<string, DescField>>();
  const nested = (name: string): Parameter | undefined => {
    const [first = "", ...steps] = name.split(".");
    let field = top.get(first);
    if (field === undefined) return undefined;
    const path: [DescField, ...DescField[]] = [field];
    for (const step of steps) {
      if (field.fieldKind !== "message") return undefined;
      field = below.getOrInsertComputed(field.message, ({ fields }) => byName(fields)).get(step);
      if (field === undefined) return undefined;
      path.push(field);
    }
    return parameterAt(path);
  };
  return (name: string) => direct.get(name) ?? (name.includes(".") ? nested(name) : undefined);
}

function byName(fields: readonly DescField[]): ReadonlyMap<string, DescField> {
  return new Map(fields.flatMap((field) => Array.from(namesOf(field), (name) => [name, field] as const)));
}

/** Sets a field from texts, making the messages on the way to it. */
function createSetter(path: FieldPath, readers: Readers): (request: Message, value: string | string[]) => void {
  const way = path.slice(0, -1);
  const field = path.at(-1) ?? path[0];
  const isJson = field.fieldKind !== "map" && ruleOf(field).jsonText;
  const isPlainText = field.fieldKind === "scalar" && field.scalar === ScalarType.STRING && !field.oneof && !isJson;
  const jsonOf = isBoolean(field) ? booleanAsJson : isJson ? asItIs : JSON.stringify;
  const read = readers.field(field);
  return (request, value) => {
    const holder = holderAt(request, way);
    if (isPlainText && typeof value === "string") {
      (holder as unknown as Fields)[field.localName] = value; // by local name, which the descriptor knows
      return;
    }
    const texts = (Array.isArray(value) ? value : [value]).map((text) => jsonOf(text));
    read(openText(field.fieldKind === "list" ? `[${texts.join(",")}]` : texts.join()), holder);
  };
}

function holderAt(request: Message, way: readonly DescField[]): Message {
  let message = request;
  for (const field of way) {
    if (field.fieldKind !== "message") throw new TypeError(`${field} is on the way to a parameter, but no message`);
    const fields = message as unknown as Fields; // by local name, which the descriptor knows
    const inner = (fields[field.localName] ?? create(field.message)) as Message; // what such a field holds
    fields[field.localName] = inner;
    message = inner;
  }
  return message;
}

// A parameter becomes the JSON that a reader takes: it reads numbers and enums from strings, but not booleans.

function isBoolean(field: DescField): boolean {
  return (
    (field.fieldKind !== "message" && field.scalar === ScalarType.BOOL) ||
    field.message?.typeName === "google.protobuf.BoolValue"
  );
}

function booleanAsJson(text: string): string {
  const value = booleans.get(text.toLowerCase());
  if (value === undefined) throw new JsonFault("expected true or false");
  return value;
}

function asItIs(text: string): string {
  return text;
}

// A parameter that is only named, `?archived`, is empty.
const booleans = new Map([
  ["true", "true"],
  ["1", "true"],
  ["", "true"],
  ["false", "false"],
  ["0", "false"],
]);

function named(name: string, set: () => void): void {
  try {
    set();
  } catch (cause) {
    throw cause instanceof JsonFault ? badParameter(name, cause.message) : cause;
  }
}
