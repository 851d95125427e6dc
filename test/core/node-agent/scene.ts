import type { Selectable } from "kysely";
import type { CoreSchema } from "../../../src/core/store/schema.ts";
import { type Answer, type CoreUnderTest, serveCore } from "../core-under-test.ts";
import { type CoreScene, openCoreScene } from "../scene.ts";
import type { Engine } from "../shared-database.ts";

/** Two replicas of Core, and what agents of nodes do most. */
export interface NodeAgentScene extends CoreScene {
  readonly replica: CoreUnderTest;
  /** A node as it is kept. */
  nodeRow(id: number): Promise<Selectable<CoreSchema["node"]>>;
  /** Registers a node over REST. */
  register(code: string, name: string, more?: object, by?: CoreUnderTest): Promise<Answer>;
  /** Sends a heartbeat over REST. */
  beat(key: string, body?: object, by?: CoreUnderTest): Promise<Answer>;
}

/** Makes one. */
export async function openNodeAgentScene(engine: Engine): Promise<NodeAgentScene> {
  const scene = await openCoreScene(engine);
  const { core, shared, clock } = scene;
  const replica = await serveCore(shared, clock);
  return {
    ...scene,
    replica,
    nodeRow: (id) => core.database.db.selectFrom("node").selectAll().where("id", "=", id).executeTakeFirstOrThrow(),
    register: (code, name, more, by = core) =>
      by.curl("/node/register", JSON.stringify({ code, name, ip: "203.0.113.10", ...more })),
    beat: (key, body = {}, by = core) => by.curl("/node/heartbeat", JSON.stringify(body), `x-node-auth-key: ${key}`),
    async close() {
      await replica.close();
      await scene.close();
    },
  };
}

/** The status of an answer, and the stable name of what is wrong. */
export function refusalOf({ status, text }: Answer): { status: number; code: string } {
  return { status, code: JSON.parse(text).code };
}
