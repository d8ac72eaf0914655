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

const RETRIES = 2; // only without a response, or after 503: any other error is final
const queries = new QueryClient({
  defaultOptions: {
    queries: {
      staleTime: 5_000,
      retry: (n, error) => n < RETRIES && !(error instanceof ApiError && error.status !== 503),
      retryDelay: (n, error) =>
        error instanceof ApiError && error.retryAfter ? error.retryAfter * 1000 : 500 * 2 ** n,
      refetchOnWindowFocus: false, // the stream reports changes
    },
  },
});
const router = makeRouter(queries);
onUnavailable(() => void queries.invalidateQueries({ queryKey: ["overview"] }));
// A page restored from the back/forward cache may belong to a session that has ended.
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
