import type { Code } from "@connectrpc/connect";
import { expect } from "vitest";
import { Refused } from "./ways.ts";

/** Expects that a call is refused with this code, which over REST is this status and this name. Tells the sentence. */
export async function refused(
  call: Promise<unknown>,
  code: Code,
  status: number,
  machineCode: string,
): Promise<string> {
  const error = await call.then(
    () => new Error(`it succeeded instead of ${machineCode}`),
    (cause: unknown) => cause,
  );
  if (!(error instanceof Refused)) throw error;
  const told = { code: error.code, status: error.status, machineCode: error.machineCode };
  const wanted = error.code === undefined ? { status, machineCode } : { code };
  expect({ ...told, message: error.message }).toMatchObject(wanted);
  return error.message;
}
