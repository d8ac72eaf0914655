import { Menu } from "@mantine/core";
import { useQuery, useQueryClient } from "@tanstack/react-query";
import { Link, useNavigate } from "@tanstack/react-router";
import { Bookmark, Ellipsis, Plus } from "lucide-react";
import { useState } from "react";
import type { View } from "../../api/client";
import * as q from "../../api/queries";
import { moment } from "../../format";
import { urlOf, viewKey } from "../../runs";
import classes from "../../screens/Runs.module.css";
import { visible } from "../../unseen";
import { Button } from "../Button";
import { Confirm } from "../Confirm";
import { useAway } from "../States";
import { useCopy } from "../useCopy";
import { SaveView } from "./SaveView";
import type { Filter } from "./useFilter";
import { Text } from "../Text";

type DialogKind = "save" | "replace" | "rename" | "delete";
const EXACT = { exact: true, includeSearch: true }; // otherwise the router marks every view as the current one
const about = (v: View) => `${v.shared ? "Shared" : "Private"}, saved by ${v.changed_by} at ${moment(v.changed_at)}`;

/** Saved views as links, and the actions for the open one. */
export function Views({ filter }: { filter: Filter }) {
  const { data } = useQuery(q.views.list());
  const { data: me } = useQuery(q.me.me());
  const queries = useQueryClient();
  const go = useNavigate();
  const away = useAway();
  const [dialog, setDialog] = useState<DialogKind>();
  const link = useCopy();
  const { view, changed, filtered } = filter;
  const mayShare = !!me?.permissions.includes("edit");
  const mayChange = !!view && (!view.shared || mayShare);
  const open = (v: View | undefined) => void go({ to: "/runs", search: v ? { view: viewKey(v) } : {} });
  const copy = () => {
    const search = view?.shared && !changed ? { view: viewKey(view) } : urlOf(filter.values);
    const params = Object.entries(search).filter((entry): entry is [string, string] => !!entry[1]);
    link.copy(`${location.origin}/runs?${new URLSearchParams(params).toString()}`);
  };
  return (
    <nav className={classes.views} aria-label="Saved views">
      <Link to="/runs" search={{}} activeOptions={EXACT} aria-current={!filtered && !view ? "page" : "false"}>
        All runs
      </Link>
      {data?.items.map((v) => (
        <Link
          key={viewKey(v)}
          to="/runs"
          search={{ view: viewKey(v) }}
          activeOptions={EXACT}
          title={about(v)}
          aria-current={view === v ? "page" : "false"}
        >
          <Bookmark size={12} aria-hidden data-private={!v.shared || undefined} />
          <span className="cut">
            <Text>{v.title}</Text>
          </span>
          <span className="visually-hidden">{v.shared ? "shared" : "private"}</span>
          {view === v && changed && <i>changed</i>}
        </Link>
      ))}
      <span className={classes.acts}>
        <span role="status" className="muted">
          {link.byHand ? "Copy it from the address bar." : link.message && "Link copied."}
        </span>
        {view && changed && mayChange && (
          <Button small disabled={away} onClick={() => setDialog("replace")}>
            Replace
          </Button>
        )}
        {filtered && (!view || changed) && (
          <Button
            small
            look="quiet"
            disabled={away}
            icon={<Plus size={13} aria-hidden />}
            onClick={() => setDialog("save")}
          >
            {view ? "Save as new" : "Save this view"}
          </Button>
        )}
        {view && (
          <Menu width={220} position="bottom-end">
            <Menu.Target>
              <Button small look="quiet" aria-label={`Actions for the view ${visible(view.title)}`}>
                <Ellipsis size={15} aria-hidden />
              </Button>
            </Menu.Target>
            <Menu.Dropdown>
              <Menu.Item onClick={copy}>{view.shared && !changed ? "Copy link" : "Copy link to this filter"}</Menu.Item>
              {changed && <Menu.Item onClick={() => open(view)}>Discard changes</Menu.Item>}
              <Menu.Item disabled={!mayChange || away} onClick={() => setDialog("rename")}>
                Rename
              </Menu.Item>
              <Menu.Item disabled={!mayChange || away} onClick={() => setDialog("delete")}>
                Delete
              </Menu.Item>
            </Menu.Dropdown>
          </Menu>
        )}
      </span>
      {dialog && dialog !== "delete" && (
        <SaveView
          values={dialog === "rename" && view ? view.filter : filter.values}
          view={dialog === "save" ? undefined : view}
          rename={dialog === "rename"}
          mayShare={mayShare}
          onSaved={open}
          onClose={() => setDialog(undefined)}
        />
      )}
      {dialog === "delete" && view && (
        <Confirm
          title={`Delete the view “${view.title}”?`}
          text={view.shared ? "It is deleted for everyone who uses it. The runs stay." : "The runs stay."}
          verb="Delete"
          danger
          reasonless
          onClose={() => setDialog(undefined)}
          onConfirm={async (_, key) => {
            await q.views.remove(view, key);
            await queries.invalidateQueries({ queryKey: ["views"] });
            open(undefined);
          }}
        />
      )}
    </nav>
  );
}
