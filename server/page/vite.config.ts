import { existsSync, readFileSync, readdirSync } from "node:fs";
import { dirname, join } from "node:path";
import { defineConfig, type Plugin } from "vite";

/** Writes the licences of the packages that are part of the page, as these ask for. */
function licences(): Plugin {
  return {
    name: "licences",
    generateBundle() {
      const folders = new Set([...this.getModuleIds()].map(packageOf).filter((folder) => folder !== undefined));
      const texts = [...folders].sort().map((folder) => {
        const { name, license } = JSON.parse(readFileSync(join(folder, "package.json"), "utf-8"));
        const file = readdirSync(folder).find((each) => /^licen[cs]e/i.test(each));
        const text = file === undefined ? "" : `\n\n${readFileSync(join(folder, file), "utf-8").trim()}`;
        return `${name} (${license})${text}\n`;
      });
      this.emitFile({ type: "asset", fileName: "licences.txt", source: texts.join(`\n${"-".repeat(80)}\n\n`) });
    },
  };
}

/** The folder of the package that a module is of; undefined for what is ours. */
function packageOf(module: string): string | undefined {
  const path = module.replace(/[\0?].*$/, "");
  if (!path.includes("/node_modules/")) return undefined;
  let folder = dirname(path);
  while (!existsSync(join(folder, "package.json")) || !("name" in read(folder))) folder = dirname(folder);
  return folder;
}

function read(folder: string): object {
  return JSON.parse(readFileSync(join(folder, "package.json"), "utf-8"));
}

export default defineConfig({
  base: "./",
  esbuild: { legalComments: "none" },
  plugins: [licences()],
  build: {
    target: "es2022",
    outDir: process.env.PAGE_OUT ?? "../imagebatch_server/http/static",
    emptyOutDir: true,
    modulePreload: false,
    cssCodeSplit: false,
    reportCompressedSize: true,
    rollupOptions: {
      // Names without hashes: each file has an ETag, and is asked for anew by each visit.
      output: { entryFileNames: "page.js", assetFileNames: "page[extname]" },
    },
  },
});
