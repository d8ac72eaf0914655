import { Bar } from "../components/Page";

export default function Settings() {
  return <Bar crumbs={[{ word: "Settings" }]} />;
}
