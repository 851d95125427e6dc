import { getOption } from "@bufbuild/protobuf";
import { Code } from "@connectrpc/connect";
import { describe, expect, test } from "vitest";
import { AuditService } from "../../../gen/garrison/core/v1/audit_pb.ts";
import { NodeOutboundService } from "../../../gen/garrison/core/v1/node_outbounds_pb.ts";
import { NodeProtocolService } from "../../../gen/garrison/core/v1/node_protocols_pb.ts";
import { NodeService } from "../../../gen/garrison/core/v1/nodes_pb.ts";
import { OperatorService } from "../../../gen/garrison/core/v1/operators_pb.ts";
import { RevisionService } from "../../../gen/garrison/core/v1/revisions_pb.ts";
import { Scope, scope } from "../../../gen/garrison/core/v1/scope_pb.ts";
import { SubscriptionService } from "../../../gen/garrison/core/v1/subscriptions_pb.ts";
import { UsageService } from "../../../gen/garrison/core/v1/usage_pb.ts";
import { UserService } from "../../../gen/garrison/core/v1/users_pb.ts";
import { operatorScopes } from "../../../src/core/domain/operator-keys.ts";
import { scopeWords } from "../../../src/core/store/fleet/scopes.ts";
import { bindingsOfAll } from "../../../src/platform/rest/read-bindings.ts";
import { refused } from "./expectations.ts";
import { describeFleet } from "./scene.ts";

const services = [
  NodeService,
  NodeProtocolService,
  NodeOutboundService,
  UserService,
  SubscriptionService,
  UsageService,
  RevisionService,
  OperatorService,
  AuditService,
];
const methods = services.flatMap((service) => service.methods).filter((method) => method.methodKind === "unary");
const bindings = bindingsOfAll(services);

describe("the contract of the fleet API", () => {
  test.each(methods.map((method) => [method.name, method] as const))(
    "%s lives in REST and names its scope",
    (_name, method) => {
      const [binding, ...others] = bindings.filter((each) => each.method === method);
      expect(others).toEqual([]);
      expect(binding?.path.text).toMatch(/^\/api\/v1\//);
      const [needed] = scopeWords([getOption(method, scope)]);
      if (method === OperatorService.method.getCaller) return expect(needed).toBeUndefined();
      expect(needed).toMatch(binding?.verb === "GET" ? /:read$/ : /:write$/);
    },
  );

  test("every scope but that for everything is asked for by some call", () => {
    const asked = new Set(scopeWords(methods.map((method) => getOption(method, scope))));
    expect([...asked]).toEqual(operatorScopes.filter((each) => each !== "*"));
  });
});

describeFleet((scene) => {
  test("every call is refused to those who lack its scope, before it is looked at", async () => {
    const scoped = methods.filter((method) => getOption(method, scope) !== Scope.UNSPECIFIED);
    expect(scoped.length).toBe(methods.length - 1);
    const callers = new Map<string, Awaited<ReturnType<typeof scene.fleet.caller>>>();
    for (const method of scoped) {
      const [needed = "*"] = scopeWords([getOption(method, scope)]);
      const others = operatorScopes.filter((each) => each !== "*" && each.split(":")[0] !== needed.split(":")[0]);
      const lacking = needed.endsWith(":write")
        ? [...others, needed.replace("write", "read") as typeof needed]
        : others;
      const caller = callers.get(needed) ?? (await scene.fleet.caller(scene.way, ...lacking));
      callers.set(needed, caller);
      await refused(caller.call(method as never, {} as never), Code.PermissionDenied, 403, "SCOPE_MISSING");
    }
  });

  test("every call is known to who has its scope", async () => {
    for (const method of methods) {
      const needed = scopeWords([getOption(method, scope)]);
      const { call } = await scene.fleet.caller(scene.way, ...needed);
      // Most of them want more than an empty request; none is unknown, and none fails.
      const answer = await call(method as never, {} as never).catch((cause: unknown) => cause);
      expect(answer).not.toMatchObject({ code: Code.Unimplemented });
      if (answer instanceof Error) expect(answer.message).toMatch(/ (must|value)|\[/);
    }
  });
});
