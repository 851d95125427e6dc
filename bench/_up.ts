import { createInterface } from "node:readline";
import { readFileSync } from "node:fs";
import { prepareBody, upload } from "./h2-upload.ts";
const all = readFileSync("/tmp/sp/users.frames"); const pieces = []; for (let at=0; at<all.length;) { const n = 5+all.readUInt32BE(at+1); pieces.push(all.subarray(at, at+n)); at += n; }
const body = prepareBody(pieces);
for await (const line of createInterface(process.stdin)) { const [port, k] = line.split(" ").map(Number); const t = performance.now(); for (let i=0;i<k;i++) await upload(port, "/service.NodeService/SyncUser", {"content-type":"application/grpc", te:"trailers","x-api-key":"5c6f3b0e-2d39-4c5e-9d77-8a1f4f0a7e11"}, body); console.log(performance.now()-t); }
