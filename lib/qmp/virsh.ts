/**
 * QMP to a domain of libvirt, which keeps the monitor's socket to itself: through `virsh qemu-monitor-command`
 * (virsh(1)). Events do not come this way, so the end of a device is looked for.
 */
import { execFile } from 'node:child_process';
import { setTimeout as delay } from 'node:timers/promises';
import { LuksError } from '../errors.js';
import { hasDevice } from './inventory.js';
import { heldByGuest, type Monitor, type QmpAnswer, type QmpCommand, requireReturn } from './monitor.js';

const ANSWER_MS = 30_000;
const MAX_ANSWER_BYTES = 16 * 1024 * 1024;
const LOOK_MS = 200;

export class VirshMonitor implements Monitor {
  readonly name: string;
  readonly #domain: string;
  readonly #answerMs: number;

  private constructor(domain: string, answerMs: number) {
    this.#domain = domain;
    this.#answerMs = answerMs;
    this.name = `QEMU of domain ${domain}`;
  }

  /** @throws LuksError UNSUPPORTED where there is no virsh, DEVICE_IO where the domain does not run */
  static async connect(domain: string, answerMs = ANSWER_MS): Promise<VirshMonitor> {
    const monitor = new VirshMonitor(domain, answerMs);
    await monitor.execute({ execute: 'query-version' });
    return monitor;
  }

  async execute(command: QmpCommand): Promise<unknown> {
    const answer = await this.#run(JSON.stringify(command));
    return requireReturn(JSON.parse(answer) as QmpAnswer, command, this.name);
  }

  async removeDevice(id: string, timeoutMs: number): Promise<void> {
    await this.execute({ execute: 'device_del', arguments: { id } });
    for (const end = Date.now() + timeoutMs; Date.now() < end; await delay(LOOK_MS)) {
      if (!(await hasDevice(this, id))) return;
    }
    throw heldByGuest(id, this.name, `it has had ${timeoutMs / 1000} s`);
  }

  close(): void {}

  #run(command: string): Promise<string> {
    const args = ['qemu-monitor-command', '--', this.#domain, command];
    const options = {
      timeout: this.#answerMs,
      killSignal: 'SIGKILL',
      maxBuffer: MAX_ANSWER_BYTES,
      env: { ...process.env, LC_ALL: 'C' },
    } as const;
    return new Promise((resolve, reject) => {
      execFile('virsh', args, options, (cause, stdout, stderr) => {
        if (!cause) {
          resolve(stdout);
        } else if (cause.code === 'ENOENT') {
          reject(new LuksError('UNSUPPORTED', 'cannot run virsh; install libvirt-clients', { cause }));
        } else {
          const late = `virsh was not done in ${this.#answerMs / 1000} s; see whether libvirtd and the domain run`;
          const why = cause.killed && !cause.code ? late : stderr.trim() || cause.message;
          reject(new LuksError('DEVICE_IO', `${this.name} cannot be reached: ${why}`, { cause }));
        }
      });
    });
  }
}
