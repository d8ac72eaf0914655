import { useDocumentTitle } from "@mantine/hooks";
import { useSearch } from "@tanstack/react-router";
import { type FormEvent, useEffect, useState } from "react";
import { Button } from "../components/Button";
import { Mark } from "../components/Mark";
import classes from "./SignIn.module.css";

// Remove the code from the address bar before anything else runs: it must not stay in the browser's history.
const code = location.pathname === "/sign-in" ? location.hash.slice(1) : "";
if (code) history.replaceState(null, "", location.pathname + location.search);

/** Where to go after sign-in; only pages of this console are allowed. */
const target = (to?: string) =>
  to?.startsWith("/") && !to.startsWith("//") && !to.startsWith("/\\") && !to.startsWith("/sign-in") ? to : "/";

async function open(body: { code: string } | { key: string }): Promise<string | undefined> {
  try {
    const response = await fetch("/api/v1/session", {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify(body),
    });
    if (response.ok) return undefined;
    const problem = (await response.json()) as { detail?: string };
    return problem.detail ?? response.statusText;
  } catch {
    return "The API isn’t responding. Try again in a moment.";
  }
}

/** A link from the CLI signs in without showing this page. The page is for links already used, and for machines without the CLI. */
export default function SignIn() {
  const { to, ended } = useSearch({ strict: false }) as { to?: string; ended?: string };
  const [key, setKey] = useState("");
  const [busy, setBusy] = useState(!!code);
  const [fault, setFault] = useState<string>();
  useDocumentTitle("Sign in · AgentGrid");
  const enter = async (body: { code: string } | { key: string }) => {
    setBusy(true);
    const refused = await open(body);
    if (!refused) return location.replace(target(to));
    setFault(refused);
    setBusy(false);
  };
  useEffect(() => {
    if (code) void enter({ code });
  }, []);
  const submit = (e: FormEvent) => {
    e.preventDefault();
    if (!busy) void enter({ key: key.trim() });
  };
  return (
    <main className={classes.page}>
      <form className={classes.card} onSubmit={submit} aria-busy={busy}>
        <Mark size={32} />
        <h1>Sign in to AgentGrid</h1>
        <p className={classes.used} role="status">
          {code && busy
            ? "Signing in…"
            : fault
              ? fault
              : ended
                ? "Your session has ended. Create a new sign-in link:"
                : "Create a one-time sign-in link:"}
        </p>
        <code className={classes.command}>
          <span aria-hidden>$ </span>agentgrid console --open
        </code>
        <p className={classes.or}>
          <span>or with an API key</span>
        </p>
        <label htmlFor="key">API key</label>
        <input
          id="key"
          type="password"
          autoComplete="off"
          spellCheck={false}
          value={key}
          onChange={(e) => setKey(e.target.value)}
          placeholder="ag_…"
          aria-invalid={!!fault && !code}
        />
        <Button look="ink" type="submit" disabled={busy || !key.trim().startsWith("ag_")}>
          Sign in
        </Button>
        <p className={classes.fine}>
          The key is sent to this API and isn’t stored in the browser. The session ends after 12 hours without use,
          after 7 days, or when the key expires or is revoked.
        </p>
      </form>
    </main>
  );
}
