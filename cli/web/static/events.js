// Server-sent events: the collection has changed; the server is there or not.

const RETRY = 2000;
const PAUSE = 1500;

/**
 * @param {(version: string) => void} changed called at most every 1.5 s
 * @param {(up: boolean) => void} reachable called when the connection comes or goes
 */
export function listen(changed, reachable) {
  let timer = 0;
  let latest = "";
  const tell = () => {
    timer = 0;
    changed(latest);
  };
  const connect = () => {
    const source = new EventSource("/v1/events");
    source.addEventListener("open", () => reachable(true));
    source.addEventListener("version", (event) => {
      latest = event.data;
      timer ||= setTimeout(tell, PAUSE);
    });
    source.addEventListener("error", () => {
      source.close();
      probe();
    });
  };
  const probe = async () => {
    const up = await fetch("/v1/info", { cache: "no-store" }).then(() => true, () => false);
    if (!up) reachable(false);
    setTimeout(up ? connect : probe, RETRY);
  };
  connect();
}
