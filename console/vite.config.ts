/// <reference types="vitest/config" />
import { defineConfig } from "vite";
import react from "@vitejs/plugin-react";
import { env } from "node:process";

const MOCKED = "src/**/*.mocked.test.{ts,tsx}";

export default defineConfig({
  plugins: [react()],
  html: { cspNonce: "__CSP_NONCE__" }, // the server swaps in a fresh nonce per page load
  build: {
    outDir: env.CONSOLE_OUTPUT ?? "dist",
    emptyOutDir: true,
    manifest: true, // which files each screen loads: tests check budgets against it
    assetsInlineLimit: 0, // no data: URIs, so the CSP stays strict
  },
  server: { proxy: { "/api": { target: "http://127.0.0.1:8700", changeOrigin: false } } }, // the door compares Origin with Host
  test: {
    css: false,
    pool: "threads",
    isolate: false, // a thread loads each module once, so tests must undo their changes and can't mock modules
    projects: [
      { extends: true, test: { name: "shared", exclude: ["**/node_modules/**", MOCKED] } },
      { extends: true, test: { name: "mocked", include: [MOCKED], isolate: true, sequence: { groupOrder: 1 } } },
    ],
  },
});
