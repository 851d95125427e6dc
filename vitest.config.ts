import { defineConfig } from "vitest/config";

// Unit tests stand beside their source; suites with real parts (engines, databases, browsers) stand under test/.
export default defineConfig({
  test: {
    include: ["src/**/*.test.ts", "test/**/*.test.ts"],
    // Two cores: more workers only make the real engines and servers of the suites wait for each other.
    maxWorkers: 2,
    testTimeout: 30_000,
    hookTimeout: 120_000,
  },
});
