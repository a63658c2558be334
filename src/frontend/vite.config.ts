import { defineConfig } from "vitest/config";

/** The meeting page. Addresses are relative, so it may be served from any path. */
export default defineConfig({
  root: "page",
  base: "./",
  publicDir: "public",
  build: {
    outDir: "../dist",
    emptyOutDir: true,
    target: "es2022",
    // Whatever is inlined as data: would need an exception in a strict Content-Security-Policy.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    chunkSizeWarningLimit: 1_000,
  },
  test: {
    root: ".",
    include: ["tests/**/*.test.ts"],
    restoreMocks: true,
  },
});
