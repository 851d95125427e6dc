import type { DescField, DescMessage, FileRegistry } from "@bufbuild/protobuf";
import { getOption, hasOption } from "@bufbuild/protobuf";
import {
  field as fieldRules,
  message as messageRules,
  oneof as oneofRules,
} from "@bufbuild/protovalidate/gen/buf/validate/validate_pb.js";

/**
 * Finds rules where there must be none: in package `service`, whose handlers answer with the texts of the original, and
 * on the entries of bulk lists, which are judged one by one so that a bad one never fails its batch. A list of messages
 * in a request is a bulk list unless a rule bounds its length.
 */
export function misplacedRules(contract: FileRegistry): string[] {
  const found = new Set<string>();
  for (const type of contract) {
    if (type.kind === "message" && type.file.proto.package === "service") ownRules(type).forEach(add);
    if (type.kind !== "service") continue;
    for (const { input } of type.methods) for (const message of reachable(input)) message.fields.forEach(checkBulk);
  }
  return [...found];

  function checkBulk(list: DescField): void {
    if (list.fieldKind !== "list" || list.listKind !== "message" || boundOf(list) > 0n) return;
    if (hasOption(list, fieldRules)) add(`${list} is a bulk list and has rules`);
    for (const entry of reachable(list.message)) ownRules(entry).forEach(add);
  }
  function add(finding: string): void {
    found.add(finding);
  }
}

function boundOf(list: DescField): bigint {
  const rules = getOption(list, fieldRules).type;
  return rules.case === "repeated" ? rules.value.maxItems : 0n;
}

function ownRules(message: DescMessage): string[] {
  return [
    ...(hasOption(message, messageRules) ? [`${message} has rules`] : []),
    ...message.fields.filter((field) => hasOption(field, fieldRules)).map((field) => `${field} has rules`),
    ...message.oneofs.filter((oneof) => hasOption(oneof, oneofRules)).map((oneof) => `${oneof} has rules`),
  ];
}

function reachable(message: DescMessage, seen = new Set<DescMessage>()): Set<DescMessage> {
  if (seen.has(message)) return seen;
  seen.add(message);
  for (const field of message.fields) if (field.message) reachable(field.message, seen);
  return seen;
}
