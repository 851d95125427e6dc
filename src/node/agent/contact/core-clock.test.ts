import { expect, test } from "vitest";
import { createCoreClock } from "./core-clock.ts";

function clockAt(wall: number) {
  const time = { wall, uptime: 1_000 };
  return { time, clock: createCoreClock({ wall: () => time.wall, uptime: () => time.uptime }) };
}

test("this machine's clock counts until Core was heard", () => {
  const { time, clock } = clockAt(500_000);
  time.wall += 7;
  expect([clock.now(), clock.offsetMs()]).toEqual([500_007, undefined]);
});

test("Core's time is what it said in the middle of the call, and goes on with the uptime", () => {
  const { time, clock } = clockAt(500_000);
  clock.heard(600_000, 1_000, 1_100);
  time.uptime = 1_100;
  time.wall = 500_100;
  expect([clock.now(), clock.offsetMs()]).toEqual([600_050, 99_950]);
  time.wall -= 3_600_000; // somebody has set the clock
  expect(clock.now()).toBe(600_050);
});

test("of answers that agree the quickest counts", () => {
  const { time, clock } = clockAt(0);
  clock.heard(10_000, 0, 400);
  clock.heard(10_510, 500, 520);
  clock.heard(11_300, 1_000, 1_500);
  time.uptime = 2_000;
  expect(clock.now()).toBe(12_000);
});

test("an answer that cannot be true together with those before means that Core's clock was set", () => {
  const { time, clock } = clockAt(0);
  clock.heard(10_000, 0, 2);
  clock.heard(90_000, 1_000, 1_300);
  time.uptime = 1_150;
  expect(clock.now()).toBe(90_000);
});
