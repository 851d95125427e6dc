import { afterAll, beforeAll, beforeEach, describe } from "vitest";
import { AuditService } from "../../../gen/garrison/core/v1/audit_pb.ts";
import { engines } from "../shared-database.ts";
import { type FleetUnderTest, serveFleetUnderTest } from "./fleet-under-test.ts";
import { type CallRpc, type Way, ways } from "./ways.ts";

/** What tests of the fleet API have: filled in before they run. */
export interface Scene {
  readonly fleet: FleetUnderTest;
  readonly way: Way;
  /** Calls as an operator who may do everything. */
  readonly call: CallRpc;
  /** That operator's name in the audit log. */
  readonly actor: string;
  /** A name that was not used before. */
  unused(name: string): string;
  /** What was done to a thing, the newest first. */
  actions(target: string): Promise<string[]>;
}

/** Declares tests that run on every database and by every way. What was to be published is emptied before each. */
export function describeFleet(tests: (scene: Scene) => void): void {
  describe.each(engines)("on %s", (engine) => {
    let fleet: FleetUnderTest | undefined;
    beforeAll(async () => {
      fleet = await serveFleetUnderTest(engine);
    });
    afterAll(() => fleet?.close());

    describe.each(ways)("over %s", (way) => {
      let count = 0;
      const scene = { way } as { -readonly [Part in keyof Scene]: Scene[Part] };
      scene.unused = (name) => `${name}-${way}-${++count}`;
      scene.actions = async (target) =>
        (await scene.call(AuditService.method.listAuditEntries, { target })).entries.map(({ action }) => action);
      beforeAll(async () => {
        if (fleet === undefined) throw new Error("the fleet API is not served");
        const { call, id } = await fleet.caller(way, "*");
        Object.assign(scene, { fleet, call, actor: `operator-key:${id}` });
      });
      beforeEach(() => void scene.fleet.published.splice(0));
      tests(scene);
    });
  });
}

/** What an answer must hold. */
export function given<T>(part: T | undefined): T {
  if (part === undefined) throw new Error("the answer lacks a part");
  return part;
}
