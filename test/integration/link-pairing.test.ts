import path from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { joinAlpn } from '../../shared/link/tls-peer.ts';
import { parseInvitation } from '../../shared/link/invitation.ts';
import { encodeJoinRequest } from '../../shared/link/join-frame.ts';
import { createInvitation, joinInvitation } from '../../shared/link/pairing.ts';
import { invitationLifetimeMs, PeerBook, type Offer } from '../../shared/link/peer-book.ts';
import type { Clock } from '../../shared/link/clock.ts';
import { systemClock } from '../../shared/link/clock.ts';
import { restoreIdleMaxMs } from '../../shared/link/peer.ts';
import { LinkDevices, patient, testLimits } from '../support/link-devices.ts';
import { connectTls, credentials } from '../support/raw-client.ts';

type Device = Awaited<ReturnType<LinkDevices['start']>>;

const devices = new LinkDevices();
afterEach(async () => devices.stop());

const joining = { addresses: [], agentId: null, limits: testLimits, signal: new AbortController().signal };
const replica = { role: 'replica' } as const;

const invite = (device: Device, offer: Offer = replica) =>
  parseInvitation(createInvitation(device, { addresses: device.addresses, offer }));

describe('an invitation', () => {
  it('of an agent pairs a receiver, which then dials and gets a link', async () => {
    const agent = await devices.start('agent');
    const receiver = await devices.start('receiver', { listen: [] });
    const peer = await joinInvitation(receiver, invite(agent), joining);
    expect(peer).toMatchObject({ deviceId: agent.identity.deviceId, role: 'agent', grant: replica });
    const [served, dialled] = await Promise.all([agent.nextChannel(), receiver.nextChannel()]);
    expect(served).toMatchObject({ peerId: receiver.identity.deviceId, grant: replica });
    expect(dialled).toMatchObject({ peerId: agent.identity.deviceId, grant: replica });
    await served.send(Buffer.from('offer'));
    await dialled.send(Buffer.from('subscribe'));
    expect((await dialled.receive())?.toString()).toBe('offer');
    expect((await served.receive())?.toString()).toBe('subscribe');
    dialled.close();
    expect(await served.closed).toBeNull();
    expect(await served.receive()).toBeNull();
  });

  it('of a receiver pairs an agent, which then dials', async () => {
    const receiver = await devices.start('receiver');
    const agent = await devices.start('agent', { listen: [] });
    const peer = await joinInvitation(agent, invite(receiver), joining);
    expect(peer).toMatchObject({ role: 'receiver', grant: replica, addresses: receiver.addresses });
    const [served, dialled] = await Promise.all([receiver.nextChannel(), agent.nextChannel()]);
    expect(served.peerId).toBe(agent.identity.deviceId);
    expect(dialled.peerId).toBe(receiver.identity.deviceId);
  });

  it('of a receiver for a restore gives a restorer the data of one agent', async () => {
    const agent = await devices.start('agent');
    const receiver = await devices.start('receiver');
    const restorer = await devices.start('restorer', { listen: [] });
    const agentId = agent.identity.deviceId;
    await joinInvitation(restorer, invite(receiver, { role: 'restore', agentId }), joining);
    const [served, dialled] = await Promise.all([receiver.nextChannel(), restorer.nextChannel()]);
    expect(served.grant).toEqual({ role: 'restore', agentId });
    expect(dialled.grant).toEqual({ role: 'restore', agentId });
  });

  it('of a restorer that listens makes the receiver dial it with the data that its owner names', async () => {
    const agent = await devices.start('agent');
    const agentId = agent.identity.deviceId;
    const restorer = await devices.start('restorer');
    const receiver = await devices.start('receiver', { listen: [] });
    const invitation = invite(restorer, { role: 'restore', agentId: null });
    await expect(joinInvitation(receiver, invitation, joining)).rejects.toMatchObject({
      code: 'ROLE_REFUSED',
    });
    await joinInvitation(receiver, invitation, { ...joining, agentId });
    const [served, dialled] = await Promise.all([restorer.nextChannel(), receiver.nextChannel()]);
    expect(served.grant).toEqual({ role: 'restore', agentId });
    expect(dialled).toMatchObject({
      peerId: restorer.identity.deviceId,
      grant: { role: 'restore', agentId },
    });
  });

  it('tells the inviter where the joining device listens', async () => {
    const agent = await devices.start('agent');
    const receiver = await devices.start('receiver');
    await joinInvitation(receiver, invite(agent), { ...joining, addresses: receiver.addresses });
    expect(agent.book.get(receiver.identity.deviceId)?.addresses).toEqual(receiver.addresses);
  });

  it('leaves the dialling to the joining device where both listen, so that no two links cross', async () => {
    // which of two crossing links stays depends on the IDs, so several pairs
    for (let pair = 0; pair < 4; pair += 1) {
      // the inviter leaves it to the other one for that long
      const agent = await devices.start('agent', { limits: { crossingMs: 3_600_000 } });
      const receiver = await devices.start('receiver');
      await joinInvitation(receiver, invite(agent), { ...joining, addresses: receiver.addresses });
      const [served, dialled] = await Promise.all([agent.nextChannel(), receiver.nextChannel()]);
      await served.send(Buffer.from('offer'));
      expect((await dialled.receive())?.toString()).toBe('offer');
      const all = [...agent.log.lines, ...receiver.log.lines];
      expect(all.filter((line) => line.message === 'connected')).toHaveLength(2);
      expect(all.filter((line) => line['code'] !== undefined)).toEqual([]);
    }
  });

  it('makes the inviter dial where the joining device listens and does not dial', async () => {
    const agent = await devices.start('agent', { limits: { crossingMs: 50 } });
    const receiver = await devices.start('receiver');
    // as when the joining program does not run yet
    const elsewhere = PeerBook.open({ file: path.join(receiver.home, 'other.json'), self: 'receiver' });
    const invitation = invite(agent);
    await joinInvitation({ identity: receiver.identity, book: elsewhere }, invitation, {
      ...joining,
      addresses: receiver.addresses,
    });
    receiver.book.pair({ deviceId: agent.identity.deviceId, grant: replica, addresses: [] });
    const [dialled, served] = await Promise.all([agent.nextChannel(), receiver.nextChannel()]);
    expect(dialled.peerId).toBe(receiver.identity.deviceId);
    expect(served.peerId).toBe(agent.identity.deviceId);
  });

  it('finds the inviter at the address of several that answers, and remembers that one first', async () => {
    const agent = await devices.start('agent');
    const gone = await devices.start('agent');
    const [closed = ''] = gone.addresses;
    await gone.links.stop();
    const receiver = await devices.start('receiver', { listen: [] });
    const addresses = [closed, ...agent.addresses];
    const text = createInvitation(agent, { addresses, offer: replica });
    const peer = await joinInvitation(receiver, parseInvitation(text), joining);
    expect(peer.addresses).toEqual([...agent.addresses, closed]);
  });

  it('is paired on disk on both sides before the joining device is told', async () => {
    const agent = await devices.start('agent');
    const receiver = await devices.start('receiver', { listen: [] });
    await joinInvitation(receiver, invite(agent), joining);
    expect(agent.book.get(receiver.identity.deviceId)).not.toBeNull();
    expect(receiver.book.get(agent.identity.deviceId)).not.toBeNull();
  });
});

describe('an invitation is refused without an answer', () => {
  const attempt = async (device: Device, agent: Device, request: Buffer) => {
    const options = { ...credentials(device.identity), ALPNProtocols: [joinAlpn] };
    const { ended } = connectTls(agent.addresses[0] ?? '', options, (socket) => socket.write(request));
    return ended;
  };
  const requestOf = (secret: Uint8Array) =>
    encodeJoinRequest({ secret, role: 'receiver', addresses: [], agentId: null });

  it('when another device has used it', async () => {
    const agent = await devices.start('agent');
    const receiver = await devices.start('receiver', { listen: [] });
    const thief = await devices.start('receiver', { listen: [] });
    const invitation = invite(agent);
    // another invitation is open, so the thief is listened to
    invite(agent);
    await joinInvitation(receiver, invitation, joining);
    expect((await attempt(thief, agent, requestOf(invitation.secret))).length).toBe(0);
    await expect(joinInvitation(thief, invitation, joining)).rejects.toMatchObject({
      code: 'INVITATION_REFUSED',
    });
    expect(await agent.log.code('INVITATION_REFUSED')).toMatchObject({ deviceId: thief.identity.deviceId });
    expect(agent.book.get(thief.identity.deviceId)).toBeNull();
    expect(thief.book.peers()).toEqual([]);
  });

  it('when it is replayed after the device that used it was unpaired', async () => {
    const agent = await devices.start('agent');
    const receiver = await devices.start('receiver', { listen: [] });
    const invitation = invite(agent);
    await joinInvitation(receiver, invitation, joining);
    agent.book.unpair(receiver.identity.deviceId);
    await expect(joinInvitation(receiver, invitation, joining)).rejects.toMatchObject({
      code: 'INVITATION_REFUSED',
    });
    expect(await agent.log.code('INVITATION_REFUSED')).toMatchObject({ level: 'warn' });
    expect(agent.book.peers()).toEqual([]);
  });

  it('when it has expired', async () => {
    let shift = 0;
    const clock: Clock = { ...systemClock, now: () => Date.now() + shift };
    const agent = await devices.start('agent', { clock });
    const receiver = await devices.start('receiver', { listen: [] });
    const invitation = invite(agent);
    shift = invitationLifetimeMs;
    await expect(joinInvitation(receiver, invitation, joining)).rejects.toMatchObject({
      code: 'INVITATION_REFUSED',
    });
    const refusal = { level: 'warn', deviceId: receiver.identity.deviceId };
    expect(await agent.log.code('INVITATION_REFUSED')).toMatchObject(refusal);
    invite(agent);
    await expect(joinInvitation(receiver, invitation, joining)).rejects.toMatchObject({
      code: 'INVITATION_REFUSED',
    });
    expect(agent.book.peers()).toEqual([]);
  });

  it('when the secret is another', async () => {
    const agent = await devices.start('agent');
    const receiver = await devices.start('receiver', { listen: [] });
    const invitation = { ...invite(agent), secret: Buffer.alloc(16) };
    await expect(joinInvitation(receiver, invitation, joining)).rejects.toMatchObject({
      code: 'INVITATION_REFUSED',
    });
    expect(await agent.log.code('INVITATION_REFUSED')).toMatchObject({ level: 'warn' });
    expect(agent.book.peers()).toEqual([]);
  });

  it.each([
    ['announces more than a kilobyte', Buffer.from([0x04, 0x00])],
    ['is noise', Buffer.concat([Buffer.from([0, 64]), Buffer.alloc(64, 0xff)])],
    ['is empty', Buffer.from([0, 0])],
    ['is followed by more', Buffer.concat([requestOf(Buffer.alloc(16)), Buffer.from('GET / HTTP/1.1')])],
    ['is followed by a megabyte', Buffer.concat([requestOf(Buffer.alloc(16)), Buffer.alloc(1_000_000)])],
  ])('when the frame %s', async (_name, frame) => {
    const agent = await devices.start('agent');
    const receiver = await devices.start('receiver', { listen: [] });
    const invitation = invite(agent);
    expect((await attempt(receiver, agent, frame)).length).toBe(0);
    expect(await agent.log.code('PROTOCOL_VIOLATION')).toMatchObject({ level: 'warn' });
    expect(agent.book.peers()).toEqual([]);
    // and it can still be used by whom it is for
    await joinInvitation(receiver, invitation, joining);
  });

  it('when attempts come too fast', async () => {
    const agent = await devices.start('agent', { limits: { joinsPerMinuteMax: 3 } });
    const receiver = await devices.start('receiver', { listen: [] });
    invite(agent);
    for (let attempts = 0; attempts < 4; attempts += 1) {
      expect((await attempt(receiver, agent, requestOf(Buffer.alloc(16)))).length).toBe(0);
    }
    await agent.log.code('LINK_OVERLOADED');
    const refused = agent.log.lines.filter((line) => line['code'] === 'INVITATION_REFUSED');
    expect(refused).toHaveLength(3);
  });
});

describe('joining', () => {
  it('sends nothing to another device than the one that invited', async () => {
    const agent = await devices.start('agent');
    const impostor = await devices.start('agent');
    invite(impostor);
    const receiver = await devices.start('receiver', { listen: [] });
    const invitation = { ...invite(agent), addresses: impostor.addresses };
    await expect(joinInvitation(receiver, invitation, joining)).rejects.toMatchObject({
      code: 'LINK_WRONG_DEVICE',
    });
    // the impostor saw a client that left
    expect(await impostor.log.code('LINK_TLS_FAILED')).toMatchObject({
      reason: 'the other side left before the link was up',
    });
    expect(receiver.book.peers()).toEqual([]);
  });

  it('is refused before anything is sent where roles make no sense', async () => {
    const agent = await devices.start('agent');
    const receiver = await devices.start('receiver');
    const restorer = await devices.start('restorer');
    const agentId = agent.identity.deviceId;
    const cases: [Device, ReturnType<typeof invite>][] = [
      [agent, invite(agent)],
      [agent, invite(receiver, { role: 'restore', agentId })],
      [restorer, invite(agent)],
      [receiver, invite(receiver)],
      [agent, invite(restorer, { role: 'restore', agentId: null })],
    ];
    for (const [device, invitation] of cases) {
      await expect(joinInvitation(device, invitation, { ...joining, agentId })).rejects.toMatchObject({
        code: 'ROLE_REFUSED',
      });
    }
  });

  it('may be repeated by the same device when the answer was lost', async () => {
    const agent = await devices.start('agent');
    const receiver = await devices.start('receiver', { listen: [] });
    const invitation = invite(agent);
    await joinInvitation(receiver, invitation, joining);
    receiver.book.unpair(agent.identity.deviceId);
    await joinInvitation(receiver, invitation, joining);
    expect(agent.book.peers()).toHaveLength(1);
  });

  it('is told why when the secret is right and the device is paired for something else', async () => {
    const receiver = await devices.start('receiver');
    const other = await devices.start('restorer', { listen: [] });
    const agentId = other.identity.deviceId;
    receiver.book.pair({ deviceId: agentId, grant: replica, addresses: [] });
    const invitation = invite(receiver, { role: 'restore', agentId });
    await expect(joinInvitation(other, invitation, joining)).rejects.toMatchObject({ code: 'ROLE_REFUSED' });
    expect(receiver.book.get(agentId)?.grant).toEqual(replica);
  });

  it('gives up when it is told to', async () => {
    const agent = await devices.start('agent');
    const receiver = await devices.start('receiver', { listen: [] });
    const invitation = invite(agent);
    const signal = AbortSignal.abort();
    await expect(joinInvitation(receiver, invitation, { ...joining, signal })).rejects.toMatchObject({
      code: 'LINK_CLOSED',
    });
  });
});

describe('a restore grant', () => {
  it('that moved nothing for a day ends, with its live link', async () => {
    let shift = 0;
    const clock: Clock = { ...systemClock, now: () => Date.now() + shift };
    const receiver = await devices.start('receiver', { clock, limits: { expiryIntervalMs: 20 } });
    const restorer = await devices.start('restorer', { listen: [] });
    const agentId = receiver.identity.deviceId;
    await joinInvitation(restorer, invite(receiver, { role: 'restore', agentId }), joining);
    const [served, dialled] = await Promise.all([receiver.nextChannel(), restorer.nextChannel()]);
    shift = restoreIdleMaxMs / 2;
    await served.send(Buffer.alloc(100_000));
    await dialled.receive();
    await expect
      .poll(() => receiver.book.get(restorer.identity.deviceId)?.lastProgressAt, patient)
      .toBeGreaterThan(Date.now() + shift - 60_000);
    shift += restoreIdleMaxMs - 60_000;
    expect(receiver.links.isConnected(restorer.identity.deviceId)).toBe(true);
    shift += 120_000;
    expect(await served.closed).toMatchObject({ code: 'LINK_UNPAIRED' });
    expect(receiver.book.peers()).toEqual([]);
  });
});
