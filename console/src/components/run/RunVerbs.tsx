import { Menu } from "@mantine/core";
import { useQueryClient } from "@tanstack/react-query";
import { useNavigate } from "@tanstack/react-router";
import { Ban, CopyPlus, Ellipsis, Hand, OctagonX, Pause, Play, type LucideIcon } from "lucide-react";
import { useState } from "react";
import type { RunDetail } from "../../api/client";
import { act, type Verb } from "../../api/queries/runs";
import { useOffers, type Offer } from "../../live/offers";
import { Button } from "../Button";
import { Confirm } from "../Confirm";
import { UNDER_BAR } from "../Page";
import classes from "./RunHead.module.css";
import { useCutOff } from "../States";

interface VerbText {
  word: string;
  Icon: LucideIcon;
  text: string;
  danger?: boolean;
}
const VERBS: Record<Verb, VerbText> = {
  pause: {
    word: "Pause",
    Icon: Pause,
    text: "Calls in progress finish; no new ones are made until someone resumes the run. Timers and expiries keep running.",
  },
  resume: { word: "Resume", Icon: Play, text: "Held calls are made now." },
  cancel: { word: "Cancel", Icon: Ban, text: "The run is asked to stop and may clean up first.", danger: true },
  terminate: {
    word: "Terminate",
    Icon: OctagonX,
    text: "The run stops immediately and can’t clean up. What its tools have started isn’t undone.",
    danger: true,
  },
  interrupt: {
    word: "Interrupt",
    Icon: Hand,
    text: "The agent’s current work is stopped, and the run pauses. Once resumed, the agent continues with your message.",
  },
};
const isVerb = (v: string): v is Verb => v in VERBS;

/** The actions available for the run; unavailable ones show why. */
export function RunVerbs({ run }: { run: RunDetail }) {
  const [dialog, setDialog] = useState<Verb>();
  const [message, setMessage] = useState("");
  const queries = useQueryClient();
  const away = useCutOff();
  const go = useNavigate();
  const verbs = run.actions.filter((a) => isVerb(a.verb));
  const can = (v: Verb) => !away && verbs.some((a) => a.verb === v && a.allowed);
  const again = () => void go({ to: "/workflows/$name", params: { name: run.workflow }, search: { from: run.run_id } });
  const offers: Offer[] = [
    ...verbs.map(({ verb, allowed, reason }) => ({
      word: VERBS[verb as Verb].word,
      Icon: VERBS[verb as Verb].Icon,
      more: allowed ? undefined : (reason ?? undefined),
      act: can(verb as Verb) ? () => setDialog(verb as Verb) : undefined,
    })),
    { word: "Start a similar run", Icon: CopyPlus, act: again },
  ];
  useOffers("This run", offers);
  return (
    <>
      {can("resume") && (
        <Button look="ink" icon={<Play size={14} aria-hidden />} onClick={() => setDialog("resume")}>
          Resume
        </Button>
      )}
      {can("pause") && (
        <Button look="quiet" icon={<Pause size={14} aria-hidden />} onClick={() => setDialog("pause")}>
          Pause
        </Button>
      )}
      {can("cancel") && (
        <Button look="quiet" icon={<Ban size={14} aria-hidden />} onClick={() => setDialog("cancel")}>
          Cancel
        </Button>
      )}
      {run.closed_at && (
        <Button look="quiet" icon={<CopyPlus size={14} aria-hidden />} onClick={again}>
          Start a similar run
        </Button>
      )}
      <Menu width={300} offset={UNDER_BAR}>
        <Menu.Target>
          <Button look="quiet" aria-label="All actions">
            <Ellipsis size={16} aria-hidden />
          </Button>
        </Menu.Target>
        <Menu.Dropdown>
          {offers.map(({ word, more, act }) => (
            <Menu.Item key={word} disabled={!act} onClick={act}>
              <span className={classes.verb}>
                {word}
                {more && <i>{more}</i>}
              </span>
            </Menu.Item>
          ))}
        </Menu.Dropdown>
      </Menu>
      {dialog && (
        <Confirm
          title={`${VERBS[dialog].word} this run?`}
          verb={VERBS[dialog].word}
          danger={VERBS[dialog].danger}
          text={VERBS[dialog].text}
          onClose={() => {
            setDialog(undefined);
            setMessage(""); // a message belongs to one action only
          }}
          content={message}
          onConfirm={async (reason, key) => {
            await act(run.run_id, dialog, key, { reason, ...(message.trim() ? { message: message.trim() } : {}) });
            void queries.invalidateQueries({ queryKey: ["runs", run.run_id], exact: true });
          }}
        >
          {dialog === "interrupt" && (
            <label>
              <span>Message for the agent (optional)</span>
              <textarea rows={3} maxLength={5000} value={message} onChange={(e) => setMessage(e.target.value)} />
            </label>
          )}
        </Confirm>
      )}
    </>
  );
}
