import { expect } from "vitest";

/** What a browser says of itself. */
export const browser = {
  "user-agent": "Mozilla/5.0 (X11; Linux x86_64) Chrome/142.0.0.0",
  accept: "text/html,*/*;q=0.8",
};

/** What an answer is but for what differs with each. */
export async function shown(response: Response) {
  const headers = Object.fromEntries(response.headers);
  expect(headers["x-request-id"]).toBeDefined();
  for (const name of ["date", "x-request-id", "connection", "keep-alive"]) delete headers[name];
  return { status: response.status, headers, text: await response.text() };
}
