import { once } from "node:events";
import { IncomingMessage } from "node:http";
import { Socket } from "node:net";
import { Code } from "@connectrpc/connect";
import { expect, test } from "vitest";
import { ownSentences } from "./binding.ts";
import { readBody } from "./request-body.ts";

const binding = {
  bodyLimitBytes: 10,
  errors: { form: "json", internalStatus: 500, sentences: ownSentences },
} as const;

test("a client that has left before its body is read leaves nobody waiting", async () => {
  const raw = new IncomingMessage(new Socket());
  raw.destroy();
  await once(raw, "close");
  const reading = readBody({ raw, headers: { "content-length": "5" } }, binding);
  await expect(reading).rejects.toMatchObject({ code: Code.Canceled });
});
