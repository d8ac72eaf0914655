import { useDocumentTitle } from "@mantine/hooks";
import { useSearch } from "@tanstack/react-router";
import { type FormEvent, useEffect, useState } from "react";
import { Button } from "../components/Button";
import { Mark } from "../components/Mark";
import classes from "./SignIn.module.css";

// Out of the address bar before anything else runs: the code must not stay in the browser's history.
const code = location.pathname === "/sign-in" ? location.hash.slice(1) : "";
if (code) history.replaceState(null, "", location.pathname + location.search);

/** Where to go after signing in: a page of this console, and nowhere else. */
const target = (to?: string) =>
  to?.startsWith("/") && !to.startsWith("//") && !to.startsWith("/\\") && !to.startsWith("/sign-in") ? to : "/";

async function open(body: { code: string } | { key: string }): Promise<string | undefined> {
  try {
    const answer = await fetch("/api/v1/session", {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify(body),
    });
    if (answer.ok) return undefined;
    const problem = (await answer.json()) as { detail?: string };
    return problem.detail ?? answer.statusText;
  } catch {
    return "The API does not answer. Try again in a moment.";
  }
}

/** A link from the command line signs in without a look at this page. It is for used links, and for machines without the command line. */
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
                ? "Your session has ended. Make a new link where you work:"
                : "Make a link where you work. It works once:"}
        </p>
        <code className={classes.command}>
          <span aria-hidden>$ </span>agentgrid console --open
        </code>
        <p className={classes.or}>
          <span>or with a key</span>
        </p>
        <label htmlFor="key">Key</label>
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
          The key goes to this API and is kept nowhere in the browser. The session ends 12 hours after its last use, and
          when the key does.
        </p>
      </form>
    </main>
  );
}
