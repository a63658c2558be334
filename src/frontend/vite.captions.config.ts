import { defineConfig } from "vite";

/** The captions library as one file: for its package, and for pages that have no bundler. */
export default defineConfig({
  publicDir: false,
  build: {
    outDir: "captions/dist",
    emptyOutDir: true,
    target: "es2022",
    lib: { entry: "captions/index.ts", formats: ["es"], fileName: () => "captions.js" },
  },
});
