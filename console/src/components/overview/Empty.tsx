import { useQuery } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import * as q from "../../api/queries";
import { plural } from "../../format";
import { Blank } from "../States";
import classes from "./Overview.module.css";

/** In place of the overview where nothing has run yet. */
export function Empty() {
  const { data } = useQuery(q.workflows.list());
  const flows = data?.items ?? [];
  return (
    <Blank title="No run has started here yet" command={flows[0] && `agentgrid workflow show ${flows[0].name}`}>
      <p>
        {plural(flows.length, "workflow is", "workflows are")} registered. What a run does, waits for and costs will be
        here.
      </p>
      <ul className={classes.first}>
        {flows.slice(0, 4).map((w) => (
          <li key={w.name}>
            <Link to="/workflows/$name" params={{ name: w.name }}>
              <b>{w.title}</b>
              <span className="cut">{w.description}</span>
              <em>Start</em>
            </Link>
          </li>
        ))}
      </ul>
    </Blank>
  );
}
