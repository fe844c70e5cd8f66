/**
 * A QMP peer that plays a script: what QEMU would say, and what no QEMU should.
 */
import net from 'node:net';
import path from 'node:path';
import readline from 'node:readline';
import type { Test } from 'tap';
import { makeTempDir } from './temp.js';

export interface QmpRequest {
  execute: string;
  arguments?: Record<string, unknown>;
  id?: number;
}

/** Text is sent as it is; an object gets the request's id; null ends the connection; undefined says nothing. */
export type Reply = object | string | null | undefined;

export interface QmpPeer {
  socket: string;
  /** All commands that came, in order, but for the handshake. */
  requests: QmpRequest[];
}

export const GREETING = {
  QMP: { version: { qemu: { micro: 0, minor: 2, major: 7 }, package: '' }, capabilities: [] },
};

/** Answers each command with what `answer` gives; several replies are sent one after the other. */
export async function startQmpPeer(
  t: Test,
  answer: (request: QmpRequest) => Reply | Reply[],
  greeting: Reply = GREETING,
): Promise<QmpPeer> {
  const socket = path.join(makeTempDir(t), 'qmp');
  const requests: QmpRequest[] = [];
  const server = net.createServer((client) => {
    client.on('error', () => {});
    const send = (reply: Reply, id?: number) => {
      if (reply === null) client.destroy();
      else if (typeof reply === 'string') client.write(`${reply}\n`);
      else if (reply)
        client.write(`${JSON.stringify('event' in reply || id === undefined ? reply : { ...reply, id })}\n`);
    };
    send(greeting);
    const lines = readline.createInterface({ input: client });
    lines.on('error', () => {});
    lines.on('line', (line) => {
      const request = JSON.parse(line) as QmpRequest;
      if (request.execute === 'qmp_capabilities') {
        send({ return: {} }, request.id);
        return;
      }
      requests.push(request);
      for (const reply of [answer(request)].flat()) send(reply, request.id);
    });
  });
  await new Promise<void>((resolve) => server.listen(socket, resolve));
  t.teardown(() => server.close());
  return { socket, requests };
}

/** A machine that keeps account of what it has; `refuses` names what it does not do. */
export function fakeMachine(
  refuses: (request: QmpRequest) => string | undefined = () => undefined,
  major = 7,
) {
  const [devices, nodes, objects] = [new Set<string>(), new Set<string>(), new Set<string>()];
  const names = (of: Set<string>) => ({ return: [...of].map((name) => ({ name, type: 'child' })) });
  const text = (value: unknown) => value as string;
  const answer = (request: QmpRequest): Reply | Reply[] => {
    const desc = refuses(request);
    if (desc !== undefined) return { error: { class: 'GenericError', desc } };
    const args = request.arguments ?? {};
    switch (request.execute) {
      case 'query-version':
        return { return: { qemu: { major, minor: 0, micro: 0 } } };
      case 'query-pci':
        return {
          return: [
            { devices: [{ qdev_id: 'port1', class_info: { class: 1540 }, pci_bridge: { devices: [] } }] },
          ],
        };
      case 'qom-list':
        return names(args.path === '/objects' ? objects : devices);
      case 'query-named-block-nodes':
        return { return: [...nodes].map((name) => ({ 'node-name': name })) };
      case 'object-add':
        objects.add(text(args.id));
        return { return: {} };
      case 'object-del':
        objects.delete(text(args.id));
        return { return: {} };
      case 'blockdev-add':
        nodes.add(text(args['node-name']));
        return { return: {} };
      case 'blockdev-del':
        nodes.delete(text(args['node-name']));
        return { return: {} };
      case 'device_add':
        devices.add(text(args.id));
        return { return: {} };
      case 'device_del':
        devices.delete(text(args.id));
        // The event may come before the answer.
        return [{ event: 'DEVICE_DELETED', data: { device: text(args.id) } }, { return: {} }];
      default:
        return { error: { class: 'CommandNotFound', desc: request.execute } };
    }
  };
  const isClean = () => devices.size + nodes.size + objects.size === 0;
  return { answer, isClean, devices, nodes, objects };
}
