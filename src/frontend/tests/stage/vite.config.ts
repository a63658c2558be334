import { fileURLToPath } from "node:url";
import { defineConfig } from "vite";
import page from "../../vite.config.ts";

const here = fileURLToPath(new URL(".", import.meta.url));

/** The meeting page as it is built, with `stage.ts` in place of the join form and the room. */
export default defineConfig({
  ...page,
  root: `${here}../../page`,
  plugins: [
    {
      name: "stage",
      transformIndexHtml: {
        order: "pre",
        handler: (html) => html.replace("./main.ts", "../tests/stage/stage.ts"),
      },
    },
  ],
});
