import { afterEach, describe, expect, it } from 'vitest';
import { parseInvitation } from '../../shared/link/invitation.ts';
import { createInvitation, joinInvitation } from '../../shared/link/pairing.ts';
import { LinkDevices, testLimits } from '../support/link-devices.ts';

const devices = new LinkDevices();
afterEach(async () => devices.stop());

const joining = { addresses: [], agentId: null, limits: testLimits, signal: new AbortController().signal };

describe('an invitation', () => {
  it('of an agent pairs a receiver, which then dials and gets a link', async () => {
    const agent = await devices.start('agent');
    const receiver = await devices.start('receiver', { listen: [] });
    const text = createInvitation(agent, { addresses: agent.addresses, offer: { role: 'replica' } });
    const peer = await joinInvitation(receiver, parseInvitation(text), joining);
    expect(peer).toMatchObject({
      deviceId: agent.identity.deviceId,
      role: 'agent',
      grant: { role: 'replica' },
    });
    const [served, dialled] = await Promise.all([agent.nextChannel(), receiver.nextChannel()]);
    expect(served).toMatchObject({ peerId: receiver.identity.deviceId, grant: { role: 'replica' } });
    expect(dialled).toMatchObject({ peerId: agent.identity.deviceId, grant: { role: 'replica' } });
    await served.send(Buffer.from('offer'));
    await dialled.send(Buffer.from('subscribe'));
    expect((await dialled.receive())?.toString()).toBe('offer');
    expect((await served.receive())?.toString()).toBe('subscribe');
    dialled.close();
    expect(await served.closed).toBeNull();
    expect(await served.receive()).toBeNull();
  });
});
