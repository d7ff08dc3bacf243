/** An http.Agent whose connections are channels that somebody else opens; keep-alive pools them. */
import http from 'node:http';
import type { Duplex } from 'node:stream';

/** Idle channels that are kept for the next request; each costs the other side some kilobytes. */
const MAX_IDLE_CHANNELS = 8;

export function createStreamAgent(open: () => Promise<Duplex>): http.Agent {
  // The server name is for TLS only; without it Node compiles a large regular expression to find that out (5 ms, once).
  const options = { keepAlive: true, maxFreeSockets: MAX_IDLE_CHANNELS, servername: '' };
  const agent = new http.Agent(options as http.AgentOptions);
  // Typed as net.Socket there; any Duplex that looks like one will do (nodejs.org/api/http.html, "agent.createConnection").
  agent.createConnection = ((_options: unknown, callback: (error: Error | null, stream?: Duplex) => void) => {
    open().then(
      (stream) => callback(null, stream),
      (error: Error) => callback(error),
    );
    return undefined;
  }) as unknown as http.Agent['createConnection'];
  return agent;
}
