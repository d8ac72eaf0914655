import { Bar } from "../components/Page";

export default function Audit() {
  return <Bar crumbs={[{ word: "Audit" }]} />;
}
