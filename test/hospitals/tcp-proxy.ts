/**
 * @file A TCP proxy of the test suite: a link between two programs that is far away, slow, stuck, reset or forgotten, as a test says.
 *
 * It forwards bytes in order or not at all, as TCP does: what a real link loses, TCP sends again, so no program ever sees a gap. It
 * does not look into what it carries.
 */
import { connect, createServer, type Server, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';

export interface LinkState {
  /** One way, added to everything, in milliseconds. */
  readonly latencyMs: number;
  /** Of each connection and direction; 0 = no limit. */
  readonly bytesPerSecond: number;
  /** Nothing passes and nothing is closed; what comes waits. New connections are accepted, and wait too. */
  readonly stalled: boolean;
}

/** What a test can do to a link while it carries traffic. */
export interface Link {
  /** Changes the state; what is not given stays. */
  set(state: Partial<LinkState>): Promise<void>;
  /** Ends every connection with a reset, on both sides; gives how many. */
  reset(): Promise<number>;
  /**
   * From now on the connections of this moment carry nothing, in both directions, and neither side is told, not even of the other's
   * end: a firewall forgot them. New connections work. Gives how many; `reset` ends them.
   */
  forget(): Promise<number>;
  /** Connections that are open, and bytes forwarded so far. */
  facts(): Promise<{ connections: number; bytes: number }>;
}

export interface Endpoint {
  readonly host: string;
  readonly port: number;
}

export interface TcpProxy extends Link {
  /** Where it listens. */
  readonly port: number;
  close(): Promise<void>;
}

/** A link that does nothing to what it carries. */
export const CLEAR: LinkState = { latencyMs: 0, bytesPerSecond: 0, stalled: false };
/** Bytes that one direction of a connection holds back at most; then it reads no more. */
const HELD_BYTES = 4 * 2 ** 20;
/** A slow link sends so often in a second. */
const PIECES_PER_SECOND = 20;

interface Connection {
  readonly sockets: readonly [Socket, Socket];
  forgotten: boolean;
}

/** What all connections of a proxy share. */
interface Shared {
  state: LinkState;
  /** Resolves when the link is not stalled. */
  flowing: Promise<void>;
  bytes: number;
}

/** Opens a proxy from `listen` (port 0: any) to `target`. */
export async function openTcpProxy(listen: Endpoint, target: Endpoint): Promise<TcpProxy> {
  const shared: Shared = { state: CLEAR, flowing: Promise.resolve(), bytes: 0 };
  let release = (): void => {};
  const connections = new Set<Connection>();
  const server = createServer({ allowHalfOpen: true, noDelay: true }, (near) => {
    const far = connect({ ...target, allowHalfOpen: true, noDelay: true });
    const connection: Connection = { sockets: [near, far], forgotten: false };
    connections.add(connection);
    carry(connection, near, far, shared);
    carry(connection, far, near, shared);
    for (const socket of connection.sockets) {
      // The reason is of no interest: the other side must end too.
      socket.on('error', () => {});
      socket.on('close', (failed) => {
        if (connection.sockets.every(({ destroyed }) => destroyed)) connections.delete(connection);
        // An end in order is passed on behind what came before it.
        else if (failed && !connection.forgotten) for (const other of connection.sockets) other.destroy();
      });
    }
  });
  const port = await listening(server, listen);
  const set = (state: Partial<LinkState>): void => {
    const was = shared.state.stalled;
    shared.state = { ...shared.state, ...state };
    if (shared.state.stalled === was) return;
    if (was) release();
    else {
      shared.flowing = new Promise((resolve) => {
        release = resolve;
      });
    }
  };
  const reset = (): number => {
    const ended = [...connections];
    for (const connection of ended) {
      connection.forgotten = false;
      for (const socket of connection.sockets) socket.resetAndDestroy();
    }
    return ended.length;
  };
  const forget = (): number => {
    const remembered = [...connections].filter(({ forgotten }) => !forgotten);
    for (const connection of remembered) connection.forgotten = true;
    return remembered.length;
  };
  return {
    port,
    set: async (state) => set(state),
    reset: async () => reset(),
    forget: async () => forget(),
    facts: async () => ({ connections: connections.size, bytes: shared.bytes }),
    close: async () => {
      set({ stalled: false });
      const closed = new Promise((resolve) => server.close(resolve));
      reset();
      await closed;
    },
  };
}

function listening(server: Server, { host, port }: Endpoint): Promise<number> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen({ host, port }, () => {
      const address = server.address();
      if (address !== null && typeof address !== 'string') resolve(address.port);
      else reject(new Error(`no port on ${host}`));
    });
  });
}

/** Carries one direction of a connection. */
function carry(connection: Connection, from: Socket, to: Socket, shared: Shared): void {
  const queue: { chunk: Buffer; dueMs: number }[] = [];
  let [held, busy, ended] = [0, false, false];

  const deliver = async (): Promise<void> => {
    if (busy) return;
    busy = true;
    for (let next = queue[0]; next !== undefined; next = queue[0]) {
      await shared.flowing;
      const earlyMs = next.dueMs - performance.now();
      if (earlyMs > 0) await sleep(earlyMs);
      await send(next.chunk);
      queue.shift();
      held -= next.chunk.length;
      if (held < HELD_BYTES) from.resume();
    }
    busy = false;
    if (ended && !connection.forgotten) to.end();
  };

  const send = async (chunk: Buffer): Promise<void> => {
    for (let sent = 0; sent < chunk.length && !to.destroyed && !connection.forgotten; ) {
      const { bytesPerSecond } = shared.state;
      const limited = bytesPerSecond > 0;
      const size = limited ? Math.max(1, Math.floor(bytesPerSecond / PIECES_PER_SECOND)) : chunk.length;
      const piece = chunk.subarray(sent, sent + size);
      sent += piece.length;
      shared.bytes += piece.length;
      if (!to.write(piece)) await drained(to);
      if (limited) await sleep((1000 * piece.length) / bytesPerSecond);
      await shared.flowing;
    }
  };

  from.on('data', (chunk: Buffer) => {
    if (connection.forgotten) return;
    queue.push({ chunk, dueMs: performance.now() + shared.state.latencyMs });
    held += chunk.length;
    if (held >= HELD_BYTES) from.pause();
    void deliver();
  });
  from.on('end', () => {
    ended = true;
    void deliver();
  });
}

/** Resolves when the socket takes more, or is gone. */
function drained(socket: Socket): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      socket.off('drain', done).off('close', done);
      resolve();
    };
    socket.on('drain', done).on('close', done);
    if (socket.destroyed) done();
  });
}
