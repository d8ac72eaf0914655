import "@fontsource-variable/inter/opsz.css";
import "@fontsource-variable/jetbrains-mono/wght.css";
import "./mantine.css";
import "./tokens.css";
import "./base.css";
import { MantineProvider } from "@mantine/core";
import { QueryClient, QueryClientProvider } from "@tanstack/react-query";
import { RouterProvider } from "@tanstack/react-router";
import { StrictMode } from "react";
import { createRoot } from "react-dom/client";
import { ApiError, onUnavailable } from "./api/client";
import { nonce } from "./nonce";
import { makeRouter } from "./router";
import { cssVariablesResolver, theme } from "./theme";

const AGAIN = 2; // a refusal is an answer: only what got no answer, or 503, is asked again
const queries = new QueryClient({
  defaultOptions: {
    queries: {
      staleTime: 5_000,
      retry: (n, error) => n < AGAIN && !(error instanceof ApiError && error.status !== 503),
      retryDelay: (n, error) =>
        error instanceof ApiError && error.retryAfter ? error.retryAfter * 1000 : 500 * 2 ** n,
      refetchOnWindowFocus: false, // the stream says what changed
    },
  },
});
const router = makeRouter(queries);
onUnavailable(() => void queries.invalidateQueries({ queryKey: ["overview"] }));
// A page that the browser kept for Back was read in a session that may have ended.
window.addEventListener("pageshow", (e) => e.persisted && location.reload());

createRoot(document.getElementById("root")!).render(
  <StrictMode>
    <MantineProvider
      theme={theme}
      cssVariablesResolver={cssVariablesResolver}
      defaultColorScheme="auto"
      getStyleNonce={() => nonce}
    >
      <QueryClientProvider client={queries}>
        <RouterProvider router={router} />
      </QueryClientProvider>
    </MantineProvider>
  </StrictMode>,
);
