import { type DescMessage, isFieldSet, type MessageShape } from "@bufbuild/protobuf";
import type { FieldMask } from "@bufbuild/protobuf/wkt";
import { Invalid } from "./situations.ts";

/**
 * The fields that an update changes, by local name: those that its mask names, or without a mask those that are set.
 * `identity` are the fields that say what is updated. Throws {@link Invalid} for a mask that names anything else.
 */
export function fieldsToChange<D extends DescMessage>(
  desc: D,
  request: MessageShape<D> & { readonly updateMask?: FieldMask },
  identity: readonly string[] = ["id"],
): ReadonlySet<string> {
  const open = desc.fields.filter(({ name }) => name !== "update_mask" && !identity.includes(name));
  const paths = request.updateMask?.paths ?? [];
  if (paths.length === 0) {
    return new Set(open.filter((field) => isFieldSet(request, field)).map(({ localName }) => localName));
  }
  return new Set(
    paths.map((path) => {
      const field = open.find(({ name, jsonName }) => path === name || path === jsonName);
      if (field !== undefined) return field.localName;
      const names = open.map(({ jsonName }) => jsonName).join(", ");
      throw new Invalid("FIELD_INVALID", `updateMask: ${JSON.stringify(path)} is none of ${names}`);
    }),
  );
}
