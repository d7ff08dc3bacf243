/** `gateway.alerts` of the configuration: rules and receivers, checked against each other. */
import { z } from 'zod';
import { durationUpTo } from '../../../shared/config.ts';
import { alertReceiverSchema } from './alert-receiver.ts';
import { alertRuleSchema } from './alert-rule.ts';

/** More would not be read by anybody, and each is held against each node again and again. */
const MAX_RULES = 100;
const MAX_RECEIVERS = 50;
/** Two looks at all nodes, ms: nodes that go away together are found in more than one. */
const GROUP_WAIT_MS = 30_000;

export const alertsConfigSchema = z
  .strictObject({
    /** The built-in ones when absent; an empty list for none. */
    rules: z.array(alertRuleSchema).max(MAX_RULES).optional(),
    notify: z.array(alertReceiverSchema).max(MAX_RECEIVERS).default([]),
    /** What happens within this time of the first alert of its rule is told together; 0 for each by itself. */
    groupWait: durationUpTo('1h').default(GROUP_WAIT_MS),
  })
  .superRefine(({ rules = [], notify }, context) => {
    for (const [list, entries] of Object.entries({ rules, notify })) {
      entries.forEach(({ name }, index) => {
        if (entries.findIndex((other) => other.name === name) === index) return;
        context.addIssue({ code: 'custom', path: [list, index, 'name'], message: `${name} is there already` });
      });
    }
    rules.forEach((rule, index) => {
      for (const name of rule.notify ?? []) {
        if (notify.some((receiver) => receiver.name === name)) continue;
        const message = `there is no receiver ${name} under gateway.alerts.notify`;
        context.addIssue({ code: 'custom', path: ['rules', index, 'notify'], message });
      }
    });
  })
  .prefault({});
