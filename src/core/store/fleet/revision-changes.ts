import { create } from "@bufbuild/protobuf";
import {
  type RevisionChange,
  RevisionChangeKind,
  RevisionChangeSchema,
} from "../../../../gen/garrison/core/v1/revisions_pb.ts";
import { type ConfigChange, configDifference, createVeil } from "../../domain/fleet/config-difference.ts";
import { withoutSecrets } from "../../domain/fleet/secrets.ts";

// Who compares configs of tens of thousands of users wants to see what kind of change it is.
const changesAtMost = 1000;

/** The differences between two configs, without secrets. */
export function shownChanges(before: unknown, after: unknown): { changes: RevisionChange[]; truncated: boolean } {
  const veil = createVeil();
  const changes: RevisionChange[] = [];
  for (const difference of configDifference(before, after)) {
    if (changes.length === changesAtMost) return { changes, truncated: true };
    changes.push(shown(difference, veil));
  }
  return { changes, truncated: false };
}

function shown({ path, before, after }: ConfigChange, veil: (text: string) => string): RevisionChange {
  // Whether a value is a secret is told by its name.
  const name = path.slice(path.lastIndexOf("/") + 1);
  const text = (value: unknown) =>
    value === undefined ? "" : veil(JSON.stringify(Object.values(withoutSecrets({ [name]: value }) as object)[0]));
  return create(RevisionChangeSchema, {
    path: veil(path),
    kind: kindOf(before, after),
    before: text(before),
    after: text(after),
  });
}

function kindOf(before: unknown, after: unknown): RevisionChangeKind {
  if (before === undefined) return RevisionChangeKind.ADDED;
  return after === undefined ? RevisionChangeKind.REMOVED : RevisionChangeKind.CHANGED;
}
