/** One attempt at one receiver, whatever its kind. */
import type { Clock } from '../../../../shared/clock.ts';
import type { Send } from './deliveries.ts';
import { postWebhook } from './post-webhook.ts';
import { runAlertCommand } from './run-alert-command.ts';
import { webhookRequest } from './webhook-request.ts';

export interface SendOptions {
  clock: Clock;
  userAgent: string;
  /** Variables of commands besides those of the alert. */
  env: Readonly<Record<string, string | undefined>>;
}

/** A sender, and how to cut off whatever it is sending. */
export function createSender({ clock, userAgent, env }: SendOptions): { send: Send; abort(): void } {
  const controller = new AbortController();
  const { signal } = controller;
  const send: Send = async (receiver, id, message) => {
    if (receiver.kind === 'command') {
      return await runAlertCommand(receiver.command, id, message, { clock, signal, timeoutMs: receiver.timeout, env });
    }
    return await postWebhook(webhookRequest(receiver, id, message, clock.now()), { clock, signal, userAgent });
  };
  return { send, abort: () => controller.abort() };
}
