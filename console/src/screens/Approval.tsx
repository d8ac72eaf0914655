import { Bar } from "../components/Page";

export default function Approval() {
  return <Bar crumbs={[{ word: "Approval" }]} />;
}
