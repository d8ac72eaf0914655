import { Link } from "@tanstack/react-router";
import { plural } from "../../format";
import { ButtonLink } from "../Button";
import { Blank } from "../States";
import type { Shown } from "./Catalogs";
import classes from "./Overview.module.css";
import { Text } from "../Text";

const FIRST = 4;

/** Replaces the overview until the first run. */
export function Empty({ workflows }: { workflows: Shown["workflows"] }) {
  const { total, items } = workflows;
  if (!total)
    return (
      <Blank title="No workflow is registered yet" command="agentgrid worker">
        <p>A worker registers its workflows, agents and tools when it starts. Their activity will appear here.</p>
      </Blank>
    );
  return (
    <Blank title="No runs yet" command={`agentgrid workflow show ${items[0]!.name}`}>
      <p>
        {plural(total, "workflow is", "workflows are")} registered. What a run does, waits for and costs will appear
        here.
      </p>
      <ul className={classes.first}>
        {items.slice(0, FIRST).map((w) => (
          <li key={w.name}>
            <Link to="/workflows/$name" params={{ name: w.name }}>
              <b>
                <Text>{w.title}</Text>
              </b>
              <span className="cut">
                <Text>{w.description}</Text>
              </span>
              <em>Start</em>
            </Link>
          </li>
        ))}
      </ul>
      {total > FIRST && <ButtonLink to="/workflows">All {total} workflows</ButtonLink>}
    </Blank>
  );
}
