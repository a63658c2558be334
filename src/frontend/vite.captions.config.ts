import { defineConfig } from "vite";

/** The captions library as one file, for pages that have no bundler. */
export default defineConfig({
  publicDir: false,
  build: {
    outDir: "dist",
    emptyOutDir: false,
    target: "es2022",
    lib: { entry: "captions/index.ts", formats: ["es"], fileName: () => "captions.js" },
  },
});
