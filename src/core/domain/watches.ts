/** The streams that are open in this process, one for each node. */
export interface Watches {
  /** Opens a stream of a node, here and in the eyes of the other replicas: the one that it had is superseded. */
  open(nodeId: number): Watch;
  /** A stream was announced, here or elsewhere. */
  heard(nodeId: number, stream: string): void;
  /** How many there are. */
  readonly size: number;
}

/** A stream that is open. */
interface Watch {
  /** Aborts when the node has opened another one. */
  readonly superseded: AbortSignal;
  close(): void;
}

/** Options of {@link createWatches}. */
export interface WatchesOptions {
  /** A name that no other stream has. */
  newName: () => string;
  /** Tells all replicas, this one too, in one order for all. */
  announce: (nodeId: number, stream: string) => void;
}

/**
 * Makes {@link Watches}. Streams that are opened at the same time at two replicas are heard of in the same order at both:
 * the one that is announced last stays.
 */
export function createWatches({ newName, announce }: WatchesOptions): Watches {
  const streams = new Map<number, { readonly name: string; readonly end: AbortController; announced: boolean }>();
  return {
    open(nodeId) {
      const stream = { name: newName(), end: new AbortController(), announced: false };
      streams.get(nodeId)?.end.abort();
      streams.set(nodeId, stream);
      announce(nodeId, stream.name);
      return {
        superseded: stream.end.signal,
        close() {
          if (streams.get(nodeId) === stream) streams.delete(nodeId);
        },
      };
    },
    heard(nodeId, name) {
      const stream = streams.get(nodeId);
      if (stream === undefined) return;
      if (stream.name === name) stream.announced = true;
      // What is heard of before our own announcement was opened before us.
      else if (stream.announced) stream.end.abort();
    },
    get size() {
      return streams.size;
    },
  };
}
