import { CloudOff, EyeOff, Lock, SearchX, TriangleAlert } from "lucide-react";
import { type ReactNode, useEffect, useState } from "react";
import { ApiError, Away, type Overview } from "../api/client";
import { moment, span } from "../format";
import { useNow } from "../live/now";
import { useLive } from "../live/stream";
import { Ident } from "./Bits";
import { Button, ButtonLink } from "./Button";
import classes from "./States.module.css";
import { useOverview } from "./useOverview";

/** An empty state: an icon, a sentence, what to do, and the CLI command for it. */
export function Blank({
  icon,
  title,
  children,
  command,
}: {
  icon?: ReactNode;
  title: string;
  children?: ReactNode;
  command?: string;
}) {
  return (
    <div className={classes.blank}>
      {icon && <span className={classes.icon}>{icon}</span>}
      <h2>{title}</h2>
      <div className={classes.text}>{children}</div>
      {command && (
        <code className={classes.command}>
          <span aria-hidden>$ </span>
          {command}
        </code>
      )}
    </div>
  );
}
export const Missing = () => (
  <Blank icon={<SearchX size={20} />} title="Not found">
    <p>The address is wrong, or the data is past its retention. You can also find runs by reference.</p>
    <ButtonLink to="/runs">Go to runs</ButtonLink>
  </Blank>
);

/** Shown if a page's data couldn't be loaded: the error, its code, and a retry button. */
export function Failed({ error, reset }: { error: unknown; reset?(): void }) {
  const again = reset && <Button onClick={reset}>Try again</Button>;
  if (error instanceof Away)
    return (
      <Blank icon={<CloudOff size={20} />} title="The API isn’t responding">
        <p>Nothing was changed. The page loads once the API is back.</p>
        {again}
      </Blank>
    );
  if (!(error instanceof ApiError))
    return (
      <Blank icon={<TriangleAlert size={20} />} title="The page crashed">
        <p>{String(error)}</p>
        {again}
      </Blank>
    );
  if (error.status === 404) return <Missing />;
  const denied = error.status === 403;
  return (
    <Blank
      icon={denied ? <Lock size={20} /> : <TriangleAlert size={20} />}
      title={denied ? "You don’t have access" : "The API returned an error"}
    >
      <p>{error.message}</p>
      <p className={classes.fine}>
        <code>{error.problem.code}</code>
        {error.problem.command_id && (
          <>
            {" "}
            · <Ident id={error.problem.command_id} />
          </>
        )}
      </p>
      {!denied && again}
    </Blank>
  );
}

/** Whether loading takes long enough to show a placeholder. */
export function useLate() {
  const [late, setLate] = useState(false);
  useEffect(() => {
    const timer = setTimeout(() => setLate(true), 150);
    return () => clearTimeout(timer);
  }, []);
  return late;
}
/** Placeholder rows. */
export const SkeletonRows = ({ rows }: { rows: number }) => (
  <div className={classes.skeleton} aria-hidden>
    {Array.from({ length: rows }, (_, i) => (
      <i key={i} style={{ width: `${88 - ((i * 29) % 40)}%` }} />
    ))}
  </div>
);
/** A placeholder in the shape of rows, shown only if loading takes noticeably long. */
export function Skeleton({
  rows = 6,
  inset,
}: {
  rows?: number;
  /** Adds a margin, for a placeholder directly on the sheet. */
  inset?: boolean;
}) {
  if (!useLate()) return null;
  return (
    <div className={inset ? classes.inset : undefined} role="status">
      <span className="visually-hidden">Loading</span>
      <SkeletonRows rows={rows} />
    </div>
  );
}

/** A notice above the page. */
export function Strip({
  tone,
  icon,
  children,
  act,
}: {
  tone: "person" | "wrong" | "plain";
  icon: ReactNode;
  children: ReactNode;
  act?: ReactNode;
}) {
  return (
    <div className={classes.strip} data-tone={tone} role="status">
      {icon}
      <p>{children}</p>
      {act}
    </div>
  );
}
const isTemporalAway = (overview: Overview) => overview.conditions.some((c) => c.kind === "temporal_away");
/** Console-wide notices: the API or Temporal is down, or the projection lags. Data already loaded stays on the page. */
export function Conditions() {
  const live = useLive();
  const now = useNow();
  const { data: overview } = useOverview();
  const away = live.state === "reconnecting" && now - live.since > 2_000;
  if (away)
    return (
      <Strip tone="wrong" icon={<CloudOff size={15} />}>
        The API hasn’t responded since <b>{moment(live.since, now, true)}</b>. This data is from then, and nothing can
        be changed.
      </Strip>
    );
  if (overview && isTemporalAway(overview))
    return (
      <Strip tone="wrong" icon={<CloudOff size={15} />}>
        Temporal isn’t responding. New runs are queued until it is back; decisions and stops have to wait.
      </Strip>
    );
  const lag = overview?.projection;
  if (lag?.stale)
    return (
      <Strip tone="person" icon={<TriangleAlert size={15} />}>
        {lag.updated_at ? (
          <>
            This data is {span(now - Date.parse(lag.updated_at))} behind Temporal. It is as of{" "}
            <b>{moment(lag.updated_at, now, true)}</b>; decisions and starts still go through.
          </>
        ) : (
          "No projector has reported yet, so the lists may be incomplete; decisions and starts still go through."
        )}
      </Strip>
    );
  return null;
}
/** Whether changes are impossible now. */
export const useAway = () => useLive().state === "reconnecting";
/** Whether runs can't be reached now, for a decision or a stop. */
export function useCutOff() {
  const { data: overview } = useOverview();
  return useAway() || (!!overview && isTemporalAway(overview));
}
/** Replaces a value that this principal may not read. The value isn't even in the page's source. */
export const Hidden = ({ size }: { size?: string }) => (
  <span className={classes.hidden}>
    <EyeOff size={13} aria-hidden />
    Hidden: your role can’t read payloads{size && <i>{size}</i>}
  </span>
);
