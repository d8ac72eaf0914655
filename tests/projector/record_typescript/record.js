// node record.js ADDRESS NAMESPACE QUEUE ENDPOINT: run every workflow once; prints, as JSON, which workflow ids make up which recording.
const { Client, Connection } = require('@temporalio/client');
const { NativeConnection, Worker, Runtime, DefaultLogger } = require('@temporalio/worker');
const { Context, ApplicationFailure } = require('@temporalio/activity');
const temporalNexus = require('@temporalio/nexus');
const nexus = require('nexus-rpc');
const { clerk } = require('./service');

const [address, namespace, taskQueue, endpoint] = process.argv.slice(2);
const identity = 'typescript';

const activities = {
  echo: async (text) => text,
  flaky: async (text) => {
    const { attempt } = Context.current().info;
    if (attempt < 3) throw ApplicationFailure.retryable(`try ${attempt}`, 'Flaky');
    return text;
  },
  broken: async () => {
    throw ApplicationFailure.nonRetryable("it can't work", 'Broken', { code: 7 });
  },
  hang: async () => {
    const context = Context.current();
    const beating = setInterval(() => context.heartbeat('still here'), 50);
    try {
      await context.cancelled;
    } finally {
      clearInterval(beating);
    }
  },
  bytes: async (given) => given.length,
  nothing: async () => undefined,
};

const service = nexus.serviceHandler(clerk, {
  echo: async (_context, text) => text,
  child: new temporalNexus.WorkflowRunOperationHandler((context, what) =>
    temporalNexus.startWorkflow(context, 'tsChild', { workflowId: `nexus-${context.requestId}`, args: [what], taskQueue })),
});

async function scenarios(client) {
  const recordings = {};
  const start = (type, args = [], options = {}) =>
    client.workflow.start(type, { args, taskQueue, workflowId: `recorded-${type}-${Math.random().toString(36).slice(2)}`, ...options });
  const settled = (promise) => promise.catch((error) => error.name);

  const calls = await start('tsCalls', [{ nested: { list: [1, 'two', null] } }], {
    memo: { note: 'given' }, searchAttributes: { TsWord: ['given'] }, staticSummary: 'Calls of every sort',
  });
  await calls.result();
  recordings.calls = [calls.workflowId];

  const scopes = await start('tsScopes');
  while (!(await timers(client, scopes, 5))) await new Promise((done) => setTimeout(done, 100));
  await scopes.cancel();
  await settled(scopes.result());
  recordings.scopes = [scopes.workflowId];

  const messages = await start('tsMessages');
  await messages.signal('note', 'one', 2);
  await messages.query('count');
  await messages.executeUpdate('ask', { args: ['two'] });
  await settled(messages.executeUpdate('ask', { args: ['bad'] }));
  await settled(messages.executeUpdate('ask', { args: [''] }));
  await messages.signal('unheard', { of: 'signal' });
  await messages.signal('note');
  await messages.result();
  recordings.messages = [messages.workflowId];

  const other = await start('tsChild', ['wait']);
  const parent = await start('tsParent', [other.workflowId]);
  await parent.result();
  await settled(other.result());
  await settled(client.workflow.getHandle(`${parent.workflowId}-left`).result());
  recordings.parent = [parent.workflowId, `${parent.workflowId}-good`, `${parent.workflowId}-bad`, `${parent.workflowId}-left`, other.workflowId];

  const continued = await start('tsContinued', [2]);
  await continued.result();
  recordings.continued = [continued.workflowId];

  const retried = await start('tsRetried', [], { retry: { initialInterval: '100ms', maximumAttempts: 5 } });
  await retried.result();
  recordings.retried = [retried.workflowId];

  const operations = await start('tsNexus', [endpoint]);
  await operations.result();
  recordings.nexus = [operations.workflowId];
  return recordings;
}

async function timers(client, handle, number) {
  const { events } = await handle.fetchHistory();
  return events.filter((event) => event.timerStartedEventAttributes).length >= number;
}

async function main() {
  Runtime.install({ logger: new DefaultLogger('ERROR') });
  const connection = await NativeConnection.connect({ address });
  const worker = await Worker.create({
    connection, namespace, taskQueue, identity, activities, nexusServices: [service], workflowsPath: require.resolve('./workflows'),
  });
  const client = new Client({ connection: await Connection.connect({ address }), namespace, identity });
  const recordings = await worker.runUntil(() => scenarios(client));
  process.stdout.write(JSON.stringify(recordings));
  process.exit(0);
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
