import { startByteTarget } from "../../support/byte-target.ts";

// A target in the network that it is started in, until it is ended. Prints its port.

const { port } = await startByteTarget(process.argv[2]);
console.log(port);
