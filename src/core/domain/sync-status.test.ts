import { create } from "@bufbuild/protobuf";
import { describe, expect, test } from "vitest";
import {
  ErrorSeverity,
  ReportAppliedRequestSchema,
  ReportErrorRequestSchema,
} from "../../../gen/garrison/core/v1/node_agent_pb.ts";
import { afterApplied, afterError, type SyncState } from "./sync-status.ts";

const state = (more: Partial<SyncState> = {}): SyncState => ({
  desiredRevision: 5,
  reportedRevision: 3,
  digest: "d",
  outcome: "",
  ...more,
});
const unknown = { digest: undefined };
const error = { code: "ENGINE_CRASHED", message: "xray exited", details: "", occurrences: 1 };
const failed = { error, inError: true, syncStatus: "failed" };

describe("the report of an applied revision", () => {
  test.each([
    ["the newest", 5n, "d", {}, { outcome: "applied", syncStatus: "synced", inError: false, reportedRevision: 5 }],
    ["without a digest", 5n, "", {}, { outcome: "applied", syncStatus: "synced", inError: false, reportedRevision: 5 }],
    ["the same again", 3n, "d", {}, { outcome: "applied", syncStatus: "synced", inError: false, reportedRevision: 3 }],
    ["another digest", 5n, "e", {}, { outcome: "applied", syncStatus: "drifted", inError: false, reportedRevision: 5 }],
    ["an older one", 2n, "d", {}, { outcome: "applied" }],
    ["an older one that is not kept", 2n, "d", unknown, {}],
    ["one that was never published", 99n, "", unknown, { syncStatus: "synced", inError: false }],
  ])("%s", (_, revision, digest, more, change) => {
    const report = create(ReportAppliedRequestSchema, { revision, digest });
    expect(afterApplied(state(more), report)).toEqual(change);
  });
});

describe("the report of an error", () => {
  test.each([
    ["as documented first", {}, {}, { ...failed, outcome: "failed" }],
    ["as documented first, of what was applied", {}, { outcome: "applied" as const }, failed],
    ["about the newest revision", { revision: 5n }, {}, { ...failed, outcome: "failed" }],
    ["about what is applied", { revision: 3n }, {}, { ...failed, outcome: "failed" }],
    ["about one that a newer one has replaced", { revision: 2n }, {}, { outcome: "failed" }],
    ["about no revision", { severity: ErrorSeverity.ERROR }, {}, { error, inError: true }],
    ["a warning", { severity: ErrorSeverity.WARNING }, {}, { error }],
    ["a warning about a revision", { severity: ErrorSeverity.WARNING, revision: 5n }, {}, { error }],
  ])("%s", (_, report, more, change) => {
    const { code, message } = error;
    expect(afterError(state(more), create(ReportErrorRequestSchema, { code, message, ...report }))).toEqual(change);
  });

  test("of bytes that are lost, which the audit log keeps", () => {
    const details = { engine: "xray", incarnation: "a/1/2", lastWords: "panic" };
    const report = { message: "lost", code: "USAGE_GAP", severity: ErrorSeverity.WARNING, details };
    expect(afterError(state(), create(ReportErrorRequestSchema, report)).logged).toEqual({
      action: "node.lose-usage",
      details: { message: "lost", engine: "xray", incarnation: "a/1/2" },
    });
  });

  test("of a node that is back at its last good revision", () => {
    const report = create(ReportErrorRequestSchema, { message: "back", code: "ROLLED_BACK", revision: 5n });
    expect(afterError(state(), report)).toMatchObject({ syncStatus: "rolled_back", outcome: "failed", inError: true });
  });

  test("without a code", () => {
    const report = create(ReportErrorRequestSchema, { message: "x" });
    expect(afterError(state(), report).error).toEqual({ code: "", message: "x", details: "", occurrences: 1 });
  });

  test("with what else there is to know, as long as it is not too much", () => {
    const told = (text: string) =>
      afterError(state(), create(ReportErrorRequestSchema, { message: "x", details: { text }, occurrences: 3 })).error;
    expect(told("a")).toMatchObject({ details: '{"text":"a"}', occurrences: 3 });
    expect(told("a".repeat(20_000))?.details).toBe('{"omitted":"20011 characters"}');
  });

  test("of bytes that are lost, with no more than that in the audit log", () => {
    const details = { message: "another", text: "a".repeat(20_000) };
    const report = create(ReportErrorRequestSchema, { message: "lost", code: "USAGE_GAP", details });
    expect(afterError(state(), report).logged?.details).toEqual({ omitted: "20031 characters", message: "lost" });
    const small = create(ReportErrorRequestSchema, { ...report, details: { message: "another" } });
    expect(afterError(state(), small).logged?.details).toEqual({ message: "lost" });
  });
});
