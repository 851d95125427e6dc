/** Topics of the event bus. The payload is the id of the node that it is about; without one it is about all. */
export const topics = {
  /** Keys of a node were made, used for the first time, or revoked. */
  nodeKeys: "node-keys",
  /** What a node is answered to its heartbeats has changed: its newest revision, a wish about its key, its draining. */
  nodes: "nodes",
  /** Keys of operators have changed; no payload. */
  operatorKeys: "operator-keys",
} as const;
