import { Code, ConnectError } from "@connectrpc/connect";
import { describe, expect, it } from "vitest";
import { PublicError } from "../../platform/rpc/public-error.ts";
import { ConfigRefused, EngineUnreachable, StartFailed } from "../engines/engine-error.ts";
import { BalancerUnknown, OutboundUnknown, RoutingRefused, RuleRefused, RuleTagTaken } from "../engines/routing.ts";
import { ChunksTooLarge, defaultChunkLimits, IncompleteChunks } from "../runtime/chunks.ts";
import {
  BackendNotInitialized,
  CoreNotStarted,
  EmailMissing,
  LatencyUnavailable,
  RoutingUnsupported,
  SysStatsFailed,
  TrafficTargetUnknown,
  UnknownBackendType,
  UserNeverOnline,
  UsersRejected,
} from "../runtime/situations.ts";
import { answerTo } from "./errors.ts";
import { InvalidRoutingRequest } from "./routing-request.ts";
import { InvalidStatRequest } from "./stat-request.ts";

describe("answerTo", () => {
  it.each([
    [new BackendNotInitialized(), Code.Unavailable, 500, "backend not initialized"],
    [new CoreNotStarted(), Code.Unavailable, 503, "core is not started yet"],
    [new SysStatsFailed(new Error("timeout")), Code.Unavailable, 503, "failed to get sys stats: timeout"],
    [new EngineUnreachable("no answer"), Code.Unavailable, 503, "no answer"],
    [new UnknownBackendType(), Code.Unknown, 503, "invalid backend type"],
    [new ConfigRefused("unexpected end of JSON"), Code.Unknown, 503, "unexpected end of JSON"],
    [new StartFailed("address already in use"), Code.Unknown, 503, "address already in use"],
    [new EmailMissing(), Code.Unknown, 400, "email is required"],
    [new IncompleteChunks("missing chunk index 3"), Code.InvalidArgument, 400, "missing chunk index 3"],
    [new InvalidStatRequest("tag required"), Code.InvalidArgument, 400, "tag required"],
    [new TrafficTargetUnknown("user"), Code.NotFound, 404, "user not found"],
    [new UserNeverOnline("1"), Code.NotFound, 404, "user>>>1>>>online not found."],
    [
      new LatencyUnavailable("xray outbound latency is not available"),
      Code.Unknown,
      502,
      "xray outbound latency is not available",
    ],
    [new RoutingUnsupported(), Code.Unimplemented, 501, "routing is only supported by the xray backend"],
    [new InvalidRoutingRequest("tag is required"), Code.InvalidArgument, 400, "tag is required"],
    [new RuleRefused("rule is not valid JSON"), Code.InvalidArgument, 400, "rule is not valid JSON"],
    [new RuleTagTaken("a"), Code.AlreadyExists, 409, 'another rule has the tag "a"'],
    [new BalancerUnknown("a"), Code.NotFound, 404, 'balancer "a" not found'],
    [new OutboundUnknown("a"), Code.NotFound, 404, 'outbound "a" not found'],
    [new RoutingRefused("app/router: no"), Code.Unknown, 500, "app/router: no"],
  ])("%s", (situation, code, httpStatus, text) => {
    expect(answerTo(situation)).toMatchObject({ code, httpStatus, rawMessage: text });
  });

  it("answers an upload beyond the limits with 413", () => {
    const answer = answerTo(new ChunksTooLarge(defaultChunkLimits));
    expect(answer).toMatchObject({ code: Code.ResourceExhausted, httpStatus: 413 });
  });

  it("words a rejection as the client expects it, and names no user in the log", () => {
    const rejected = Array.from({ length: 12 }, (_, i) => ({ email: `user${i}`, inbound: "in", reason: "no" }));
    const answer = answerTo(new UsersRejected(rejected));
    expect(answer).toMatchObject({ code: Code.Internal, httpStatus: 500 });
    expect(answer.rawMessage).toMatch(
      /^failed to update users: user0 on in: no; user1 .* user9 on in: no; and 2 more$/,
    );
    expect(answer).toMatchObject({ logged: "failed to update users: the engine refused 12" });
  });

  it("names no user in the log where it quotes an engine", () => {
    const lines =
      "recent xray logs: from 192.0.2.1:1 accepted tcp:192.0.2.2:2 [in >> direct] email: anna@example.org\npanic";
    const answer = answerTo(new StartFailed(lines));
    expect(answer.rawMessage).toBe(lines);
    expect(answer).toMatchObject({ logged: lines.replace("anna@example.org", "…") });
    expect(answerTo(new UserNeverOnline("anna@example.org"))).toMatchObject({ logged: "user>>>… not found." });
    const refused = "failed to start xray: proxy/vless: User anna@example.org already exists.";
    expect(answerTo(new ConfigRefused(refused))).toMatchObject({
      rawMessage: refused,
      logged: refused.replace("anna@example.org", "…"),
    });
  });

  it.each([new Error("failed to update users: lies"), new TypeError("x is undefined"), "a string", undefined])(
    "88. never words %s, a fault of ours, as a rejection",
    (fault) => {
      const answer = answerTo(fault);
      expect(answer).toBeInstanceOf(PublicError);
      expect(answer).toMatchObject({
        code: Code.Internal,
        httpStatus: 503,
        rawMessage: "internal error",
        cause: fault,
      });
    },
  );

  it("passes on what is an answer already", () => {
    const canceled = new ConnectError("the caller has left", Code.Canceled);
    expect(answerTo(canceled)).toBe(canceled);
  });
});
