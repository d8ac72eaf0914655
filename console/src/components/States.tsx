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

/** Shown in place of content: one icon, one sentence, what to do, and how to do it elsewhere. */
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
  <Blank icon={<SearchX size={20} />} title="There is nothing here">
    <p>The address is wrong, or what was here is older than what is kept. Runs are found by their reference, too.</p>
    <ButtonLink to="/runs">To the runs</ButtonLink>
  </Blank>
);

/** In place of a page whose data did not come: the code, what to do, and again. */
export function Failed({ error, reset }: { error: unknown; reset?(): void }) {
  const again = reset && <Button onClick={reset}>Try again</Button>;
  if (error instanceof Away)
    return (
      <Blank icon={<CloudOff size={20} />} title="The API does not answer">
        <p>Nothing was changed. The page fills itself when the API is back.</p>
        {again}
      </Blank>
    );
  if (!(error instanceof ApiError))
    return (
      <Blank icon={<TriangleAlert size={20} />} title="The page broke">
        <p>{String(error)}</p>
        {again}
      </Blank>
    );
  if (error.status === 404) return <Missing />;
  const denied = error.status === 403;
  return (
    <Blank
      icon={denied ? <Lock size={20} /> : <TriangleAlert size={20} />}
      title={denied ? "You may not see this" : "The API refused"}
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

/** Whether one has waited longer than a blink. */
export function useLate() {
  const [late, setLate] = useState(false);
  useEffect(() => {
    const timer = setTimeout(() => setLate(true), 150);
    return () => clearTimeout(timer);
  }, []);
  return late;
}
/** Where some rows will be. */
export const SkeletonRows = ({ rows }: { rows: number }) => (
  <div className={classes.skeleton} aria-hidden>
    {Array.from({ length: rows }, (_, i) => (
      <i key={i} style={{ width: `${88 - ((i * 29) % 40)}%` }} />
    ))}
  </div>
);
/** A placeholder in the shape of rows, shown only where the data takes longer than a blink. */
export function Skeleton({
  rows = 6,
  inset,
}: {
  rows?: number;
  /** It is alone on the sheet, without a margin around it. */
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

/** A line above the page, only when it is so. */
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
/** What limits the whole console now: the API or Temporal away, the mirror behind. What was read before stays on the page. */
export function Conditions() {
  const live = useLive();
  const now = useNow();
  const { data: overview } = useOverview();
  const away = live.state === "reconnecting" && now - live.since > 2_000;
  if (away)
    return (
      <Strip tone="wrong" icon={<CloudOff size={15} />}>
        The API has not answered since <b>{moment(live.since, now, true)}</b>. What you see is from then, and nothing
        can be changed.
      </Strip>
    );
  if (overview && isTemporalAway(overview))
    return (
      <Strip tone="wrong" icon={<CloudOff size={15} />}>
        Temporal does not answer. Starts are kept and go out when it is back; decisions and stops have to wait.
      </Strip>
    );
  const lag = overview?.projection;
  if (lag?.stale)
    return (
      <Strip tone="person" icon={<TriangleAlert size={15} />}>
        {lag.updated_at ? (
          <>
            The mirror is {span(now - Date.parse(lag.updated_at))} behind Temporal. What you see is as of{" "}
            <b>{moment(lag.updated_at, now, true)}</b>; decisions and starts still go through.
          </>
        ) : (
          "No projector has reported yet, so the lists may be incomplete; decisions and starts still go through."
        )}
      </Strip>
    );
  return null;
}
/** Whether nothing can be changed now. */
export const useAway = () => useLive().state === "reconnecting";
/** Whether no run can be reached now, for a decision or a stop. */
export function useCutOff() {
  const { data: overview } = useOverview();
  return useAway() || (!!overview && isTemporalAway(overview));
}
/** In place of a value that this principal may not read: never the value, not even in the page's source. */
export const Hidden = ({ size }: { size?: string }) => (
  <span className={classes.hidden}>
    <EyeOff size={13} aria-hidden />
    Hidden: your role sees what happened, not what was written{size && <i>{size}</i>}
  </span>
);
