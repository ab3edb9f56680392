import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { deviceIdFromBytes } from '../../shared/identity/device-id.ts';
import { PeerBook, invitationLifetimeMs } from '../../shared/link/peer-book.ts';
import { restoreIdleMaxMs, type DeviceRole } from '../../shared/link/peer.ts';

const device = (seed: number) => deviceIdFromBytes(Buffer.alloc(32, seed));
const [agentId, receiverId, restorerId, strangerId] = [device(1), device(2), device(3), device(4)] as const;
const replica = { role: 'replica' } as const;
const coded = (code: string): unknown => expect.objectContaining({ code });

let home = '';
let now = 0;
beforeEach(() => {
  home = fs.mkdtempSync(path.join(os.tmpdir(), 'peer-book-'));
  now = Date.parse('2026-11-21T08:00:00Z');
});
afterEach(() => {
  fs.chmodSync(home, 0o700);
  fs.rmSync(home, { recursive: true });
});

const file = () => path.join(home, 'peers.json');
const open = (self: DeviceRole) => PeerBook.open({ file: file(), self, now: () => now });
const join = (secret: Uint8Array, role: DeviceRole) => ({ secret, role, addresses: [], agentId: null });

describe('a pairing', () => {
  it('is read again as it was written', () => {
    const book = open('receiver');
    book.pair({ deviceId: agentId, grant: replica, addresses: ['nas', '[::1]:5', 'nas:22390'] });
    book.pair({ deviceId: restorerId, grant: { role: 'restore', agentId }, addresses: [] });
    const { secret } = book.openInvitation(replica);
    const again = open('receiver');
    expect(again.peers()).toEqual(book.peers());
    expect(again.get(agentId)).toEqual({
      deviceId: agentId,
      role: 'agent',
      grant: replica,
      addresses: ['nas:22390', '[::1]:5'],
      pairedAt: now,
      lastProgressAt: null,
    });
    expect(again.redeem(strangerId, join(secret, 'agent')).deviceId).toBe(strangerId);
    expect(fs.statSync(file()).mode & 0o777).toBe(0o600);
  });

  it('tells its listeners, and nobody else, of every change', () => {
    const book = open('agent');
    const changed: string[] = [];
    const stop = book.onChange((deviceId) => changed.push(deviceId));
    book.pair({ deviceId: receiverId, grant: replica, addresses: [] });
    book.unpair(receiverId);
    stop();
    book.pair({ deviceId: receiverId, grant: replica, addresses: [] });
    expect(changed).toEqual([receiverId, receiverId]);
    expect(() => book.unpair(strangerId)).toThrowError(coded('DEVICE_UNKNOWN'));
  });

  it('gives a device one grant: another role is refused until it is unpaired', () => {
    const book = open('receiver');
    book.pair({ deviceId: agentId, grant: replica, addresses: [] });
    const restore = { deviceId: agentId, grant: { role: 'restore', agentId } as const, addresses: [] };
    expect(() => book.pair(restore)).toThrowError(coded('ROLE_REFUSED'));
    expect(book.get(agentId)?.grant).toEqual(replica);
    book.unpair(agentId);
    expect(book.pair(restore).role).toBe('restorer');
  });

  it('never lets an agent give its data back, or a restorer replicate', () => {
    expect(() =>
      open('agent').pair({ deviceId: receiverId, grant: { role: 'restore', agentId }, addresses: [] }),
    ).toThrowError(coded('ROLE_REFUSED'));
    expect(() => open('agent').openInvitation({ role: 'restore', agentId })).toThrowError(
      coded('ROLE_REFUSED'),
    );
    expect(() => open('restorer').pair({ deviceId: receiverId, grant: replica, addresses: [] })).toThrowError(
      coded('ROLE_REFUSED'),
    );
    expect(() => open('receiver').openInvitation({ role: 'restore', agentId: null })).toThrowError(
      coded('ROLE_REFUSED'),
    );
  });

  it('does not change where it could not be written', () => {
    const book = open('agent');
    book.pair({ deviceId: receiverId, grant: replica, addresses: [] });
    const before = fs.readFileSync(file(), 'utf8');
    const changed: string[] = [];
    book.onChange((deviceId) => changed.push(deviceId));
    // a directory in the way of the temporary file fails the write for root, too
    fs.mkdirSync(path.join(home, `.peers.json.${process.pid}.tmp`, 'full'), { recursive: true });
    expect(() => book.unpair(receiverId)).toThrowError(coded('DISK_FAILED'));
    expect(() => book.openInvitation(replica)).toThrowError(coded('DISK_FAILED'));
    expect(book.get(receiverId)).not.toBeNull();
    expect(book.hasOpenInvitation()).toBe(false);
    expect(changed).toEqual([]);
    expect(fs.readFileSync(file(), 'utf8')).toBe(before);
  });

  it.each(['', '{', '[]', '{"schemaVersion":2,"peers":[],"invitations":[]}', '{"schemaVersion":1}'])(
    'is not guessed from a damaged file: %j',
    (text) => {
      fs.writeFileSync(file(), text);
      expect(() => open('agent')).toThrowError(coded('PEERS_DAMAGED'));
      expect(fs.readFileSync(file(), 'utf8')).toBe(text);
    },
  );

  it('is not read with a wrong device ID, address or time', () => {
    const book = open('receiver');
    book.pair({ deviceId: restorerId, grant: { role: 'restore', agentId }, addresses: ['nas:1'] });
    const text = fs.readFileSync(file(), 'utf8');
    for (const [good, bad] of [
      [restorerId, `A${restorerId.slice(1)}B`],
      ['nas:1', 'nas:99999'],
      ['2026-11-21T08:00:00.000Z', 'yesterday'],
      ['"restorer"', '"admin"'],
    ] as const) {
      fs.writeFileSync(file(), text.replace(good, bad));
      expect(() => open('receiver')).toThrowError(coded('PEERS_DAMAGED'));
    }
  });
});

describe('an invitation', () => {
  it('keeps its secret out of the file', () => {
    const { secret } = open('agent').openInvitation(replica);
    const text = fs.readFileSync(file(), 'utf8');
    for (const encoding of ['hex', 'base64', 'base64url'] as const) {
      expect(text).not.toContain(secret.toString(encoding));
    }
  });

  it('is used on disk when redeem returns', () => {
    const book = open('agent');
    const { secret } = book.openInvitation(replica);
    book.redeem(receiverId, join(secret, 'receiver'));
    const reopened = open('agent');
    expect(reopened.get(receiverId)?.role).toBe('receiver');
    expect(() => reopened.redeem(strangerId, join(secret, 'receiver'))).toThrowError(
      coded('INVITATION_REFUSED'),
    );
  });

  it('may be repeated by the device that used it, until that is unpaired', () => {
    const book = open('agent');
    const { secret } = book.openInvitation(replica);
    const peer = book.redeem(receiverId, join(secret, 'receiver'));
    expect(book.redeem(receiverId, join(secret, 'receiver'))).toEqual(peer);
    book.unpair(receiverId);
    expect(() => book.redeem(receiverId, join(secret, 'receiver'))).toThrowError(coded('INVITATION_REFUSED'));
    expect(book.peers()).toEqual([]);
  });

  it('ends after ten minutes', () => {
    const book = open('agent');
    const { secret, expiresAt } = book.openInvitation(replica);
    expect(expiresAt).toBe(now + 10 * 60_000);
    expect(book.hasOpenInvitation()).toBe(true);
    now += invitationLifetimeMs;
    expect(book.hasOpenInvitation()).toBe(false);
    expect(() => book.redeem(receiverId, join(secret, 'receiver'))).toThrowError(coded('INVITATION_REFUSED'));
    book.expire();
    expect(fs.readFileSync(file(), 'utf8')).not.toContain('secretHash');
  });

  it('with a wrong secret pairs nobody', () => {
    const book = open('agent');
    book.openInvitation(replica);
    expect(() => book.redeem(receiverId, join(Buffer.alloc(16), 'receiver'))).toThrowError(
      coded('INVITATION_REFUSED'),
    );
    expect(book.peers()).toEqual([]);
  });

  it('is not used up by a device of the wrong kind', () => {
    const book = open('receiver');
    const { secret } = book.openInvitation({ role: 'restore', agentId });
    expect(() => book.redeem(strangerId, join(secret, 'agent'))).toThrowError(coded('ROLE_REFUSED'));
    expect(book.redeem(restorerId, join(secret, 'restorer')).grant).toEqual({ role: 'restore', agentId });
  });

  it('of a receiver names the data itself: the joining device cannot choose', () => {
    const book = open('receiver');
    const { secret } = book.openInvitation({ role: 'restore', agentId });
    const peer = book.redeem(restorerId, { ...join(secret, 'restorer'), agentId: strangerId });
    expect(peer.grant).toEqual({ role: 'restore', agentId });
  });

  it('of a restorer takes the data that the receiver names, and needs one named', () => {
    const book = open('restorer');
    const { secret } = book.openInvitation({ role: 'restore', agentId: null });
    expect(() => book.redeem(receiverId, join(secret, 'receiver'))).toThrowError(coded('ROLE_REFUSED'));
    const peer = book.redeem(receiverId, { ...join(secret, 'receiver'), agentId });
    expect(peer.grant).toEqual({ role: 'restore', agentId });
  });

  it('is one of at most sixteen: the oldest goes', () => {
    const book = open('agent');
    const first = book.openInvitation(replica);
    const later = Array.from({ length: 16 }, () => book.openInvitation(replica));
    expect(() => book.redeem(receiverId, join(first.secret, 'receiver'))).toThrowError(
      coded('INVITATION_REFUSED'),
    );
    const oldest = later[0]?.secret ?? Buffer.alloc(0);
    expect(book.redeem(receiverId, join(oldest, 'receiver')).deviceId).toBe(receiverId);
  });
});

describe('a restore grant', () => {
  it('ends after 24 hours without progress, and its device is told about', () => {
    const book = open('receiver');
    book.pair({ deviceId: agentId, grant: replica, addresses: [] });
    book.pair({ deviceId: restorerId, grant: { role: 'restore', agentId }, addresses: [] });
    const changed: string[] = [];
    book.onChange((deviceId) => changed.push(deviceId));
    now += restoreIdleMaxMs - 1;
    book.expire();
    expect(book.get(restorerId)).not.toBeNull();
    now += 1;
    expect(book.get(restorerId)).toBeNull();
    book.expire();
    expect(changed).toEqual([restorerId]);
    expect(
      open('receiver')
        .peers()
        .map((peer) => peer.deviceId),
    ).toEqual([agentId]);
  });

  it('goes on while data moves, also over a restart', () => {
    const book = open('receiver');
    book.pair({ deviceId: restorerId, grant: { role: 'restore', agentId }, addresses: [] });
    now += restoreIdleMaxMs / 2;
    book.noteProgress(restorerId);
    now += restoreIdleMaxMs - 1;
    expect(open('receiver').get(restorerId)).not.toBeNull();
    now += 1;
    book.noteProgress(restorerId);
    expect(open('receiver').get(restorerId)).toBeNull();
  });
});
