import { expect, test } from "vitest";
import { createConfigNews } from "./config-news.ts";

const never = new AbortController().signal;
const outcome = (waiting: Promise<void>) =>
  Promise.race([waiting.then(() => "woken"), new Promise((resolve) => setTimeout(() => resolve("waits"), 20))]);

test("who waits for a node is woken by its news, and by news of all", async () => {
  const news = createConfigNews();
  const since = news.now();
  const [one, other] = [news.next(1, since, 10_000, never), news.next(2, since, 10_000, never)];
  news.arrived([1]);
  expect([await outcome(one), await outcome(other)]).toEqual(["woken", "waits"]);
  news.arrived();
  expect(await outcome(other)).toBe("woken");
});

test("news that came after one has looked, and before one waits, are not missed", async () => {
  const news = createConfigNews();
  const since = news.now();
  news.arrived([1]);
  expect(await outcome(news.next(1, since, 10_000, never))).toBe("woken");
  expect(await outcome(news.next(2, since, 10_000, never))).toBe("waits");
  news.arrived();
  expect(await outcome(news.next(3, since, 10_000, never))).toBe("woken");
  expect(await outcome(news.next(1, news.now(), 10_000, never))).toBe("waits");
});

test("waiting ends with the time, and with the signal", async () => {
  const news = createConfigNews();
  const end = new AbortController();
  const waiting = news.next(1, 0, 10_000, end.signal);
  end.abort();
  expect(await outcome(waiting)).toBe("woken");
  expect(await outcome(news.next(1, 0, 10_000, end.signal))).toBe("woken");
  expect(await outcome(news.next(1, 0, 1, never))).toBe("woken");
});
