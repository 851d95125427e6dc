import { type DescEnum, type DescField, getOption, ScalarType } from "@bufbuild/protobuf";
import {
  type FieldRule,
  field as fieldOption,
  value as valueOption,
} from "../../../../gen/garrison/rest/v1/rest_pb.ts";
import { BadContract } from "../bad-contract.ts";

/** A message as what it is in memory: an object with its fields under their local names. */
export type Fields = Record<string, unknown>;

/** How a field is read and written. Throws {@link BadContract} where its options do not fit the field. */
export function ruleOf(field: DescField): FieldRule {
  const rule = getOption(field, fieldOption);
  const problem = problemOf(field, rule);
  if (problem !== undefined) throw new BadContract([`${field}: ${problem}`]);
  return rule;
}

/** The names under which a field is read: its JSON name, its proto name, its aliases. */
export function namesOf(field: DescField): ReadonlySet<string> {
  return new Set([field.jsonName, field.name, ...getOption(field, fieldOption).aliases]);
}

/** The spellings of an enum in legacy JSON. */
export interface Spellings {
  /** What is written for a number. Undefined for a number without a name. */
  of(value: number): string | undefined;
  /** The number of a spelling, in any case. */
  find(spelling: string): number | undefined;
  /** The enum has a value of this number. */
  has(value: number): boolean;
  /** Everything that is written, in the order of the contract. */
  readonly written: readonly string[];
}

/** Collects the spellings of an enum. Throws {@link BadContract} when one spelling means two numbers. */
export function spellingsOf(desc: DescEnum): Spellings {
  const written = new Map<number, string>();
  const read = new Map<string, number>();
  for (const value of desc.values) {
    const { spelling, aliases } = getOption(value, valueOption);
    // Of two names for one number the first is written.
    if (!written.has(value.number)) written.set(value.number, spelling || value.name);
    for (const name of [spelling || value.name, value.name, ...aliases]) {
      const other = read.get(name.toLowerCase());
      if (other !== undefined && other !== value.number) {
        throw new BadContract([`${value}: the spelling "${name}" already means ${other}`]);
      }
      read.set(name.toLowerCase(), value.number);
    }
  }
  return {
    of: (value) => written.get(value),
    find: (spelling) => read.get(spelling) ?? read.get(spelling.toLowerCase()),
    has: (value) => written.has(value),
    written: [...written.values()],
  };
}

/** The field tells "absent" from its default value. */
export function hasPresence(field: DescField): boolean {
  const implicit = 2; // google.protobuf.FeatureSet.FieldPresence.IMPLICIT
  return field.fieldKind !== "list" && field.fieldKind !== "map" && field.presence !== implicit;
}

function problemOf(field: DescField, rule: FieldRule): string | undefined {
  const isList = field.fieldKind === "list" || field.fieldKind === "map";
  if (rule.jsonText && !("scalar" in field && field.scalar === ScalarType.STRING)) return "json_text needs a string";
  if (rule.jsonText && rule.emitDefault && !isList)
    return "json_text has no default value that is JSON: no emit_default";
  if (rule.explicitNull && !hasPresence(field) && !(rule.jsonText && !isList)) {
    return "explicit_null needs a field that can be absent";
  }
  if (rule.emitDefault && hasPresence(field)) return "emit_default needs a field that cannot be absent";
  if (rule.unknownAsZero && !("enum" in field && field.enum)) return "unknown_as_zero needs an enum";
  return undefined;
}
