import type { WriteDocument } from "../../document.ts";
import { express } from "../express.ts";
import { shareLink } from "./share-link.ts";

/** Links, one a line. */
export const writeLinks: WriteDocument = (endpoints) => {
  const { written, leftOut } = express(endpoints, shareLink);
  return { contentType: "text/plain; charset=utf-8", body: written.map(([, link]) => `${link}\n`).join(""), leftOut };
};

/** The same in base64, as most clients expect it. */
export const writeEncodedLinks: WriteDocument = (endpoints) => {
  const { body, ...rest } = writeLinks(endpoints);
  return { ...rest, body: Buffer.from(body).toString("base64") };
};
