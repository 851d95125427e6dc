import { createRegistry, type DescFile, type Registry } from "@bufbuild/protobuf";

/** All types of some files and of what they import. */
export function registryOf(files: readonly DescFile[]): Registry {
  return createRegistry(...withImports(files));
}

/** Some files and all that they import, each once. */
function withImports(files: readonly DescFile[]): Set<DescFile> {
  const all = new Set<DescFile>();
  const add = (file: DescFile) => {
    if (all.has(file)) return;
    all.add(file);
    file.dependencies.forEach(add);
  };
  files.forEach(add);
  return all;
}
