// What the TypeScript SDK can do, in as few workflows as show it.
const wf = require('@temporalio/workflow');
const { clerk } = require('./service');

const quick = { initialInterval: '50ms', maximumAttempts: 3 };
const acts = wf.proxyActivities({ startToCloseTimeout: '9s', retry: quick });
const slow = wf.proxyActivities({ startToCloseTimeout: '9s', heartbeatTimeout: '1s', cancellationType: 'WAIT_CANCELLATION_COMPLETED' });
const hurried = wf.proxyActivities({ startToCloseTimeout: '300ms', retry: { maximumAttempts: 1 } });
const local = wf.proxyLocalActivities({ startToCloseTimeout: '9s', localRetryThreshold: '100ms', retry: { initialInterval: '300ms', maximumAttempts: 3 } });

async function caught(promise) {
  try {
    return await promise;
  } catch (error) {
    return error.name;
  }
}

exports.tsCalls = async function tsCalls(given) {
  wf.patched('a-patch');
  wf.deprecatePatch('an-old-patch');
  wf.upsertSearchAttributes({ TsWord: ['changed'] });
  wf.upsertMemo({ note: 'changed' });
  const done = [
    await acts.echo('plain'),
    await acts.flaky('after two failures'),
    await caught(acts.broken()),
    await caught(hurried.hang()),
    await local.echo('local'),
    await local.flaky('local after two failures'),
    await caught(local.broken()),
    await acts.bytes(new Uint8Array([0, 1, 254, 255])),
    await acts.nothing(undefined, null),
  ];
  await wf.sleep('50 milliseconds');
  return [...done.filter((each) => each !== undefined), given];
};

exports.tsScopes = async function tsScopes() {
  const scope = new wf.CancellationScope();
  const hanging = caught(scope.run(() => slow.hang()));
  const sleeping = caught(scope.run(() => wf.sleep('1 hour')));
  await wf.sleep(300);
  scope.cancel();
  const seen = [await hanging, await sleeping];
  seen.push(await caught(wf.CancellationScope.withTimeout(100, () => wf.sleep('1 hour'))));
  try {
    await wf.sleep('1 hour');
  } catch (error) {
    if (!wf.isCancellation(error)) throw error;
    await wf.CancellationScope.nonCancellable(() => acts.echo('cleaned up'));
    throw error;
  }
  return seen;
};

const note = wf.defineSignal('note');
const ask = wf.defineUpdate('ask');
const count = wf.defineQuery('count');

exports.tsMessages = async function tsMessages() {
  const seen = [];
  wf.setHandler(note, (...args) => void seen.push(args));
  wf.setHandler(count, () => seen.length);
  wf.setHandler(
    ask,
    async (text) => {
      await wf.sleep(20);
      seen.push(text);
      if (text === 'bad') throw wf.ApplicationFailure.create({ message: 'refused', type: 'Refused', details: [{ code: 1 }] });
      return `${text}!`;
    },
    { validator: (text) => { if (!text) throw new Error('empty'); } },
  );
  wf.setDefaultSignalHandler((name, ...args) => void seen.push([name, ...args]));
  await wf.condition(() => seen.length >= 5);
  return seen.length;
};

exports.tsParent = async function tsParent(other) {
  const id = wf.workflowInfo().workflowId;
  const result = await wf.executeChild('tsChild', { workflowId: `${id}-good`, args: ['good'], staticSummary: 'A good child' });
  const bad = await caught(wf.executeChild('tsChild', { workflowId: `${id}-bad`, args: ['bad'] }));
  const left = await wf.startChild('tsChild', { workflowId: `${id}-left`, args: ['wait'], parentClosePolicy: 'ABANDON' });
  await left.signal('note', 'from the parent');
  const handle = wf.getExternalWorkflowHandle(other);
  await handle.signal('note', 'from afar');
  await handle.cancel();
  const nobody = await caught(wf.getExternalWorkflowHandle('nobody-there').signal('note'));
  return [result, bad, nobody];
};

exports.tsChild = async function tsChild(what) {
  if (what === 'bad') throw wf.ApplicationFailure.nonRetryable('no good', 'NoGood', { code: 7 });
  let heard = what !== 'wait';
  wf.setHandler(note, () => void (heard = true));
  await wf.condition(() => heard);
  return what;
};

exports.tsContinued = async function tsContinued(left) {
  if (left > 0) await wf.continueAsNew(left - 1);
  return left;
};

exports.tsRetried = async function tsRetried() {
  if (wf.workflowInfo().attempt < 3) throw wf.ApplicationFailure.retryable('again');
  return wf.workflowInfo().attempt;
};

exports.tsNexus = async function tsNexus(endpoint) {
  const client = wf.createNexusServiceClient({ endpoint, service: clerk });
  return [
    await client.executeOperation('echo', 'hello'),
    await client.executeOperation('child', 'good'),
    await caught(client.executeOperation('child', 'bad')),
  ];
};
