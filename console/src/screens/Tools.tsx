import { Bar } from "../components/Page";

export default function Tools() {
  return <Bar crumbs={[{ word: "Tools" }]} />;
}
