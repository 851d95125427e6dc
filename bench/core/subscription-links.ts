import { engines, shareDatabase } from "../../test/core/shared-database.ts";
import { type ChildServer, startServer } from "../child-server.ts";
import { requestsPerSecond } from "../h2load.ts";
import { report } from "../node/report.ts";
import { compare, median, quantile } from "../rounds.ts";
import { pathOf, subscriptions } from "./subscription-database.ts";

/** Links of subscriptions, each asked for by its token, with 40 ways to connect in each: 4 protocols on 10 nodes. */
export async function measureSubscriptionLinks(): Promise<void> {
  for (const engine of engines) {
    const shared = await shareDatabase(engine);
    const place = shared.location.file ?? shared.location.url ?? "";
    const [ours, floor] = [await start("serve-subscription-links.ts", place), await startFloor(place)];
    try {
      for (const [format, atLeast] of [
        ["links", 2_500],
        ["sing-box", 2_500],
        ["clash", 1_000],
      ] as const) {
        await checkAnswers(ours, floor, pathOf(7, format));
        const path = Array.from({ length: subscriptions }, (_, index) => pathOf(index, format));
        const p99s: number[] = [];
        const perSecond = ({ port }: ChildServer, onWaits?: (waits: number[]) => void) =>
          requestsPerSecond({
            ...{ port, path, headers: {}, http1: true, clients: 8, parallel: 1, amount: { seconds: 3 } },
            ...(onWaits && { onWaits }),
          });
        const result = await compare(
          () => perSecond(ours, (waits) => p99s.push(quantile(waits, 0.99))),
          () => perSecond(floor),
          { warmUps: 1, rounds: 3 },
        );
        const about = `/sub as ${format}, ${engine}`;
        report({
          ...{ about, value: result.ours, unit: "calls/s", atLeast },
          reference: { about: "the bare floor's", value: result.theirs },
        });
        report({ about: "  p99", value: median(p99s), unit: "ms", atMost: 10 });
      }
    } finally {
      await ours.close();
      await floor.close();
      await shared.close();
    }
  }
}

function start(script: string, place: string): Promise<ChildServer> {
  return startServer(new URL(script, import.meta.url).pathname, [place]);
}

function startFloor(place: string): Promise<ChildServer> {
  return start("serve-subscription-links-floor.ts", place);
}

/** A floor that did less would be no floor. */
async function checkAnswers(ours: ChildServer, floor: ChildServer, path: string): Promise<void> {
  const [answer, theirs] = await Promise.all(
    [ours, floor].map(async ({ port }) => {
      const response = await fetch(`http://127.0.0.1:${port}${path}`);
      return [await response.text(), response.headers.get("subscription-userinfo")].join();
    }),
  );
  if (answer !== theirs) throw new Error(`the floor answers ${path} otherwise:\n${answer}\n${theirs}`);
}
