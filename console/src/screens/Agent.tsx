import { Bar } from "../components/Page";

export default function Agent() {
  return <Bar crumbs={[{ word: "Agent" }]} />;
}
