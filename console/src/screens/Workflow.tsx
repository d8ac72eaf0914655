import { Bar } from "../components/Page";

export default function Workflow() {
  return <Bar crumbs={[{ word: "Workflow" }]} />;
}
