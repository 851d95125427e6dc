import { type DescEnum, type DescField, type FileRegistry, getOption } from "@bufbuild/protobuf";
import { field as fieldOption, value as valueOption } from "../../../gen/garrison/rest/v1/rest_pb.ts";

/** What of a contract is read or written otherwise in legacy JSON than before. Fields that are gone are Buf's to find. */
export function compareJson(old: FileRegistry, now: FileRegistry): string[] {
  const changes: string[] = [];
  for (const desc of old) {
    const next = now.get(desc.typeName);
    if (desc.kind === "message" && next?.kind === "message") {
      for (const field of desc.fields) {
        const nextField = next.fields.find(({ number }) => number === field.number);
        if (nextField !== undefined) changes.push(...changesOfField(field, nextField));
      }
    }
    if (desc.kind === "enum" && next?.kind === "enum") changes.push(...changesOfEnum(desc, next));
  }
  return changes;
}

function* changesOfField(old: DescField, now: DescField): Generator<string> {
  const [before, after] = [getOption(old, fieldOption), getOption(now, fieldOption)];
  const where = `${old.parent?.typeName}.${old.name}`;
  const lost = before.aliases.filter((alias) => ![now.jsonName, now.name, ...after.aliases].includes(alias));
  if (lost.length > 0) yield `${where}: was also read as ${lost.join(", ")}`;
  if (before.jsonText !== after.jsonText) yield `${where}: was ${before.jsonText ? "" : "not "}embedded JSON`;
  if (before.explicitNull !== after.explicitNull)
    yield `${where}: was ${before.explicitNull ? "null" : "left out"} when absent`;
  if (before.emitDefault && !after.emitDefault) yield `${where}: its default value was sent`;
  if (before.unknownAsZero && !after.unknownAsZero) yield `${where}: unknown spellings were read`;
}

function* changesOfEnum(old: DescEnum, now: DescEnum): Generator<string> {
  for (const value of old.values) {
    const next = now.values.find(({ number }) => number === value.number);
    if (next === undefined) continue;
    const [before, after] = [getOption(value, valueOption), getOption(next, valueOption)];
    const [written, writtenNow] = [before.spelling || value.name, after.spelling || next.name];
    const where = `${old.typeName}.${value.name}`;
    if (written !== writtenNow) yield `${where}: was written "${written}", and is "${writtenNow}"`;
    const read = [writtenNow, next.name, ...after.aliases].map((name) => name.toLowerCase());
    const lost = before.aliases.filter((alias) => !read.includes(alias.toLowerCase()));
    if (lost.length > 0) yield `${where}: was also read as ${lost.join(", ")}`;
  }
}
