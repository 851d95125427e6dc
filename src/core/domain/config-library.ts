import { promisify } from "node:util";
import { gzip } from "node:zlib";

import type { ConfigHead } from "./config-store.ts";
import type { StoredConfig } from "./configs.ts";
import { readConfig } from "./content/config-message.ts";
import { ContentParts } from "./content/content-parts.ts";
import type { Pace } from "./pace.ts";
import type { RenderedConfig } from "./render/render.ts";

/** Options of {@link createConfigLibrary}. */
export interface ConfigLibraryOptions {
  /** Finds the content with a digest. */
  load: (digest: string) => Promise<string | undefined>;
  pace: Pace;
  /** How much is kept in memory, in characters of content. */
  capacity: number;
}

/** Configs that were asked for lately, in the forms in which they were. */
export interface ConfigLibrary {
  /** The content with a digest, taken apart. Undefined: it is not kept any more. */
  parts(digest: string): Promise<ContentParts | undefined>;
  /** Takes in a content that is about to be asked for. */
  add(config: RenderedConfig): void;
  /** The config that a node shall run. Undefined: it is not kept any more. */
  config(head: ConfigHead): Promise<StoredConfig | undefined>;
}

/** Makes a {@link ConfigLibrary}: each config is loaded, and put into each form, once for all who ask. */
export function createConfigLibrary({ load, pace, capacity }: ConfigLibraryOptions): ConfigLibrary {
  const contents = new Map<string, Promise<string | undefined>>();
  const sizes = new Map<string, number>();
  const parts = new Map<string, ContentParts>();
  const configs = new Map<string, StoredConfig>();
  let held = 0;

  function forget(digest: string): void {
    held -= sizes.get(digest) ?? 0;
    sizes.delete(digest);
    contents.delete(digest);
    parts.delete(digest);
    for (const key of configs.keys()) if (key.endsWith(digest)) configs.delete(key);
  }

  function hold(digest: string, size: number): void {
    sizes.set(digest, size);
    held += size;
    for (const oldest of contents.keys()) {
      if (held <= capacity) break;
      if (oldest !== digest) forget(oldest);
    }
  }

  async function find(digest: string): Promise<string | undefined> {
    try {
      const content = await load(digest);
      if (content === undefined) {
        forget(digest);
        return undefined;
      }
      hold(digest, content.length);
      return content;
    } catch (error) {
      forget(digest);
      throw error;
    }
  }

  function contentOf(digest: string): Promise<string | undefined> {
    const content = contents.get(digest) ?? find(digest);
    contents.delete(digest); // to the end of the order in which they are forgotten
    contents.set(digest, content);
    return content;
  }

  return {
    add({ digest, content }) {
      if (contents.has(digest)) return;
      contents.set(digest, Promise.resolve(content));
      hold(digest, content.length);
    },
    async parts(digest) {
      const content = await contentOf(digest);
      if (content === undefined) return undefined;
      const taken = parts.get(digest) ?? new ContentParts(content);
      if (contents.has(digest)) parts.set(digest, taken);
      return taken;
    },
    async config(head) {
      const content = await contentOf(head.digest);
      if (content === undefined) return undefined;
      const key = `${head.revision} ${head.protocolVersion} ${head.digest}`;
      const config = configs.get(key) ?? storedConfig(head, content, pace);
      configs.set(key, config);
      return config;
    },
  };
}

const compress = promisify(gzip);

function storedConfig({ revision, digest, protocolVersion }: ConfigHead, content: string, pace: Pace): StoredConfig {
  const told = protocolVersion >= 1;
  const once = <T>(make: () => Promise<T>) => {
    let made: Promise<T> | undefined;
    return () => {
      made ??= make();
      return made;
    };
  };
  const json = once(async () =>
    Buffer.from(`{"revision":${revision},${told ? `"digest":"${digest}",` : ""}${content.slice(1)}`),
  );
  return {
    message: once(async () => {
      const config = await readConfig(content, pace);
      return Object.assign(config, { revision: BigInt(revision), ...(told && { digest }) });
    }),
    json,
    gzip: once(async () => compress(await json())),
  };
}
