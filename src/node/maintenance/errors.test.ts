import { Code, ConnectError } from "@connectrpc/connect";
import { describe, expect, test } from "vitest";
import { PublicError } from "../../platform/rpc/public-error.ts";
import { ConfigRefused, StartFailed } from "../engines/engine-error.ts";
import { DownloadFailed } from "../engines/install/download.ts";
import { answerTo } from "./errors.ts";
import { AnotherJobRuns, DigestRefused, NodeGoesDown, ReleaseNotFound, UnusableRequest } from "./situations.ts";

test.each([
  [new UnusableRequest("why"), Code.InvalidArgument, 400],
  [new ReleaseNotFound("why"), Code.NotFound, 404],
  [new AnotherJobRuns("why"), Code.Aborted, 409],
  [new DownloadFailed("why"), Code.Unavailable, 500],
  [new DigestRefused("why"), Code.FailedPrecondition, 500],
])("%s is told in its own words", (situation, code, httpStatus) => {
  expect(answerTo(situation)).toMatchObject({ rawMessage: "why", code, httpStatus });
});

test("a node that goes down says so", () => {
  expect(answerTo(new NodeGoesDown())).toMatchObject({ code: Code.Unavailable, httpStatus: 503 });
});

describe("what the engine says", () => {
  test.each([new ConfigRefused("email: ann"), new StartFailed("email: ann")])("is told, and not logged", (error) => {
    expect(answerTo(error)).toMatchObject({ rawMessage: "email: ann", httpStatus: 500, logged: error.name });
  });
});

test("what nobody foresaw is told to nobody", () => {
  const error = answerTo(new Error("secret"));
  expect(error).toBeInstanceOf(PublicError);
  expect(error).toMatchObject({ rawMessage: "internal error", code: Code.Internal });
  const known = new ConnectError("known", Code.Canceled);
  expect(answerTo(known)).toBe(known);
});
