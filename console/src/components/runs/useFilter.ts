import { useQuery } from "@tanstack/react-query";
import { useNavigate, useSearch } from "@tanstack/react-router";
import type { View } from "../../api/client";
import * as q from "../../api/queries";
import type { Search } from "../../router";
import { toggled, type Name, sameFilter, urlOf, type Values, valuesOf, viewKey } from "../../runs";

export interface Filter {
  values: Values;
  filtered: boolean;
  /** The saved view in the URL. */
  view: View | undefined;
  /** The filter differs from the view's. */
  changed: boolean;
  /** The URL names a view that isn't loaded yet. */
  pending: boolean;
  /** The URL names a view that doesn't exist. */
  missing: boolean;
  set(values: Values): void;
  flip(name: Name, value: string): void;
}

/** The filters in the URL, or if there are none, those of the view in the URL. */
export function useFilter(): Filter {
  const url = useSearch({ strict: false }) as Search;
  const go = useNavigate();
  const { data: views, isPending } = useQuery(q.views.list());
  const fromUrl = valuesOf(url);
  const explicit = Object.keys(fromUrl).length > 0;
  const view = views?.items.find((v) => viewKey(v) === url.view);
  const values = explicit || !view ? fromUrl : view.filter;
  const set = (next: Values) => {
    const kept = Object.keys(next).length ? url.view : undefined;
    void go({ to: ".", search: (old: Search) => ({ ...old, ...urlOf(next), view: kept }), replace: true });
  };
  return {
    values,
    filtered: Object.keys(values).length > 0,
    view,
    changed: !!view && !sameFilter(values, view.filter),
    pending: !!url.view && !explicit && isPending,
    missing: !!url.view && !isPending && !view,
    set,
    flip: (name, value) => set(toggled(values, name, value)),
  };
}
